// A Kubernetes API server for tests, over real HTTP: holds objects, lists and gets them, reviews rights, refuses.
import { resourceNameOf } from "../../deploy/install/mod.ts"

/** An object as it is stored. */
export interface StoredObject {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: {
    readonly name: string
    readonly namespace?: string
    readonly labels?: Readonly<Record<string, string>>
    readonly annotations?: Readonly<Record<string, string>>
  }
  readonly [field: string]: unknown
}

const PLURALS: Readonly<Record<string, string>> = {
  Pod: "pods",
  EndpointSlice: "endpointslices",
  Lease: "leases",
}

/** The server. */
export class FakeKubernetes {
  objects: StoredObject[] = []
  /** Paths that are refused with 403, as beginnings. */
  refuses: string[] = []
  /** Rights that nobody has, such as `create clusterroles`. */
  denies: string[] = []
  /** What the creation of a pod is refused with; empty to take it. */
  podRefusal = ""
  version = { major: "1", minor: "34", gitVersion: "v1.34.1" }
  /** Versions of the Gateway API; empty where it is not installed. */
  gatewayVersions: string[] = []
  /** Its clock differs from this machine's by so many milliseconds. */
  skewMs = 0
  private readonly server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: request => this.answer(request),
  })

  /** `http://127.0.0.1:PORT`. */
  get address(): string {
    return `http://127.0.0.1:${this.server.port}`
  }

  /** A kubeconfig that leads here. */
  get kubeconfig(): string {
    return JSON.stringify({
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name: "fake", cluster: { server: this.address, "insecure-skip-tls-verify": true } }],
      users: [{ name: "someone", user: { token: "t" } }],
      contexts: [{ name: "fake", context: { cluster: "fake", user: "someone" } }],
      "current-context": "fake",
    })
  }

  /** Ends it. */
  async stop(): Promise<void> {
    await this.server.stop(true)
  }

  private async answer(request: Request): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url)
    const headers = { date: new Date(Date.now() + this.skewMs).toUTCString() }
    const json = (value: unknown, status = 200) => Response.json(value, { status, headers })
    const status = (code: number, reason: string, message: string) =>
      json({ kind: "Status", status: "Failure", reason, message, code }, code)
    if (this.refuses.some(path => pathname.startsWith(path)))
      return status(403, "Forbidden", `someone cannot ask for ${pathname}`)
    if (pathname === "/version") return json(this.version)
    if (pathname === "/apis/gateway.networking.k8s.io" && this.gatewayVersions.length > 0)
      return json({ kind: "APIGroup", versions: this.gatewayVersions.map(version => ({ version })) })
    if (pathname.endsWith("/selfsubjectaccessreviews")) {
      const body = (await request.json()) as {
        spec: { resourceAttributes: { verb: string; resource: string } }
      }
      const { verb, resource } = body.spec.resourceAttributes
      return json({ ...body, status: { allowed: !this.denies.includes(`${verb} ${resource}`) } }, 201)
    }
    if (request.method === "POST" && pathname.endsWith("/pods")) {
      if (searchParams.get("dryRun") !== "All") throw new Error("a check made a pod")
      return this.podRefusal === ""
        ? json(await request.json(), 201)
        : status(403, "Forbidden", this.podRefusal)
    }
    const match =
      /^\/(?:api\/(v1)|apis\/([^/]+\/[^/]+))(?:\/namespaces\/([^/]+))?\/([a-z]+)(?:\/([^/]+))?$/.exec(
        pathname,
      ) ?? /^\/(?:api\/(v1)|apis\/([^/]+\/[^/]+))()\/(namespaces)(?:\/([^/]+))?$/.exec(pathname)
    if (match === null) return status(404, "NotFound", `nothing at ${pathname}`)
    const [, core, group, namespace = "", plural, name] = match
    const wanted = (searchParams.get("labelSelector") ?? "").split(",").filter(one => one !== "")
    const found = this.objects.filter(
      ({ apiVersion, kind, metadata }) =>
        apiVersion === (core ?? group) &&
        (PLURALS[kind] ?? resourceNameOf(kind)) === plural &&
        (namespace === "" || metadata.namespace === namespace) &&
        wanted.every(one => metadata.labels?.[one.split("=")[0] ?? ""] === one.split("=")[1]),
    )
    if (name === undefined) return json({ kind: "List", metadata: {}, items: found })
    const one = found.find(({ metadata }) => metadata.name === name)
    return one === undefined ? status(404, "NotFound", `${plural} "${name}" not found`) : json(one)
  }
}
