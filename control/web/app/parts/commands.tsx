// The same in a terminal: commands to copy, and text to copy.
import { useState } from "react"
import { Icon } from "../shell/icons.tsx"

/** For how long a button says that it has copied, milliseconds. */
const SAID_MS = 1500

/** Commands that show the same, or go on from here. */
export function Commands({ lines }: { readonly lines: readonly string[] }) {
  return (
    <section className="commands" aria-label="The same in a terminal">
      <h2>In a terminal</h2>
      <ul>
        {lines.map(line => (
          <li key={line}>
            <code>{line}</code>
            <CopyButton text={line} what={line} />
          </li>
        ))}
      </ul>
    </section>
  )
}

/** Copies a text. */
export function CopyButton({
  text,
  what,
  words,
}: {
  readonly text: string
  readonly what: string
  readonly words?: string
}) {
  const [said, setSaid] = useState("")
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(text)
      setSaid("Copied")
    } catch {
      setSaid("Cannot copy: select it")
    }
    setTimeout(() => setSaid(""), SAID_MS)
  }
  return (
    <button
      type="button"
      className={words === undefined ? "ghost" : ""}
      onClick={() => void copy()}
      aria-label={`Copy ${what}`}
    >
      <Icon name="copy" />
      {(words !== undefined || said !== "") && <span>{said || words}</span>}
      <span className="hidden" role="status">
        {said}
      </span>
    </button>
  )
}

/** A word of a command line, as a shell reads it back. */
export function shellWord(text: string): string {
  return /^[A-Za-z0-9_./:@=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}
