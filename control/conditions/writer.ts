// Writes what became of objects into their status, where their authors look for it. A status' list is shared with others:
// it is read, our entries are put in, and it is written under the version that was read, so that nobody's is lost
// (https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions).
//
// Every replica does so, and none leads: all find the same from the same objects, and what one has written the next one
// finds and leaves alone; of two at the same time the API server refuses the second. A lease would need a right to write
// leases, and a time in which nobody holds it.
import { isDeepStrictEqual } from "node:util"
import { type KubeApi, KubeError } from "../../deploy/kubernetes/mod.ts"
import type { Resource } from "../kubernetes/mod.ts"
import type { Log } from "../log.ts"

/** Changes are gathered this long before objects are looked at, up to twice as long: several of us take turns so. */
export const CONDITIONS_AFTER_MS = 1_000
/** After a failure it is tried again this soon. */
export const CONDITIONS_RETRY_MS = 15_000
/** Objects written in a row, before a pause: a Service that goes changes every route that leads to it. */
export const CONDITIONS_BURST = 50
/** How long that pause is. */
export const CONDITIONS_PAUSE_MS = 1_000

/** An object as the API server has it, as far as it is looked at; the rest of it is there too. */
export interface StatusObject {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: {
    readonly name: string
    /** Absent for kinds of the whole cluster. */
    readonly namespace?: string
    readonly resourceVersion: string
    readonly generation?: number
  }
  readonly status?: { readonly [list: string]: unknown }
}

/** A kind of object with entries of ours in its status. */
export interface ConditionKind {
  readonly resource: Pick<Resource, "bases" | "plural" | "kind">
  /** Name of the list in the status that holds entries of ours and of others. */
  readonly list: string
  /**
   * That list of each object as it should be, others' entries left as they are.
   *
   * @param now  RFC 3339, to the second
   * @returns one for each object, in order; null for an object that is to be left alone now
   */
  lists(objects: readonly StatusObject[], now: string): readonly (readonly unknown[] | null)[]
}

/** What a writer works with. */
export interface ConditionWriterOptions {
  readonly api: Pick<KubeApi, "call" | "list">
  readonly kinds: readonly ConditionKind[]
  /** Who we are among the writers of an object's fields. */
  readonly manager: string
  readonly log: Log
  /** Wall clock, milliseconds since 1970. */
  readonly nowMs: () => number
  /** Random number from 0 to 1. */
  readonly random: () => number
  /** Runs something later, which returns what it waits for; returns what keeps it from running. */
  readonly later: (run: () => unknown, ms: number) => () => void
}

/** Keeps the status of all objects of some kinds current. Only what differs is written. */
export class ConditionWriter {
  /** Objects written. */
  written = 0
  readonly #options: ConditionWriterOptions
  #cancel: (() => void) | null = null
  #writing = false
  #again = false
  /** Objects written since the last pause. */
  #inRow = 0
  #stopped = false
  #complaint = ""

  constructor(options: ConditionWriterOptions) {
    this.#options = options
  }

  /** Objects, or what is to be said of them, may have changed. */
  changed(): void {
    this.#soon(CONDITIONS_AFTER_MS * (1 + this.#options.random()))
  }

  /** Ends it; what is being written may still be. */
  stop(): void {
    this.#stopped = true
    this.#cancel?.()
  }

  #soon(ms: number): void {
    this.#again = true
    if (this.#stopped || this.#writing || this.#cancel !== null) return
    this.#cancel = this.#options.later(() => {
      this.#cancel = null
      return this.#write()
    }, ms)
  }

  async #write(): Promise<void> {
    this.#writing = true
    this.#again = false
    this.#inRow = 0
    const complaints: string[] = []
    let failed = false
    for (const kind of this.#options.kinds) {
      try {
        complaints.push(...(await this.#look(kind)))
      } catch (error) {
        failed = true
        complaints.push(`the status of ${kind.resource.plural} cannot be written: ${textOf(error)}`)
      }
    }
    const complaint = complaints.join("; ")
    if (complaint !== "" && complaint !== this.#complaint) this.#options.log.warn(complaint)
    this.#complaint = complaint
    this.#writing = false
    if (failed) this.#soon(CONDITIONS_RETRY_MS)
    else if (this.#again) this.changed()
  }

  /** @returns what was refused of single objects: until they change it would be again */
  async #look(kind: ConditionKind): Promise<string[]> {
    const refusals: string[] = []
    const { base, objects } = await this.#list(kind)
    const now = new Date(this.#options.nowMs()).toISOString().replace(/\.\d+Z$/, "Z")
    const lists = kind.lists(objects, now)
    for (const [index, object] of objects.entries()) {
      const list = lists[index] ?? null
      const before = object.status?.[kind.list] ?? []
      if (this.#stopped || list === null || isDeepStrictEqual(before, list)) continue
      if (this.#inRow === CONDITIONS_BURST) {
        await this.#pause()
        this.#inRow = 0
      }
      this.#inRow++
      try {
        await this.#put(kind, base, object, list)
      } catch (error) {
        // It alone is what the API server does not take, and must not keep the others from being written.
        if (!(error instanceof KubeError) || (error.status !== 400 && error.status !== 422)) throw error
        const { namespace, name } = object.metadata
        const whose = namespace === undefined ? name : `${namespace}/${name}`
        refusals.push(`the status of ${object.kind} "${whose}" is refused: ${error.message}`)
      }
    }
    return refusals
  }

  async #put(
    kind: ConditionKind,
    base: string,
    object: StatusObject,
    list: readonly unknown[],
  ): Promise<void> {
    const { name, namespace, resourceVersion } = object.metadata
    const within = namespace === undefined ? "" : `namespaces/${encodeURIComponent(namespace)}/`
    const place = `${within}${kind.resource.plural}/${encodeURIComponent(name)}`
    try {
      await this.#options.api.call({
        method: "PATCH",
        path: `${base}/${place}/status?fieldManager=${this.#options.manager}`,
        contentType: "application/merge-patch+json",
        body: { metadata: { resourceVersion }, status: { [kind.list]: list } },
      })
      this.written++
    } catch (error) {
      const status = error instanceof KubeError ? error.status : 0
      // It went meanwhile; what comes in its place is looked at when it is heard of.
      if (status === 404) return
      // Somebody else wrote it since it was read: what there is now is looked at.
      if (status !== 409) throw error
      this.#again = true
    }
  }

  async #pause(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#cancel = this.#options.later(resolve, CONDITIONS_PAUSE_MS)
    await promise
    this.#cancel = null
  }

  /** Objects of a kind, from where its version is served; none when it is not there. */
  async #list({ resource }: ConditionKind): Promise<{ base: string; objects: StatusObject[] }> {
    for (const base of resource.bases) {
      try {
        const found = await this.#options.api.list<StatusObject>(`${base}/${resource.plural}`)
        const type = { apiVersion: base.replace(/^\/apis?\//, ""), kind: resource.kind }
        return { base, objects: found.map(object => ({ ...object, ...type })) }
      } catch (error) {
        if (!(error instanceof KubeError) || error.status !== 404) throw error
      }
    }
    return { base: "", objects: [] }
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
