// `conduit tap`: live requests of resources, as their proxies see them.
import { TapHeaders } from "../../protos/mod.ts"
import { command } from "../command_line/command.ts"
import { parseDurationMs } from "../command_line/duration.ts"
import { openApi } from "../connect.ts"
import { GLOBAL_FLAGS } from "../flags.ts"
import { formatOf, say, writeOut } from "../output.ts"
import { KIND_WORDS, SELECTOR_FLAG } from "../resource.ts"
import { untilSignal } from "../until_signal.ts"
import { connectionJsonText, connectionLine, curlText, jsonText, momentLine } from "./tap_lines.ts"
import { TAP_FLAGS, tapQuestion } from "./tap_request.ts"
import { listenToTap, stateLine, tapSummary } from "./tap_stream.ts"

const TAP_FORMATS = ["table", "wide", "json", "curl"] as const

/** Requests a second unless told otherwise: what a person can follow. */
const DEFAULT_RPS = 100

const args = {
  ...GLOBAL_FLAGS,
  output: {
    type: "string",
    alias: "o",
    valueHint: "FORMAT",
    description:
      "table, wide, json (an object a line, per request, when it is over) or curl (a command that repeats it)",
  },
  resource: {
    type: "positional",
    valueHint: "RESOURCE",
    description: "deploy/web, deploy web, or deploy for all",
    required: true,
  },
  ...TAP_FLAGS,
  max: { type: "string", valueHint: "N", description: "end after N requests or connections are over" },
  "max-rps": {
    type: "string",
    valueHint: "N",
    description: `requests a second at most, up to 10000; more are counted only (default: ${DEFAULT_RPS})`,
  },
  "show-headers": {
    type: "boolean",
    description: "values of header fields, too; needs a right of its own, and secrets stay redacted",
  },
  ...SELECTOR_FLAG,
} as const

/** `conduit tap RESOURCE`. */
export const tap = command({
  meta: {
    name: "tap",
    description: "Live requests and raw connections of resources, as their proxies see them",
  },
  args,
  variadic: true,
  offers: { resource: KIND_WORDS, from: KIND_WORDS, to: KIND_WORDS, output: TAP_FORMATS },
  examples: [
    { line: "conduit tap deploy/web", why: "what web gets and sends: a line for request, response and end" },
    {
      line: "conduit tap deploy/web --to deploy/cart --status failed",
      why: "what fails of its calls to cart",
    },
    {
      line: "conduit tap deploy/mysql",
      why: "its connections: open ones at once, and of those that end how long they were and what passed",
    },
    { line: "conduit tap ns/shop --path /checkout --min-latency 500ms", why: "slow checkouts" },
    {
      line: "conduit tap deploy/web --max 100 -o json | jq -r '[.status,.latencyMs,.path]|@tsv'",
      why: "for programs: id time direction from to tls method authority path route status grpcStatus latencyMs durationMs responseBytes success error",
    },
    { line: "conduit tap deploy/web --max 1 -o curl --show-headers", why: "one request, to be repeated" },
  ],
  async run({ args }) {
    const format = formatOf(args.output, TAP_FORMATS)
    const lasts = args.for === undefined ? undefined : parseDurationMs(args.for, "--for")
    const detailed = format !== "table"
    const headers = args["show-headers"]
      ? TapHeaders.VALUES
      : detailed
        ? TapHeaders.NAMES
        : TapHeaders.UNSPECIFIED
    const question = tapQuestion(args, DEFAULT_RPS, headers, format !== "curl")
    await using mesh = await openApi(args)
    const sinceMs = performance.now()
    using end = untilSignal(lasts)
    let told = ""
    const isText = format === "table" || format === "wide"
    const totals = await listenToTap(mesh, question(mesh.namespace), end.signal, {
      moment(request, moment) {
        if (isText) writeOut(momentLine(request, moment, format === "wide"))
        else if (moment === "ended") writeOut(format === "json" ? jsonText(request) : curlText(request))
      },
      connection(connection, moment) {
        if (isText) writeOut(connectionLine(connection, moment, format === "wide"))
        else if (moment === "closed") writeOut(connectionJsonText(connection))
      },
      state(state) {
        const now = stateLine(state, "tapping")
        if (now !== told && now !== "") say(`conduit: ${now}`)
        told = now
      },
    })
    say(`conduit: ${tapSummary(totals, Math.round((performance.now() - sinceMs) / 100) / 10)}`)
  },
})
