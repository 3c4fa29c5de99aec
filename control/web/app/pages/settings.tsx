// Settings of this browser, what the dashboard may do, and its keys.
import { useQuery } from "@connectrpc/connect-query"
import { useState } from "react"
import { ApiService } from "../../../../protos/mod.ts"
import { useLive } from "../mesh/live.ts"
import { Commands } from "../parts/commands.tsx"
import { PageHead } from "../parts/figures.tsx"
import { Shown } from "../parts/state.tsx"
import { applyTheme, savedTheme, THEMES } from "../shell/theme.ts"

const KEYS: readonly (readonly [string, string])[] = [
  ["/", "filter the table of this page, or search"],
  ["Ctrl K", "search pages, Deployments and actions"],
  ["Tab, Enter", "go through the page, follow"],
  ["Esc", "close"],
]

/** The page of settings. */
export function SettingsPage() {
  const [theme, setTheme] = useState(savedTheme)
  const { slowly } = useLive()
  const version = useQuery(ApiService.method.version, {}, { refetchInterval: slowly })
  return (
    <>
      <PageHead title="Settings" />
      <section>
        <fieldset className="choice">
          <legend>Theme</legend>
          {THEMES.map(one => (
            <label key={one}>
              <input
                type="radio"
                name="theme"
                checked={theme === one}
                onChange={() => {
                  setTheme(one)
                  applyTheme(one)
                }}
              />
              {one === "system" ? "As the system has it" : one === "light" ? "Light" : "Dark"}
            </label>
          ))}
        </fieldset>
      </section>
      <section>
        <h2>Keys</h2>
        <dl className="keys">
          {KEYS.map(([key, what]) => (
            <div key={key}>
              <dt>
                <kbd>{key}</kbd>
              </dt>
              <dd>{what}</dd>
            </div>
          ))}
        </dl>
      </section>
      <section>
        <h2>What this dashboard may do</h2>
        <p>
          It reads figures and facts, and changes nothing. It is served to whoever may forward to its pod;
          what single requests hold is not shown to it. It asks no other host, and keeps nothing but the theme
          in this browser.
        </p>
      </section>
      <Commands lines={["conduit dashboard --help", "conduit version"]} />
      <section>
        <h2>About</h2>
        <Shown of={version} what="versions">
          {({ controlPlane }) => <p>Conduit {controlPlane}</p>}
        </Shown>
      </section>
    </>
  )
}
