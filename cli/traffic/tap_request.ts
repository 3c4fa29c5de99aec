// Flags of `tap` and `top`, as the API takes them.
import type { MessageInitShape } from "@bufbuild/protobuf"
import type { ArgsDef } from "citty"
import type { TapHeaders, TapRequestSchema } from "../../protos/mod.ts"
import { parseDurationMs } from "../command_line/duration.ts"
import { UsageError } from "../failure.ts"
import { parseResources, peerOf, queryOf, selectorOf } from "../resource.ts"

/** Requests a second that the API tells of at most. */
export const MAX_TAP_RPS = 10_000

/** What both commands take. */
export const TAP_FLAGS = {
  from: { type: "string", valueHint: "RESOURCE", description: "only requests that this sends" },
  "from-namespace": { type: "string", valueHint: "NAMESPACE", description: "namespace of --from" },
  to: { type: "string", valueHint: "RESOURCE", description: "only requests that go to this" },
  "to-namespace": { type: "string", valueHint: "NAMESPACE", description: "namespace of --to" },
  method: { type: "string", valueHint: "METHOD", description: "only this method" },
  path: { type: "string", valueHint: "PREFIX", description: "only paths that begin so" },
  "path-regex": { type: "string", valueHint: "RE2", description: "only paths that match as a whole" },
  authority: { type: "string", valueHint: "NAME", description: "only this authority, as sent" },
  status: {
    type: "string",
    valueHint: "STATUS",
    description: "only answers of 404, 5xx, 400-499, or failed; told of when they have ended",
  },
  "min-latency": {
    type: "string",
    valueHint: "DURATION",
    description: "only requests that took so long; told of when they have ended",
  },
  sample: { type: "string", valueHint: "SHARE", description: "only a share of the requests: 0.1 or 10%" },
  for: { type: "string", valueHint: "DURATION", description: "end after this" },
} as const satisfies ArgsDef

/** Values of TAP_FLAGS. */
export interface TapArgs {
  readonly _: readonly string[]
  readonly from?: string | undefined
  readonly "from-namespace"?: string | undefined
  readonly to?: string | undefined
  readonly "to-namespace"?: string | undefined
  readonly method?: string | undefined
  readonly path?: string | undefined
  readonly "path-regex"?: string | undefined
  readonly authority?: string | undefined
  readonly status?: string | undefined
  readonly "min-latency"?: string | undefined
  readonly sample?: string | undefined
  readonly selector?: string | undefined
  readonly "max-rps"?: string | undefined
  readonly max?: string | undefined
}

/** What to ask the API for; the namespace is known later. */
export type TapQuestion = (namespace: string) => MessageInitShape<typeof TapRequestSchema>

/**
 * Reads the flags.
 *
 * @param connections  raw connections too
 * @throws UsageError for what cannot be
 */
export function tapQuestion(
  args: TapArgs,
  defaultRps: number,
  headers: TapHeaders,
  connections = false,
): TapQuestion {
  const [target, ...more] = parseResources(args._)
  if (target === undefined || more.length > 0)
    throw new UsageError("one resource is tapped at a time, such as deploy/web, deploy, or ns/shop")
  const from = peerOf(args.from, "--from")
  const to = peerOf(args.to, "--to")
  if (from !== undefined && to !== undefined)
    throw new UsageError(
      "--from and --to cannot be used together: tap deploy/a --to deploy/b shows what a sends to b",
    )
  if (args.path !== undefined && args["path-regex"] !== undefined)
    throw new UsageError("--path and --path-regex cannot be used together")
  const filters = {
    method: args.method?.toUpperCase() ?? "",
    pathPrefix: args.path ?? "",
    pathRegex: args["path-regex"] ?? "",
    authority: args.authority ?? "",
    ...statuses(args.status),
    minLatencyMs:
      args["min-latency"] === undefined ? 0 : parseDurationMs(args["min-latency"], "--min-latency"),
    sample: share(args.sample),
    maxRps: count(args["max-rps"], "--max-rps", MAX_TAP_RPS) ?? defaultRps,
    max: count(args.max, "--max", 2 ** 32 - 1) ?? 0,
    headers,
    connections,
  }
  return namespace => {
    const sender = selectorOf(from, args["from-namespace"] ?? namespace)
    const receiver = selectorOf(to, args["to-namespace"] ?? namespace)
    return {
      ...filters,
      target: queryOf(target, namespace, args.selector),
      ...(sender === undefined ? {} : { from: sender }),
      ...(receiver === undefined ? {} : { to: receiver }),
    }
  }
}

/** What --status means. */
export function statuses(text: string | undefined): {
  readonly statusFrom: number
  readonly statusTo: number
  readonly failuresOnly: boolean
} {
  if (text === undefined) return { statusFrom: 0, statusTo: 0, failuresOnly: false }
  if (text === "failed") return { statusFrom: 0, statusTo: 0, failuresOnly: true }
  const [, digit] = /^([1-5])xx$/i.exec(text) ?? []
  const [, from, to = from] = /^([1-5]\d\d)(?:-([1-5]\d\d))?$/.exec(text) ?? []
  const statusFrom = digit === undefined ? Number(from) : Number(digit) * 100
  const statusTo = digit === undefined ? Number(to) : statusFrom + 99
  if (!(statusFrom <= statusTo))
    throw new UsageError(`--status cannot be "${text}"; write 404, 5xx, 400-499 or failed`)
  return { statusFrom, statusTo, failuresOnly: false }
}

/** A share of 0 to 1; 1 for nothing. */
export function share(text: string | undefined): number {
  if (text === undefined) return 1
  const [, number, percent] = /^(\d*\.?\d+)(%?)$/.exec(text) ?? []
  const value = Number(number) / (percent === "%" ? 100 : 1)
  if (!(value > 0 && value <= 1))
    throw new UsageError(`--sample cannot be "${text}"; write a share above 0 to 1, such as 0.1 or 10%`)
  return value
}

function count(text: string | undefined, flag: string, most: number): number | undefined {
  if (text === undefined) return undefined
  const value = /^\d+$/.test(text) ? Number(text) : 0
  if (value < 1 || value > most) throw new UsageError(`${flag} cannot be "${text}"; it is from 1 to ${most}`)
  return value
}
