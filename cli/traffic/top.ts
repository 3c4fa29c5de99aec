// `conduit top`: live requests of resources by source, destination, method and path.
import { TapHeaders, type TapState } from "../../protos/mod.ts"
import { command } from "../command_line/command.ts"
import { parseDurationMs } from "../command_line/duration.ts"
import { openApi } from "../connect.ts"
import { UsageError } from "../failure.ts"
import { GLOBAL_FLAGS } from "../flags.ts"
import { formatOf, renderData, say, writeOut } from "../output.ts"
import { KIND_WORDS, SELECTOR_FLAG } from "../resource.ts"
import { untilSignal } from "../until_signal.ts"
import { TAP_FLAGS, tapQuestion } from "./tap_request.ts"
import { listenToTap, stateLine, tapSummary } from "./tap_stream.ts"
import { TerminalScreen } from "./terminal_screen.ts"
import { FIRST_VIEW, onKey, sorted, tableLines, topLines } from "./top_screen.ts"
import { TopTable } from "./top_table.ts"

/** Requests a second unless told otherwise: enough to see what there is most of. */
const DEFAULT_RPS = 1_000

/** Between two pictures. */
const DRAW_INTERVAL_MS = 500

/** How long is listened where nobody watches. */
const LISTEN_MS = 10_000

const args = {
  ...GLOBAL_FLAGS,
  output: { type: "string", alias: "o", valueHint: "FORMAT", description: "table, json or yaml" },
  resource: {
    type: "positional",
    valueHint: "RESOURCE",
    description: "deploy/web, deploy web, or deploy for all",
    required: true,
  },
  ...TAP_FLAGS,
  for: {
    type: "string",
    valueHint: "DURATION",
    description: "end after this (without a terminal, and for -o json: after 10s, with one table)",
  },
  "max-rps": {
    type: "string",
    valueHint: "N",
    description: `requests a second that are looked at, up to 10000 (default: ${DEFAULT_RPS})`,
  },
  ...SELECTOR_FLAG,
} as const

/** `conduit top RESOURCE`. */
export const top = command({
  meta: { name: "top", description: "Live requests by source, destination, method and path" },
  args,
  variadic: true,
  offers: { resource: KIND_WORDS, from: KIND_WORDS, to: KIND_WORDS, output: ["table", "json", "yaml"] },
  examples: [
    { line: "conduit top deploy/web", why: "live; < and > choose the column to sort by, I inverts, q ends" },
    { line: "conduit top ns/shop --to deploy/cart", why: "who calls cart, and how" },
    { line: "conduit top deploy/web --for 5s -o json", why: "for programs" },
  ],
  async run({ args }) {
    const format = formatOf(args.output, ["table", "json", "yaml"] as const)
    const lasts = args.for === undefined ? undefined : parseDurationMs(args.for, "--for")
    if (lasts === 0) throw new UsageError("--for takes some time, such as 5s")
    const question = tapQuestion(args, DEFAULT_RPS, TapHeaders.UNSPECIFIED)
    const live = format === "table" && process.stdout.isTTY === true
    await using mesh = await openApi(args)
    const sinceMs = performance.now()
    const seconds = () => Math.round((performance.now() - sinceMs) / 1000)
    using end = untilSignal(live ? lasts : (lasts ?? LISTEN_MS))
    const quitting = new AbortController()
    const signal = AbortSignal.any([end.signal, quitting.signal])
    const table = new TopTable()
    let heard: TapState | null = null
    let told = ""
    const listening = (): Promise<Awaited<ReturnType<typeof listenToTap>>> =>
      listenToTap(mesh, question(mesh.namespace), signal, {
        moment(request, moment) {
          if (moment === "ended") table.add(request)
        },
        state(state) {
          heard = state
          if (live) return
          const now = stateLine(state, "looking at")
          if (now !== told && now !== "") say(`conduit: ${now}`)
          told = now
        },
      })
    if (!live) {
      const totals = await listening()
      const rows = sorted(table.all, FIRST_VIEW)
      writeOut(
        format === "table"
          ? `${tableLines(rows, null, Number.POSITIVE_INFINITY).join("\n")}\n`
          : await renderData(rows, format),
      )
      say(`conduit: ${tapSummary(totals, seconds())}`)
      return
    }
    let view = FIRST_VIEW
    let rows = table.all
    const draw = (): void => {
      if (!view.paused) rows = table.all.map(row => ({ ...row }))
      const { width, height } = screen
      screen.draw(topLines({ rows, view, status: statusOf(mesh.what, heard, seconds()), width, height }))
    }
    const screen = new TerminalScreen(key => {
      const action = onKey(key, view, rows.length, screen.height)
      if (action === null) return
      if (action === "quit") quitting.abort()
      else if (action === "clear") table.clear()
      else view = action.view
      draw()
    }, draw)
    using _restored = screen
    draw()
    const timer = setInterval(draw, DRAW_INTERVAL_MS)
    try {
      await listening()
    } finally {
      clearInterval(timer)
    }
  },
})

function statusOf(what: string, state: TapState | null, seconds: number): string {
  if (state === null) return `${what}: asking proxies`
  const { proxies, limited, dropped, failures } = state
  const parts = [`${what}: ${proxies} ${proxies === 1 ? "proxy" : "proxies"}, ${seconds}s`]
  if (limited > 0n) parts.push(`${limited} left out (--max-rps)`)
  if (dropped > 0n) parts.push(`${dropped} dropped`)
  if (failures.length > 0) parts.push(`not heard: ${failures[0]}`)
  return parts.join(", ")
}
