// How something is: a shape, a word and a colour, each of which suffices.
import type { Level } from "../mesh/trouble.ts"

const WORDS: Readonly<Record<Level, string>> = {
  failing: "Failing",
  degraded: "Degraded",
  well: "Well",
  idle: "No requests",
}

const SHAPES: Readonly<Record<Level, string>> = {
  failing: "M8 1 15 14H1z",
  degraded: "M8 1 15 8 8 15 1 8z",
  well: "M8 2a6 6 0 1 0 0 12A6 6 0 1 0 8 2",
  idle: "M2 7h12v2H2z",
}

/** A level in words and shape. */
export function LevelMark({ level, word = true }: { readonly level: Level; readonly word?: boolean }) {
  return (
    <span className={`level ${level}`}>
      <svg viewBox="0 0 16 16" aria-hidden="true" focusable="false">
        <path d={SHAPES[level]} />
      </svg>
      <span className={word ? "" : "hidden"}>{WORDS[level]}</span>
    </span>
  )
}
