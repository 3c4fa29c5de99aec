// Messages of PolicyService.Ask to and from plain data. Field numbers are those of conduit/policy/v1/ask.proto; a test holds
// them to the generated code.
import { ProtoReader, ProtoWriter } from "../control_plane/mod.ts"

/** There is no answer. */
export const DECISION_NONE = 0
/** Lets the request through unless another policy denies it. */
export const DECISION_ALLOW = 1
/** Refuses it. */
export const DECISION_DENY = 2
/** Leaves it to the other policies. */
export const DECISION_DEFER = 3

/** What a plugin is told of a request. */
export interface AskedFacts {
  /** SPIFFE id of the client; empty for none. */
  readonly clientId: string
  readonly clientAddress: string
  readonly port: number
  readonly method: string
  /** In normal form. */
  readonly path: string
  readonly authority: string
}

/** An answer. */
export interface AskAnswer {
  /** A `DECISION_` constant; any other number is as DECISION_NONE. */
  readonly decision: number
  readonly reason: string
  /** How long it holds for requests alike, milliseconds. */
  readonly cacheMs: number
}

/** The first message of a stream. */
export function encodeHello(namespace: string, pod: string): Uint8Array {
  const writer = new ProtoWriter()
  writer.text(1, namespace)
  writer.text(2, pod)
  return writer.finish()
}

/** A question. @param headers  values by the names of `names`, undefined for a field that the request has not */
export function encodeQuestion(
  id: number,
  plugin: string,
  facts: AskedFacts,
  names: readonly string[],
  headers: readonly (string | undefined)[],
): Uint8Array {
  const writer = new ProtoWriter()
  writer.varint(3, id)
  writer.text(4, plugin)
  writer.text(5, facts.clientId)
  writer.text(6, facts.clientAddress)
  writer.varint(7, facts.port)
  writer.text(8, facts.method)
  writer.text(9, facts.path)
  writer.text(10, facts.authority)
  for (const [index, name] of names.entries()) {
    const value = headers[index]
    if (value === undefined) continue
    writer.begin(11)
    writer.text(1, name)
    writer.text(2, value)
    writer.end()
  }
  return writer.finish()
}

/**
 * Reads an answer.
 *
 * @throws ProtoError when the bytes are no AskResponse
 */
export function decodeAnswer(bytes: Uint8Array): AskAnswer & { readonly id: number } {
  const reader = new ProtoReader(bytes)
  let id = 0
  let decision = DECISION_NONE
  let reason = ""
  let cacheMs = 0
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) id = reader.varint()
    else if (field === 2) decision = reader.varint()
    else if (field === 3) reason = reader.text()
    else if (field === 4) cacheMs = reader.varint()
    else reader.skip()
  }
  return { id, decision, reason, cacheMs }
}
