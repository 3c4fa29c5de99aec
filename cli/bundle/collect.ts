// What goes into a support bundle. What cannot be had is named and hinders nothing: a bundle is asked for when things are broken.
import type { ApiClient } from "../../protos/mod.ts"
import { type ApiConnection, openApi } from "../connect.ts"
import type { GlobalArgs } from "../flags.ts"
import { planeMetrics } from "../inspect/controller_metrics.ts"
import { answersOf } from "../inspect/metrics.ts"
import { CLIENT_VERSION } from "../version.ts"

/** Proxies that are asked unless --proxies says otherwise. */
export const DEFAULT_PROXIES = 50
/** Proxies that can be asked at most: some 200 KB each. */
export const MAX_PROXIES = 1_000
/** Latest bytes of a container's log that are taken. */
export const MAX_LOG_BYTES = 512 * 1024
/** Size of a bundle before it is packed at most: what comes later is left out, and named. */
export const MAX_BUNDLE_BYTES = 256 * 1024 * 1024
/** Window of the figures that are taken. */
const WINDOW_MS = 600_000

/** A file of a bundle. */
export interface BundleFile {
  readonly path: string
  readonly text: string
}

/** What was found. */
export interface Collected {
  /** The mesh, for sentences. */
  readonly what: string
  readonly files: readonly BundleFile[]
  /** What could not be had, and why, a line each. */
  readonly missing: readonly string[]
}

/** Takes files in, as long as there is room. */
export class Collection {
  readonly files: BundleFile[] = []
  readonly missing: string[] = []
  private bytes = 0
  private readonly onBegin: (line: string) => void

  constructor(onBegin: (line: string) => void) {
    this.onBegin = onBegin
  }

  /** Takes a file. Names come from the cluster: what is no plain name is made one. */
  add(path: string, text: string): void {
    const safe = path
      .split("/")
      .map(part => part.replaceAll(/[^A-Za-z0-9._-]/g, "_").replace(/^\.+/, "_"))
      .join("/")
    this.bytes += Buffer.byteLength(text)
    if (this.bytes > MAX_BUNDLE_BYTES) this.missing.push(`${safe}: the bundle is full`)
    else this.files.push({ path: safe, text })
  }

  /** Takes data as JSON. */
  addJson(path: string, value: unknown): void {
    this.add(path, `${JSON.stringify(value, bigintAsNumber, 2)}\n`)
  }

