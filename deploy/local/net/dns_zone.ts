// Answers of the local cluster's name server: cluster.local from a table, everything else is not ours.
// Names as in the Kubernetes DNS specification (github.com/kubernetes/dns, docs/specification.md).
import { type Answer, decode, encode, type Packet, type Question } from "dns-packet"

/** Domain of the cluster. */
export const CLUSTER_DOMAIN = "cluster.local"
/** Seconds that an answer may be kept; as CoreDNS' kubernetes plugin, short because endpoints change. */
export const ANSWER_TTL_SECONDS = 5

/** All names below {@link CLUSTER_DOMAIN}; keys are lower-case, without a final dot. */
export interface DnsZone {
  readonly addresses: Readonly<Record<string, readonly string[]>>
  readonly services: Readonly<Record<string, readonly { readonly target: string; readonly port: number }[]>>
  readonly aliases: Readonly<Record<string, string>>
  readonly pointers: Readonly<Record<string, string>>
}

/** A zone with no names. */
export const EMPTY_ZONE: DnsZone = { addresses: {}, services: {}, aliases: {}, pointers: {} }

/** What to do with a query: answer it, ask elsewhere, or ask elsewhere for the target of an alias. */
export type Verdict =
  | { readonly kind: "answer"; readonly packet: Buffer }
  | { readonly kind: "forward" }
  | { readonly kind: "chase"; readonly query: Packet; readonly alias: Answer; readonly target: string }
  | { readonly kind: "drop" }

const AUTHORITATIVE = 1 << 10
const RECURSION_AVAILABLE = 1 << 7
const NXDOMAIN = 3
const NOT_IMPLEMENTED = 4
const SERVFAIL = 2

/**
 * What a query meets in the zone.
 *
 * @param turn  counts queries; rotates the order of several addresses so that clients spread
 */
export function resolve(message: Buffer, zone: DnsZone, turn: number): Verdict {
  let query: Packet
  try {
    query = decode(message)
  } catch {
    return { kind: "drop" }
  }
  const question = query.questions?.[0]
  if (query.type !== "query" || question === undefined) return { kind: "drop" }
  if (query.questions?.length !== 1) return answer(query, [], NOT_IMPLEMENTED)
  const name = question.name.toLowerCase().replace(/\.$/, "")
  const pointer = zone.pointers[name]
  if (pointer !== undefined) {
    return answer(query, question.type === "PTR" ? [record(question, "PTR", pointer)] : [])
  }
  if (name !== CLUSTER_DOMAIN && !name.endsWith(`.${CLUSTER_DOMAIN}`)) {
    return /(^|\.)(10\.in-addr\.arpa|d\.f\.ip6\.arpa)$/.test(name)
      ? answer(query, [], NXDOMAIN)
      : { kind: "forward" }
  }
  const alias = zone.aliases[name]
  if (alias !== undefined) return followAlias(query, question, alias, zone, turn)
  const answers = lookUp(question, name, zone, turn)
  return answers === null ? answer(query, [], NXDOMAIN) : answer(query, answers)
}

/** An answer that says the name server could not find out. */
export function failure(message: Buffer): Buffer | null {
  try {
    return encodeAnswer(decode(message), [], SERVFAIL)
  } catch {
    return null
  }
}

/** The query to send elsewhere for the target of an alias. */
export function targetQuery(query: Packet, target: string): Buffer {
  const question = query.questions?.[0]
  return encode({
    id: query.id ?? 0,
    type: "query",
    flags: 1 << 8,
    questions: [{ type: question?.type ?? "A", class: "IN", name: target }],
  })
}

/** Alias and what elsewhere said of its target, as one answer; glibc does not follow an alias by itself. */
export function chased(query: Packet, alias: Answer, reply: Buffer | null): Buffer {
  if (reply === null) return encodeAnswer(query, [alias], SERVFAIL)
  try {
    return encodeAnswer(query, [alias, ...(decode(reply).answers ?? [])], 0)
  } catch {
    return encodeAnswer(query, [alias], SERVFAIL)
  }
}

function followAlias(query: Packet, question: Question, alias: string, zone: DnsZone, turn: number): Verdict {
  const first = record(question, "CNAME", alias)
  if (question.type === "CNAME") return answer(query, [first])
  const target = alias.toLowerCase().replace(/\.$/, "")
  if (!target.endsWith(`.${CLUSTER_DOMAIN}`)) return { kind: "chase", query, alias: first, target }
  return answer(query, [first, ...(lookUp({ ...question, name: target }, target, zone, turn) ?? [])])
}

function lookUp(question: Question, name: string, zone: DnsZone, turn: number): Answer[] | null {
  const addresses = zone.addresses[name]
  const services = zone.services[name]
  if (addresses === undefined && services === undefined) {
    // A name in the middle of the tree exists, though nothing is recorded at it (RFC 8020).
    const below = `.${name}`
    const table = [zone.addresses, zone.services, zone.aliases]
    return table.some(names => Object.keys(names).some(known => known.endsWith(below))) ? [] : null
  }
  if (question.type === "A" || question.type === "AAAA") {
    const wanted = (addresses ?? []).filter(address => address.includes(":") === (question.type === "AAAA"))
    const from = wanted.length === 0 ? 0 : turn % wanted.length
    return [...wanted.slice(from), ...wanted.slice(0, from)].map(address =>
      record(question, question.type as "A", address),
    )
  }
  if (question.type === "SRV") {
    return (services ?? []).map(({ target, port }) =>
      record(question, "SRV", { priority: 0, weight: 100, port, target }),
    )
  }
  return []
}

function record(question: Question, type: string, data: unknown): Answer {
  return { type, class: "IN", name: question.name, ttl: ANSWER_TTL_SECONDS, data } as Answer
}

function answer(query: Packet, answers: Answer[], code = 0): Verdict {
  return { kind: "answer", packet: encodeAnswer(query, answers, code) }
}

function encodeAnswer(query: Packet, answers: Answer[], code: number): Buffer {
  const soa = {
    type: "SOA",
    class: "IN",
    name: CLUSTER_DOMAIN,
    ttl: ANSWER_TTL_SECONDS,
    data: {
      mname: `ns.dns.${CLUSTER_DOMAIN}`,
      rname: `hostmaster.${CLUSTER_DOMAIN}`,
      serial: 1,
      refresh: 7200,
      retry: 1800,
      expire: 86400,
      minimum: ANSWER_TTL_SECONDS,
    },
  } as Answer
  return encode({
    id: query.id ?? 0,
    type: "response",
    flags: AUTHORITATIVE | RECURSION_AVAILABLE | ((query.flags ?? 0) & (1 << 8)) | code,
    questions: query.questions ?? [],
    answers,
    authorities: answers.length === 0 && code !== SERVFAIL ? [soa] : [],
  })
}
