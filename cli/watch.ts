// `--watch`: shows the same question's answer again and again, in place on a terminal.
import { tell } from "./failure.ts"
import { say, writeOut } from "./output.ts"

/** Time between two answers. */
export const WATCH_INTERVAL_MS = 1000

/** Goes back over what was shown last: up by its lines, or to the top of the screen where it filled it; clears below. */
function goBack(lines: number, screenLines: number): string {
  if (lines === 0) return ""
  return lines < screenLines ? `\u001b[${lines}A\r\u001b[J` : "\u001b[H\u001b[J"
}

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
  let shownLines = 0
  for (;;) {
    try {
      const text = await ask()
      writeOut(inPlace ? `${goBack(shownLines, process.stdout.rows)}${text}` : text)
      shownLines = text.split("\n").length - 1
      first = false
    } catch (error) {
      if (first) throw error
      say(`conduit: ${tell(error).sentence}; trying again`)
      shownLines = 0
    }
    await new Promise(resolve => setTimeout(resolve, WATCH_INTERVAL_MS))
  }
}
