// What probes of the conformance kit have: the plugin's address, a connection that is made anew when it was lost, and calls.
import { create, type DescMessage, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf"
import { pluginV1 } from "../../protos/mod.ts"
import type { ContextInit, HookMethod } from "./hook_methods.ts"
import { type Ended, endedText, Wire, type WireCall, type WireTarget } from "./wire.ts"

/** How long an answer to what is no usual request may take: the kit is no judge of speed there. */
export const PATIENCE_MS = 5_000
/** A field that no version of the API has: number 15000, a varint. */
const UNKNOWN_FIELD = Uint8Array.of(0xc0, 0xa9, 0x07, 0x01)

/** How the kit is to go about it. */
export interface BenchOptions {
  readonly target: WireTarget
  /** Name of the `Plugin` object that is played. */
  readonly plugin: string
  /** As `spec.configuration`. */
  readonly configuration: Readonly<Record<string, unknown>>
  /** Milliseconds that a call may take, of a stream its first answer. */
  readonly deadlineMs: number
  /** Milliseconds that other answers may take; PATIENCE_MS unless given. */
  readonly patienceMs?: number
  /** Only checks with this in their name; all unless given. */
  readonly only?: string
}

/** How a unary call went. */
export interface Answered {
  /** Null: none came. */
  readonly answer: Uint8Array | null
  readonly ended: Ended
}

/** The bench that a plugin is on. */
export class Bench implements Disposable {
  readonly options: BenchOptions
  #wire: Wire | null = null

  constructor(options: BenchOptions) {
    this.options = options
  }

  /** What calls carry. */
  get context(): ContextInit {
    const { plugin, configuration } = this.options
    return {
      ...{ plugin, generation: 1n, trustDomain: "cluster.local" },
      configuration: configuration as NonNullable<ContextInit["configuration"]>,
    }
  }

  /** How long is waited for what has no deadline, milliseconds. */
  get patienceMs(): number {
    return this.options.patienceMs ?? PATIENCE_MS
  }

  /** A connection of its own. @throws Error with a sentence */
  async connect(): Promise<Wire> {
    return await Wire.open(this.options.target)
  }

  /** Begins a call on the common connection. @throws Error when there is none to be had */
  async begin({ method }: HookMethod, timeoutMs: number): Promise<WireCall> {
    this.#wire ??= await this.connect()
    try {
      return this.#wire.call(pathOf(method), timeoutMs)
    } catch {
      // The plugin has closed it meanwhile: nothing is wrong with that.
      this.#wire[Symbol.dispose]()
      this.#wire = await this.connect()
      return this.#wire.call(pathOf(method), timeoutMs)
    }
  }

  /** A call with one message of any bytes. */
  async unary(method: HookMethod, message: Uint8Array, timeoutMs: number): Promise<Answered> {
    const call = (await this.begin(method, timeoutMs)).send(message).end()
    // A little more than the deadline: what it says to one that has passed is an answer as well.
    const ended = await call.within(timeoutMs + 250)
    return { answer: await call.next(0), ended }
  }

  /** Why the plugin is not well; null when it still describes itself, on a new connection. */
  async illness(describe: HookMethod): Promise<string | null> {
    this[Symbol.dispose]()
    try {
      const { ended } = await this.unary(describe, encoded(describe, this.context), this.patienceMs)
      return ended.code === 0 ? null : endedText(ended)
    } catch (error) {
      return (error as Error).message
    }
  }

  [Symbol.dispose](): void {
    this.#wire?.[Symbol.dispose]()
    this.#wire = null
  }
}

/** Path of a method. */
export function pathOf({ parent, name }: HookMethod["method"]): string {
  return `/${parent.typeName}/${name}`
}

/** A message of a method, the first unless told otherwise. */
export function encoded({ method, messages }: HookMethod, context: ContextInit, index = 0): Uint8Array {
  return bytesOf(method.input, messages(context)[index] ?? {})
}

/** A message as bytes. */
export function bytesOf(schema: DescMessage, message: MessageInitShape<DescMessage>): Uint8Array {
  return toBinary(schema, create(schema, message))
}

/** The same message as a newer control plane might send it. */
export function withUnknownField(message: Uint8Array): Uint8Array {
  return Buffer.concat([message, UNKNOWN_FIELD])
}

/** What Describe answered. */
export function description(answer: Uint8Array): pluginV1.DescribeResponse {
  return fromBinary(pluginV1.DescribeResponseSchema, answer)
}
