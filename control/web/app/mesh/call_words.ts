// One end of a call, or what is tapped, as people write it: `shop/deploy/web`, of whom is called also `web.shop:80`.
import type { MessageInitShape } from "@bufbuild/protobuf"
import type { CallPartySchema, ResourceSelectorSchema } from "../../../../protos/mod.ts"

/** Short words of kinds, as kubectl takes them. */
const KIND_WORDS: Readonly<Record<string, string>> = {
  deploy: "deployment",
  sts: "statefulset",
  ds: "daemonset",
  rs: "replicaset",
  po: "pod",
  svc: "service",
  ns: "namespace",
}

/** An end as the API takes it; null for what names none. */
export function partyOf(text: string): MessageInitShape<typeof CallPartySchema> | null {
  const word = text.trim()
  const parts = word.split("/")
  if (word === "" || parts.length > 3 || parts.some(part => part === "")) return null
  if (parts.length === 1) {
    const bracketed = /^\[([0-9a-fA-F:.]+)\](?::(\w[\w-]*))?$/.exec(word)
    if (bracketed !== null) return { host: bracketed[1] ?? "", port: bracketed[2] ?? "" }
    // An IPv6 address as it is has no port.
    if (word.split(":").length > 2) return { host: word }
    const [host = "", port = ""] = word.split(":")
    return host === "" ? null : { host, port }
  }
  const [kind = "", rest = ""] = parts.slice(-2)
  const [name = "", port = "", more] = rest.split(":")
  if (name === "" || more !== undefined) return null
  return { namespace: parts.length === 3 ? (parts[0] ?? "") : "", kind: kindOf(kind), name, port }
}

/** What is tapped: `shop/deploy/web`, `deploy/web` of the namespace, `ns/shop`; null for what names none. */
export function selectorOf(text: string): MessageInitShape<typeof ResourceSelectorSchema> | null {
  const party = partyOf(text)
  if (party === null || !party.kind || party.port) return null
  const { kind, name = "", namespace = "" } = party
  return { kind, name, namespace: kind === "namespace" ? "" : namespace || "default" }
}

function kindOf(word: string): string {
  const lower = word.toLowerCase()
  return KIND_WORDS[lower] ?? lower
}

/** Header fields, one a line; or the line that is none. */
export function headersOf(text: string): readonly { name: string; value: string }[] | string {
  const fields: { name: string; value: string }[] = []
  for (const line of text.split("\n")) {
    if (line.trim() === "") continue
    const [, name = "", value = ""] = /^\s*([-!#$%&'*+.^_`|~0-9A-Za-z]+)\s*:\s*(.*?)\s*$/.exec(line) ?? []
    if (name === "") return line
    fields.push({ name, value })
  }
  return fields
}
