// The window of figures, and whether they move.
import { span } from "../mesh/format.ts"
import { USUAL_WINDOW, useLive, useSetPlace, WINDOWS } from "../mesh/live.ts"
import { Icon } from "./icons.tsx"

/** The controls of the time that is shown. */
export function TimeControls() {
  const { windowMs, live } = useLive()
  const setPlace = useSetPlace()
  const seconds = windowMs / 1000
  const offered = [...new Set<number>([...WINDOWS, seconds])].sort((a, b) => a - b)
  return (
    <div className="time">
      <label>
        <span className="hidden">Figures over the last</span>
        <select
          value={seconds}
          onChange={({ target }) => {
            const w = Number(target.value)
            setPlace({ w: w === USUAL_WINDOW ? undefined : w })
          }}
        >
          {offered.map(one => (
            <option key={one} value={one}>
              Last {one === 60 ? "1 min" : one === 3600 ? "1 h" : span(one * 1000)}
            </option>
          ))}
        </select>
      </label>
      <button
        type="button"
        className={live ? "live on" : "live"}
        onClick={() => setPlace({ paused: live ? true : undefined })}
      >
        <Icon name={live ? "pause" : "play"} />
        <span className="live-words">{live ? "Live" : "Paused"}</span>
        <span className="hidden">{live ? ", pause" : ", go on"}</span>
      </button>
    </div>
  )
}
