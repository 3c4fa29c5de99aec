// Draws the demo's last tables as demo.svg for the README, in colours that follow the reader's light or dark mode:
//   script -qc "npm run demo -- --for 30s" /dev/null | bun deploy/local/demo/picture.ts > deploy/local/demo/demo.svg

/** Width of a character and height of a line, in the picture's units. */
const CHARACTER = 8.4
const LINE = 20
const MARGIN = 20

/** Classes by the number of the ANSI code that begins them; see COLOURED in table.ts. */
const CLASSES: Readonly<Record<string, string>> = { "1": "bold", "2": "dim", "32": "good", "33": "bad" }

const STYLE = `
    text { font: 14px ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #1f2328; white-space: pre }
    .back { fill: #f6f8fa; stroke: #d1d9e0 }
    .bold { font-weight: 600 }
    .dim { fill: #59636e }
    .good { fill: #116329 }
    .bad { fill: #8a4600 }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3 }
      .back { fill: #0d1117; stroke: #3d444d }
      .dim { fill: #9198a1 }
      .good { fill: #3fb950 }
      .bad { fill: #d29922 }
    }`

/** Lines between the title and the comparison, as the demo printed them last. */
function tablesOf(output: string): string[] {
  const start = output.lastIndexOf("The shop in the mesh")
  if (start < 0) throw new Error("picture: no tables on standard input; did the demo run to its end?")
  const lineStart = output.lastIndexOf("\n", start) + 1
  const end = output.indexOf("The load generator", start)
  const last = end < 0 ? undefined : output.lastIndexOf("\n", end)
  const lines = output.slice(lineStart, last).replaceAll("\r", "").split("\n")
  while (lines.at(-1)?.trim() === "") lines.pop()
  return lines
}

/** A piece of a line in one colour. */
interface Run {
  readonly column: number
  readonly text: string
  readonly kind: string
}

function runsOf(line: string): Run[] {
  const runs: Run[] = []
  let column = 0
  let kind = ""
  for (const [index, part] of line.split("\x1b[").entries()) {
    // What begins a part is the rest of a colour's code, except in the first.
    const code = index === 0 ? "" : (/^[0-9;]*[A-Za-z]/.exec(part)?.[0] ?? "")
    if (index > 0) kind = CLASSES[code.slice(0, -1)] ?? ""
    const text = part.slice(code.length)
    for (const word of text.matchAll(/\S+(?: \S+)*/g)) {
      runs.push({ column: column + word.index, text: word[0], kind })
    }
    column += text.length
  }
  return runs
}

function pictureOf(lines: readonly string[]): string {
  const rows = lines.map(runsOf)
  const columns = Math.max(...rows.flat().map(({ column, text }) => column + text.length))
  const width = Math.ceil(columns * CHARACTER + 2 * MARGIN)
  const height = rows.length * LINE + 2 * MARGIN - 6
  const texts = rows.flatMap((runs, row) =>
    runs.map(({ column, text, kind }) => {
      const x = (MARGIN + column * CHARACTER).toFixed(1)
      const y = MARGIN + 10 + row * LINE
      const length = (text.length * CHARACTER).toFixed(1)
      return `  <text x="${x}" y="${y}" textLength="${length}"${kind === "" ? "" : ` class="${kind}"`}>${escaped(text)}</text>`
    }),
  )
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="Figures of the demo shop in the mesh">`,
    `  <style>${STYLE}\n  </style>`,
    `  <rect class="back" x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="8" />`,
    ...texts,
    "</svg>",
    "",
  ].join("\n")
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")
}

process.stdout.write(pictureOf(tablesOf(await Bun.stdin.text())))
