// A call as people describe it on the command line, and what explaining it prints.
import type { MessageInitShape } from "@bufbuild/protobuf"
import {
  CallOutcome,
  type CallPartySchema,
  type CallStep,
  type ClusterPlace,
  type ExplainCallResponse,
} from "../../protos/mod.ts"
import { UsageError } from "../failure.ts"
import { MARKS, paint } from "../marks.ts"
import { KINDS, kindOf } from "../resource.ts"

/** One end of a call, as the API takes it. */
export type PartyArgument = MessageInitShape<typeof CallPartySchema>

/** A called side, with what else its word said. */
export interface CalledArgument {
  readonly party: PartyArgument
  /** Path of a URL; "" for none. */
  readonly path: string
  /** `tls` of an https URL; "" for none. */
  readonly protocol: string
}

/** The two ends of a call. */
export interface CallArguments {
  readonly from: PartyArgument
  readonly to: CalledArgument
  /** The same as they were typed. */
  readonly typed: readonly [string, string]
}

/**
 * Reads FROM and TO: `deploy/web`, `shop/deploy/web`, `deploy web`, and of TO also `svc/web:http`, `web.shop:8080`, an
 * address, or a URL.
 *
 * @throws UsageError when they are not two, or one cannot be read
 */
export function parseCall(words: readonly string[]): CallArguments {
  const parts: string[] = []
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? ""
    const next = words[i + 1]
    // `deploy web` is one of them, as kubectl writes it.
    if (isKind(word) && next !== undefined) {
      parts.push(`${word}/${next}`)
      i++
    } else parts.push(word)
  }
  const [from, to] = parts
  if (from === undefined || to === undefined || parts.length > 2) {
    throw new UsageError(
      "conduit explain takes FROM and TO, such as: conduit explain deploy/web svc/cart:80 --path /items; or --id ID",
    )
  }
  const caller = parseParty(from)
  if (caller.port !== "") throw new UsageError(`"${from}" names a port, which the calling side has none of`)
  return { from: caller, to: parseCalled(to), typed: [from, to] }
}

function parseCalled(word: string): CalledArgument {
  const url = /^(https?):\/\//i.test(word) && URL.canParse(word) ? new URL(word) : null
  if (url === null) return { party: parseParty(word), path: "", protocol: "" }
  const secure = url.protocol === "https:"
  const port = url.port === "" ? (secure ? "443" : "80") : url.port
  const { pathname, search } = url
  return { party: hostParty(url.hostname, port), path: `${pathname}${search}`, protocol: secure ? "tls" : "" }
}

function parseParty(word: string): PartyArgument & { readonly port: string } {
  const parts = word.split("/")
  if (parts.length > 3 || parts.some(part => part === "")) throw unreadable(word)
  if (parts.length === 1) {
    const bracketed = /^\[([0-9a-fA-F:.]+)\](?::(.+))?$/.exec(word)
    if (bracketed !== null) return hostParty(bracketed[1] ?? "", bracketed[2] ?? "")
    // An IPv6 address as it is has no port.
    if ((word.match(/:/g)?.length ?? 0) > 1) return hostParty(word, "")
    const [host = "", port = ""] = word.split(":")
    return hostParty(host, port)
  }
  const [kind = "", rest = ""] = parts.slice(-2)
  const [name = "", port = ""] = rest.split(":")
  if (name === "" || rest.split(":").length > 2) throw unreadable(word)
  return { namespace: parts.length === 3 ? (parts[0] ?? "") : "", kind: kindOf(kind), name, host: "", port }
}

function hostParty(host: string, port: string) {
  if (!/^[-_a-zA-Z0-9.:]+$/.test(host)) throw unreadable(host)
  return { namespace: "", kind: "", name: "", host: host.replace(/^\[|\]$/g, ""), port }
}

function unreadable(word: string): UsageError {
  return new UsageError(
    `"${word}" is neither a resource (deploy/web, shop/deploy/web, svc/web:80) nor a name or address (web.shop:80)`,
  )
}

function isKind(word: string): boolean {
  return Object.entries(KINDS).some(([kind, words]) => kind === word || words.includes(word))
}

