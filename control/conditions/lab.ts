// What tests of conditions are made of: an API server over real HTTP that keeps objects by kind, and takes statuses as a real
// one does: under the version that was read, or not at all.
import { KubeApi } from "../../deploy/kubernetes/mod.ts"

/** An object as it is stored. */
export interface StoredObject {
  readonly metadata: {
    readonly namespace: string
    readonly name: string
    generation: number
    resourceVersion: string
  }
  spec: object
  status: { [list: string]: object[] }
}

/** A status that was asked for. */
export interface StatusPatch {
  /** Path with its query. */
  readonly path: string
  readonly contentType: string
  readonly body: { readonly metadata: object; readonly status: StoredObject["status"] }
}

/** A running server. Use with `await using`. */
export class StatusServer implements AsyncDisposable {
  /** Objects by the path of their kind, such as `/apis/apps/v1/deployments`; a kind that is not there is 404. */
  readonly kinds = new Map<string, StoredObject[]>()
  readonly patches: StatusPatch[] = []
  /** Lists asked for, pages counted. */
  lists = 0
  /** Refuses what is asked with a status. Default: nothing. */
  refuse: (method: string, path: string) => number = () => 0
  /** Called before a patch is looked at: the place for somebody else to come between. */
  beforePatch: (object: StoredObject) => void = () => {}
  readonly api: KubeApi
  #version = 0
  readonly #server: Bun.Server<undefined>

  constructor() {
    this.#server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: request => this.#answer(request) })
    const server = `http://127.0.0.1:${this.#server.port}`
    this.api = new KubeApi({
      ...{ server, what: "a test", namespace: "default" },
      current: async () => ({ server, headers: {}, tls: {}, proxy: "" }),
    })
  }

  /** Puts an object of a kind, a new generation of one that is there. */
  put(kind: string, name: string, spec: object, namespace = "shop"): StoredObject {
    const all = this.kinds.get(kind) ?? []
    this.kinds.set(kind, all)
    let one = all.find(({ metadata }) => metadata.name === name && metadata.namespace === namespace)
    if (one === undefined) {
      one = { metadata: { namespace, name, generation: 0, resourceVersion: "" }, spec, status: {} }
      all.push(one)
    }
    one.spec = spec
    one.metadata.generation++
    this.touch(one)
    return one
  }

  /** Somebody wrote the object. */
  touch({ metadata }: StoredObject): void {
    metadata.resourceVersion = String(++this.#version)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop(true)
  }

  async #answer(request: Request): Promise<Response> {
    const { pathname, search, searchParams } = new URL(request.url)
    const refused = this.refuse(request.method, pathname)
    if (refused !== 0) return refusal(refused)
    const list = this.kinds.get(pathname)
    if (request.method === "GET") {
      if (list === undefined) return refusal(404)
      this.lists++
      const from = Number(searchParams.get("continue") ?? 0)
      const to = from + Number(searchParams.get("limit") ?? list.length)
      const more = to < list.length ? { continue: String(to) } : {}
      return Response.json({ items: list.slice(from, to), metadata: more })
    }
    const [, base, namespace, plural, name] =
      /^(.*)\/namespaces\/([^/]+)\/([^/]+)\/([^/]+)\/status$/.exec(pathname) ?? []
    const object = this.kinds
      .get(`${base}/${plural}`)
      ?.find(({ metadata }) => metadata.name === name && metadata.namespace === namespace)
    if (object === undefined) return refusal(404)
    const body = (await request.json()) as StatusPatch["body"] & { metadata: { resourceVersion?: string } }
    this.patches.push({
      path: `${pathname}${search}`,
      contentType: request.headers.get("content-type") ?? "",
      body,
    })
    this.beforePatch(object)
    const { resourceVersion } = body.metadata
    if (resourceVersion !== undefined && resourceVersion !== object.metadata.resourceVersion)
      return refusal(409)
    object.status = { ...object.status, ...body.status }
    this.touch(object)
    return Response.json(object)
  }
}

function refusal(code: number): Response {
  return Response.json(
    { kind: "Status", status: "Failure", code, message: `refused with ${code}` },
    { status: code },
  )
}

/** Time that a test drives: what was to run later waits until it is told to. */
export class DrivenTime {
  readonly due: { readonly run: () => unknown; readonly ms: number }[] = []

  readonly later = (run: () => unknown, ms: number): (() => void) => {
    const one = { run, ms }
    this.due.push(one)
    return () => this.due.splice(this.due.indexOf(one), 1)
  }

  /** Runs what is due, to its end. @returns how long it had waited */
  async pass(): Promise<number[]> {
    const now = this.due.splice(0)
    await Promise.all(now.map(({ run }) => run()))
    return now.map(({ ms }) => ms)
  }
}
