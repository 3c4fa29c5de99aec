// The marks before what is well and what is not: ticks on a terminal, words elsewhere; shared by `check` and `explain`.

/** Marks by result. */
export const MARKS = {
  success: { tick: "✔", word: "[ok]  ", colour: 32 },
  warning: { tick: "!", word: "[warn]", colour: 33 },
  failure: { tick: "✘", word: "[fail]", colour: 31 },
  skipped: { tick: "-", word: "[skip]", colour: 2 },
} as const

/** Text in a colour (SGR), where there are colours. */
export function paint(text: string, code: number, { colour }: { readonly colour: boolean }): string {
  return colour ? `\u001b[${code}m${text}\u001b[0m` : text
}
