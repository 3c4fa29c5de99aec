// `--watch`: shows the same question's answer again and again, in place on a terminal.
import { tell } from "./failure.ts"
import { say, writeOut } from "./output.ts"

/** Time between two answers. */
export const WATCH_INTERVAL_MS = 1000

const HOME_AND_CLEAR = "\u001b[H\u001b[J"

/**
 * Shows an answer once, or every second until interrupted.
 *
 * Once shown, a control plane that goes away is waited for; an error in the first answer ends the command.
 *
 * @param ask makes the text to show
 */
export async function show(watch: boolean, ask: () => Promise<string>): Promise<void> {
  if (!watch) {
    writeOut(await ask())
    return
  }
  const inPlace = process.stdout.isTTY === true
  let first = true
  for (;;) {
    try {
      const text = await ask()
      writeOut(inPlace ? `${HOME_AND_CLEAR}${text}` : text)
      first = false
    } catch (error) {
      if (first) throw error
      say(`conduit: ${tell(error).sentence}; trying again`)
    }
    await new Promise(resolve => setTimeout(resolve, WATCH_INTERVAL_MS))
  }
}