/** @throws UsageError unless it is `name: value` */
export function parseHeader(text: string): { name: string; value: string } {
  const colon = text.indexOf(":")
  const name = text.slice(0, Math.max(0, colon)).trim()
  if (!/^[-!#$%&'*+.^_`|~0-9A-Za-z]+$/.test(name)) {
    throw new UsageError(
      `--header cannot be "${text}"; write it as in HTTP, such as --header 'x-canary: yes'`,
    )
  }
  return { name, value: text.slice(colon + 1).trim() }
}

/** Where a field stands in a file. */
export interface FilePlace {
  readonly file: string
  /** From 1. */
  readonly line: number
}

/** Looks for the place of an object's field; null where no file has it. */
export type PlaceFinder = (place: ClusterPlace) => FilePlace | null

interface Outcome {
  readonly word: "ok" | "warn" | "fail" | "none"
  readonly mark: (typeof MARKS)[keyof typeof MARKS]
}

const UNKNOWN: Outcome = { word: "none", mark: MARKS.skipped }

const OUTCOMES: Readonly<Partial<Record<CallOutcome, Outcome>>> = {
  [CallOutcome.OK]: { word: "ok", mark: MARKS.success },
  [CallOutcome.WARN]: { word: "warn", mark: MARKS.warning },
  [CallOutcome.FAIL]: { word: "fail", mark: MARKS.failure },
  [CallOutcome.NONE]: UNKNOWN,
}

/** A place as data. */
export interface PlaceReport {
  readonly kind: string
  readonly namespace: string | null
  readonly name: string
  readonly field: string | null
  readonly file: string | null
  readonly line: number | null
}

/** `conduit explain FROM TO -o json`. */
export interface CallReport {
  /** As typed. */
  readonly from: string
  readonly to: string
  /** The pod that was taken for the caller; null for an address. */
  readonly fromPod: string | null
  readonly verdict: {
    /** Share of such calls that an application answers, 0 to 1. */
    readonly answered: number
    /** Status that a proxy answers; null where none does. */
    readonly status: number | null
    /** Reason in conduit-proxy-error; null where none is. */
    readonly error: string | null
    /** The step that decided; null where the call passes them all. */
    readonly step: string | null
    readonly summary: string
  }
  readonly steps: readonly {
    readonly name: string
    readonly outcome: "ok" | "warn" | "fail" | "none"
    readonly decision: string
    readonly reason: string | null
    readonly object: PlaceReport | null
    readonly details: readonly string[]
    /** What holds besides, and the object that has it so. */
    readonly notes: readonly { readonly text: string; readonly object: PlaceReport | null }[]
    readonly change: string | null
  }[]
}

/** The answer as data. */
export function reportOf(
  { steps, verdict, fromPod }: ExplainCallResponse,
  typed: readonly [string, string],
  find: PlaceFinder,
): CallReport {
  const text = (value: string | undefined): string | null =>
    value === undefined || value === "" ? null : value
  const [from, to] = typed
  return {
    from,
    to,
    fromPod: text(fromPod),
    verdict: {
      answered: verdict?.answered ?? 0,
      status: verdict === undefined || verdict.status === 0 ? null : verdict.status,
      error: text(verdict?.error),
      step: text(verdict?.step),
      summary: verdict?.summary ?? "",
    },
    steps: steps.map(({ name, outcome, decision, reason, object, details, notes, change }) => ({
      name,
      outcome: (OUTCOMES[outcome] ?? UNKNOWN).word,
      decision,
      reason: text(reason),
      object: placeReport(object, find),
      details,
      notes: notes.map(note => ({ text: note.text, object: placeReport(note.object, find) })),
      change: text(change),
    })),
  }
}

function placeReport(object: ClusterPlace | undefined, find: PlaceFinder): PlaceReport | null {
  if (object === undefined) return null
  const at = find(object)
  const { kind, name, namespace, field } = object
  return {
    ...{ kind, name, namespace: namespace || null, field: field || null },
    ...{ file: at?.file ?? null, line: at?.line ?? null },
  }
}

/** How lines look. */
export interface CallLook {
  /** On a terminal. */
  readonly ticks: boolean
  readonly colour: boolean
}

/**
 * The answer for people: a line per decision, below it why, where, and what would change it.
 *
 * @param headline  what was asked
 */
export function callText(
  answer: ExplainCallResponse,
  headline: string,
  look: CallLook,
  find: PlaceFinder,
): string {
  const lines = [headline]
  // The same object again tells nothing new, unless another field of it decides.
  let before = ""
  for (const step of answer.steps) {
    const { object } = step
    const place = object === undefined ? "" : placeText(object, find(object))
    lines.push(...stepLines(step, look, place === before ? "" : place, find))
    if (place !== "") before = place
  }
  const { verdict } = answer
  const good = isAnswered(answer)
  const mark = good ? MARKS.success : MARKS.failure
  const error = verdict === undefined || verdict.error === "" ? "" : `conduit-proxy-error: ${verdict.error}`
  lines.push(
    "",
    `${paint(look.ticks ? mark.tick : mark.word, mark.colour, look)} ${paint(verdict?.summary ?? "", 1, look)}`,
  )
  if (error !== "") lines.push(`${margin(look)}${error}`)
  return `${lines.join("\n")}\n`
}

/** Whether every such call is answered by an application. */
export function isAnswered({ verdict }: ExplainCallResponse): boolean {
  return (verdict?.answered ?? 0) >= 1
}

const NAME_WIDTH = "endpoints".length

function stepLines(
  { name, outcome, decision, reason, details, notes, change }: CallStep,
  look: CallLook,
  place: string,
  find: PlaceFinder,
): string[] {
  const { mark } = OUTCOMES[outcome] ?? UNKNOWN
  const head = paint(look.ticks ? mark.tick : mark.word, mark.colour, look)
  const lines = [`${head} ${name.padEnd(NAME_WIDTH)}  ${decision}`]
  const below = `${margin(look)}${" ".repeat(NAME_WIDTH + 2)}`
  if (reason !== "") lines.push(`${below}${reason}`)
  for (const detail of details) lines.push(`${below}- ${detail}`)
  if (place !== "") lines.push(`${below}${paint(`at ${place}`, 2, look)}`)
  for (const note of notes) {
    lines.push(`${below}- ${note.text}`)
    if (note.object !== undefined)
      lines.push(`${below}  ${paint(`at ${placeText(note.object, find(note.object))}`, 2, look)}`)
  }
  if (change !== "") lines.push(`${below}${look.ticks ? "→" : "->"} ${change}`)
  return lines
}

function margin({ ticks }: CallLook): string {
  return " ".repeat((ticks ? 1 : MARKS.success.word.length) + 1)
}

function placeText({ kind, namespace, name, field }: ClusterPlace, at: FilePlace | null): string {
  const object = `${kind} ${namespace === "" ? name : `${namespace}/${name}`}`
  return `${object}${field === "" ? "" : `, ${field}`}${at === null ? "" : ` (${at.file}:${at.line})`}`
}