  /** Makes a part; one that fails is named. */
  async part(what: string, make: () => Promise<void>): Promise<void> {
    this.onBegin(`${what} ...`)
    try {
      await make()
    } catch (error) {
      this.missing.push(`${what}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
}

function bigintAsNumber(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? Number(value) : value
}

/**
 * Asks for everything.
 *
 * @param proxies  proxies that are asked at most
 * @param onBegin  told of each part as it begins
 * @throws Failure when there is no mesh at all
 */
export async function collect(
  args: GlobalArgs,
  proxies: number,
  onBegin: (line: string) => void,
): Promise<Collected> {
  await using mesh = await openApi({ ...args, "all-namespaces": args.namespace === undefined })
  const taken = new Collection(onBegin)
  await taken.part("checks", async () => {
    const { checkReport } = await import("../check/report.ts")
    for (const moment of ["installed", "proxy"] as const)
      taken.addJson(`check-${moment}.json`, await checkReport(args, moment))
  })
  await ofApi(mesh, taken)
  await taken.part("metrics of the control plane", async () => {
    for (const { pod, text, error } of await planeMetrics(mesh)) {
      if (error === "") taken.add(`control-plane/${nameOf(pod)}/metrics.txt`, text)
      else taken.missing.push(`metrics of ${pod}: ${error}`)
    }
  })
  for (const [question, file] of [
    ["metrics", "metrics.txt"],
    ["discovery", "discovery.json"],
    ["policy", "policy.json"],
  ] as const)
    await taken.part(`${question} of proxies`, () => ofProxies(mesh, question, file, proxies, taken))
  if (mesh.cluster !== null) {
    const { ofCluster } = await import("./cluster_parts.ts")
    await ofCluster(mesh.cluster, mesh.namespace, proxies, taken)
  } else {
    const { ofLocalMesh } = await import("./local_parts.ts")
    await ofLocalMesh(mesh.local, mesh.namespace, proxies, taken)
  }
  return { what: mesh.what, files: taken.files, missing: taken.missing }
}

function nameOf(pod: string): string {
  return pod.slice(pod.lastIndexOf("/") + 1)
}

/** Calls of the API whose answers are files; none of them shows what requests hold. */
const CALLS: readonly (readonly [
  path: string,
  call: (api: ApiClient, namespace: string) => Promise<object>,
])[] = [
  ["config.json", api => api.config({})],
  ["check-api.json", (api, namespace) => api.check({ namespace })],
  ["endpoints.json", (api, namespace) => api.endpoints({ namespace })],
  ["events.json", api => api.events({})],
  [
    "stat.json",
    (api, namespace) =>
      api.stat({
        target: { kind: "deployment", namespace },
        windowMs: WINDOW_MS,
        refused: true,
        retries: true,
      }),
  ],
  [
    "routes.json",
    (api, namespace) => api.routes({ target: { kind: "service", namespace }, windowMs: WINDOW_MS }),
  ],
  ["gateway-routes.json", (api, namespace) => api.gatewayRoutes({ namespace, windowMs: WINDOW_MS })],
  [
    "edges.json",
    (api, namespace) => api.edges({ target: { kind: "deployment", namespace }, windowMs: WINDOW_MS }),
  ],
  [
    "policies.json",
    (api, namespace) => api.policies({ target: { kind: "deployment", namespace }, windowMs: WINDOW_MS }),
  ],
]

async function ofApi(mesh: ApiConnection, taken: Collection): Promise<void> {
  taken.addJson("versions.json", {
    client: CLIENT_VERSION,
    runtime: process.version,
    platform: `${process.platform}/${process.arch}`,
  })
  await taken.part("versions of the mesh", async () => {
    const { controlPlane, proxies } = await mesh.call(async api => await api.version({}))
    taken.addJson("versions-of-mesh.json", {
      controlPlane,
      proxies: proxies.map(({ version, pods }) => ({ version, pods })),
    })
  })
  for (const [path, call] of CALLS)
    await taken.part(path, async () => {
      taken.addJson(path, await mesh.call(async api => plain(await call(api, mesh.namespace))))
    })
  await taken.part("certificates", async () => {
    const certificates: object[] = []
    await mesh.call(async api => {
      for await (const { chainPem: _, ...rest } of api.identities({
        target: { kind: "pod", namespace: mesh.namespace },
      }))
        certificates.push(plain(rest))
    })
    taken.addJson("certificates.json", certificates)
  })
}

/** A message without its type names. */
function plain<T extends object>(message: T): object {
  return JSON.parse(
    JSON.stringify(message, (key, value) => (key === "$typeName" ? undefined : bigintAsNumber(key, value))),
  )
}

async function ofProxies(
  mesh: ApiConnection,
  question: "metrics" | "discovery" | "policy",
  file: string,
  most: number,
  taken: Collection,
): Promise<void> {
  let left = most
  let passed = 0
  await answersOf(
    mesh,
    { kind: "pod", name: "" },
    undefined,
    ({ namespace, pod, text, error }) => {
      if (left-- <= 0) passed++
      else if (error === "") taken.add(`proxies/${namespace}/${pod}/${file}`, text)
      else taken.missing.push(`${question} of the proxy of ${namespace}/${pod}: ${error}`)
    },
    question,
  )
  if (passed > 0)
    taken.missing.push(`${question} of ${passed} more proxies: --proxies ${most + passed} takes them too`)
}
