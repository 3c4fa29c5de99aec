// The objects of one kind as the API server last said: turns lists and events into changes of the store, and holds
// the complaints about objects that cannot be read.
import { type ClusterChange, FieldError, type Problem, readObject } from "../cluster/mod.ts"
import type { Resource } from "./resources.ts"

/** Most objects of a kind whose complaints are kept; the first ones are enough to act on. */
export const MAX_COMPLAINTS = 100

/** An object in its standard shape, as far as it is needed before it is read. */
interface RawObject {
  readonly metadata?: {
    readonly name?: unknown
    readonly namespace?: unknown
    readonly resourceVersion?: unknown
  }
}

/** Resource version of an object or a list; empty when it has none. */
export function versionOf(object: unknown): string {
  const version = (object as RawObject | null | undefined)?.metadata?.resourceVersion
  return typeof version === "string" ? version : ""
}

/** Objects of one kind. */
export class ObjectSet {
  private readonly resource: Resource
  private keys = new Set<string>()
  private readonly complaints = new Map<string, Problem>()

  constructor(resource: Resource) {
    this.resource = resource
  }

  /** Objects known. */
  get size(): number {
    return this.keys.size
  }

  /** What is wrong with objects now. */
  problems(): Iterable<Problem> {
    return this.complaints.values()
  }

  /** Begins a list: what is not in it will be gone. */
  beginList(): ListInProgress {
    const seen = new Set<string>()
    const changes: ClusterChange[] = []
    return {
      add: items => {
        for (const item of items) {
          const key = this.keyOf(item)
          if (key === "") continue
          seen.add(key)
          this.read(key, item, changes)
        }
      },
      finish: () => {
        for (const key of this.keys) if (!seen.has(key)) changes.push({ remove: key })
        for (const key of this.complaints.keys()) if (!seen.has(key)) this.complaints.delete(key)
        this.keys = seen
        return changes
      },
    }
  }

  /** The change that an object's new state makes. */
  put(item: unknown, changes: ClusterChange[]): void {
    const key = this.keyOf(item)
    if (key === "") return
    this.keys.add(key)
    this.read(key, item, changes)
  }

  /** The change that an object's end makes. */
  remove(item: unknown, changes: ClusterChange[]): void {
    const key = this.keyOf(item)
    this.keys.delete(key)
    this.complaints.delete(key)
    changes.push({ remove: key })
  }

  /** The changes that the end of the whole kind makes. */
  clear(): ClusterChange[] {
    return this.beginList().finish()
  }

  private keyOf(item: unknown): string {
    const { name, namespace = "" } = (item as RawObject | null | undefined)?.metadata ?? {}
    if (typeof name !== "string" || typeof namespace !== "string") return ""
    return `${this.resource.kind.toLowerCase()}/${namespace}/${name}`
  }

  /** An object that cannot be read is reported, and its last good state stays in force. */
  private read(key: string, item: unknown, changes: ClusterChange[]): void {
    this.complaints.delete(key)
    try {
      const { object, warnings } = readObject(this.standardShape(item))
      // What says nothing to the mesh any more, such as a route that left its Services for a Gateway, is gone.
      changes.push(object === null ? { remove: key } : { put: object })
      for (const warning of warnings) this.complain(key, warning, "")
    } catch (error) {
      if (!(error instanceof FieldError)) throw error
      this.complain(key, error, "; the object's last good state stays in force")
    }
  }

  private complain(key: string, { path, message }: FieldError, rest: string): void {
    if (this.complaints.has(key) || this.complaints.size >= MAX_COMPLAINTS) return
    const [, namespace, name] = key.split("/")
    this.complaints.set(key, {
      where: `${this.resource.kind} ${namespace === "" ? name : `${namespace}/${name}`}`,
      message: `${path.join(".")} ${message}${rest}`,
    })
  }

  /** Items of a list have no kind, and those of metadata alone the kind of that. */
  private standardShape(item: unknown): unknown {
    const { kind, apiVersion, metadataOnly } = this.resource
    const body = metadataOnly ? { spec: { template: {}, jobTemplate: {} } } : {}
    return { ...body, ...(item as object), kind, apiVersion }
  }
}

/** A list that is being read, page by page. */
export interface ListInProgress {
  /** Takes a page. */
  add(items: readonly unknown[]): void
  /** Everything was listed. @returns what changes */
  finish(): ClusterChange[]
}
