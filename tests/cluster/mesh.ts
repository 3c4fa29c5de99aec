// A cluster that has the mesh's images, and what tests of the mesh do on it: install, apply, make load, read figures.
import { expect } from "bun:test"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { buildImages, type ImagePlan } from "../../deploy/images/mod.ts"
import { Cluster, type CommandResult } from "./cluster.ts"
import { ARCHITECTURE, TEST_IMAGES, TEST_TAG } from "./test_images.ts"

const ROOT = join(import.meta.dir, "../..")
const PEER_IMAGE = `conduit/peer:${TEST_TAG}`

/** Flags of `conduit install` for images that only this cluster has. */
export const INSTALL_FLAGS: readonly string[] = ["--image-version", TEST_TAG, "--image-pull-policy", "Never"]
/** A rollout takes seconds; on a machine that does much else, more. */
export const ROLLOUT_SECONDS = 120
/** Longer than it takes until no node sends new connections to a pod that ends, in seconds. */
const LEAVING_SECONDS = 3
/** What each container may count on: without a request the control plane's pods, as they start, leave it nothing. */
const CPU_SHARE = "50m"
/** Calls a second of a caller. */
export const CALLER_RATE = 20
/** Calls that say how a caller fares: two seconds of them, as many as hit every pod of a few. */
const SAMPLE_CALLS = 2 * CALLER_RATE
/** Longest wait for what is asked of a mesh, in milliseconds. */
const DEADLINE_MS = 60_000
/** Between two questions whether something is so, in milliseconds. */
const POLL_MS = 250

/** What became of a caller's calls since it was last told to begin anew. */
export interface Counts {
  readonly ok: number
  readonly failed: number
  /** Why the last one that failed did; empty when none has. */
  readonly last: string
}

/** Waits until a look finds something. @throws Error that says what was waited for */
export async function eventually<T>(
  what: string,
  look: () => Promise<T | undefined | false>,
  deadlineMs = DEADLINE_MS,
): Promise<T> {
  const end = performance.now() + deadlineMs
  for (;;) {
    const found = await look()
    if (found !== undefined && found !== false) return found
    if (performance.now() > end) throw new Error(`waited ${deadlineMs / 1000} s in vain until ${what}`)
    await Bun.sleep(POLL_MS)
  }
}

/** What kubectl calls a Deployment by its name alone, or another resource as it is written. */
function resource(name: string): string {
  return name.includes("/") ? name : `deployment/${name}`
}

/** A cluster for tests of the mesh. Use with `await using`. */
export class Mesh implements AsyncDisposable {
  readonly cluster: Cluster

  /** Home of `conduit`, empty. */
  readonly #home: string

  private constructor(cluster: Cluster, home: string) {
    this.cluster = cluster
    this.#home = home
  }

  /** Starts a cluster with a node, and loads our images into it. @param more  images beside those of a mesh's pods */
  static async up(...more: readonly ImagePlan[]): Promise<Mesh> {
    const folder = mkdtempSync(join(tmpdir(), "conduit-mesh-test-"))
    try {
      const images = [...TEST_IMAGES.filter(({ name }) => name !== "cli"), ...more]
      const [cluster, built] = await Promise.all([
        Cluster.up({ parts: "node" }),
        buildImages({ images, architectures: [ARCHITECTURE], folder, tag: TEST_TAG }),
      ])
      for (const { path } of built) await cluster.loadImage(path)
      return new Mesh(cluster, mkdtempSync(join(tmpdir(), "conduit-mesh-home-")))
    } finally {
      rmSync(folder, { recursive: true })
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    rmSync(this.#home, { recursive: true })
    await this.cluster[Symbol.asyncDispose]()
  }

  /** Runs `conduit` as the cluster's administrator; it may fail. */
  async tryConduit(args: readonly string[], input = ""): Promise<CommandResult> {
    // By flag: a local mesh that runs on this machine is found before the cluster of KUBECONFIG.
    const cluster = `--kubeconfig=${this.cluster.kubeconfig}`
    const child = Bun.spawn([process.execPath, "cli/main.ts", ...args, cluster], {
      cwd: ROOT,
      env: { PATH: process.env.PATH ?? "", HOME: this.#home },
      stdin: new Blob([input]),
      stdout: "pipe",
      stderr: "pipe",
    })
    const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
    return { code, stdout, stderr }
  }

  /** Runs `conduit` as the cluster's administrator. @throws Error with what it said when it fails */
  async conduit(args: readonly string[], input = ""): Promise<CommandResult> {
    const ended = await this.tryConduit(args, input)
    if (ended.code !== 0)
      throw new Error(`conduit ${args.join(" ")} ended with ${ended.code}: ${ended.stderr}`)
    return ended
  }

  /** Applies YAML or JSON, strictly validated. @param namespace  of objects that name none */
  async apply(input: string, namespace?: string): Promise<void> {
    const place = namespace === undefined ? [] : ["-n", namespace]
    await this.cluster.kubectl(["apply", "--server-side", "--validate=strict", ...place, "-f", "-"], {
      input,
    })
  }

  /** Applies objects, strictly validated. */
  async applyObjects(items: readonly object[], namespace?: string): Promise<void> {
    await this.apply(JSON.stringify({ apiVersion: "v1", kind: "List", items }), namespace)
  }

  /** Names of a namespace's Deployments. */
  async deployments(namespace: string): Promise<string[]> {
    const text = await this.cluster.kubectl(["get", "deployments", "-n", namespace, "--output=name"])
    return text
      .trim()
      .split("\n")
      .map(name => name.replace("deployment.apps/", ""))
  }

  /** Waits for rollouts. @param names  Deployments, or others as kubectl writes them: `statefulset/db` */
  async rolledOut(namespace: string, ...names: string[]): Promise<void> {
    for (const name of names.map(resource)) {
      const args = ["rollout", "status", name, "-n", namespace, `--timeout=${ROLLOUT_SECONDS}s`]
      const { code, stderr } = await this.cluster.tryKubectl(args)
      if (code === 0) continue
      const pods = ["-n", namespace, "--all-containers", "--tail=20", "--prefix"]
      const told = await this.cluster.tryKubectl(["logs", name, ...pods])
      const seen = await this.cluster.tryKubectl(["describe", "pods", "-n", namespace])
      throw new Error(`${name}: ${stderr}\n${told.stdout}\n${seen.stdout.slice(-4000)}`)
    }
  }

  /** Waits until the whole control plane is rolled out. */
  async controlPlaneRolledOut(): Promise<void> {
    await this.rolledOut("conduit", ...(await this.deployments("conduit")))
  }

  /**
   * Makes a namespace whose pods are injected as they are made, and waits until they are: a pod that is made before API
   * servers reach the injector is made without proxy, as `failurePolicy: Ignore` says.
   */
  async injectedNamespace(name: string): Promise<void> {
    await this.cluster.kubectl(["create", "namespace", name])
    await this.cluster.kubectl(["annotate", "namespace", name, "conduit.io/inject=enabled"])
    const probe = ["run", "probe", "-n", name, "--image=app:1", "--dry-run=server", "--output=json"]
    await eventually("API servers call the injector", async () =>
      (await this.cluster.kubectl(probe)).includes('"conduit-proxy"'),
    )
  }

  /** Fetches within a pod of a Deployment, or of another as `pod/NAME`, as its application does. @returns the body */
  async within(namespace: string, name: string, url: string, method = "GET"): Promise<string> {
    const source = `console.log(await (await fetch("${url}", { method: "${method}" })).text())`
    const pod = ["exec", "-n", namespace, resource(name), "-c", "app"]
    return await this.cluster.kubectl([...pod, "--", "/usr/bin/bun", "-e", source])
  }

  /** What became of a caller's calls. */
  async counted(name: string, namespace = "default"): Promise<Counts> {
    return JSON.parse(await this.within(namespace, name, "http://127.0.0.1:8080/")) as Counts
  }

  /** Lets a caller count from nothing. */
  async reset(name: string, namespace = "default"): Promise<void> {
    await this.within(namespace, name, "http://127.0.0.1:8080/reset", "POST")
  }

  /** What a caller's next calls come to. */
  async afterReset(name: string, namespace = "default"): Promise<Counts> {
    await this.reset(name, namespace)
    return await this.#countedPast(SAMPLE_CALLS, name, namespace)
  }

  /**
   * Does something while callers call.
   *
   * @returns what their calls came to while it was done and for as long after that as a sample takes
   */
  async underLoad(
    callers: readonly string[],
    work: () => Promise<unknown>,
    namespace = "default",
  ): Promise<(Counts & { readonly name: string })[]> {
    for (const name of callers) await this.reset(name, namespace)
    await work()
    const all: (Counts & { readonly name: string })[] = []
    for (const name of callers) {
      const { ok, failed } = await this.counted(name, namespace)
      const counts = await this.#countedPast(ok + failed + SAMPLE_CALLS, name, namespace)
      all.push({ name, ...counts })
    }
    return all
  }

  /** Prints what callers saw. @throws where a call failed, with the end of their proxies' logs */
  async expectNoFailure(
    what: string,
    seen: readonly (Counts & { readonly name: string })[],
    namespace = "default",
  ): Promise<void> {
    for (const { name, ok, failed, last } of seen) {
      console.log(`${name}: ${ok} requests, ${failed} failed while ${what}`)
      if (failed > 0) {
        const args = ["logs", "-n", namespace, `deployment/${name}`, "--all-containers", "--tail=25"]
        throw new Error(`${name}: ${last}\n${(await this.cluster.tryKubectl(args)).stdout}`)
      }
      // Who makes no calls sees none fail.
      expect(ok).toBeGreaterThan(SAMPLE_CALLS)
    }
  }

  async #countedPast(calls: number, name: string, namespace: string): Promise<Counts> {
    return await eventually(`${name} has made ${calls} calls`, async () => {
      const counts = await this.counted(name, namespace)
      return counts.ok + counts.failed >= calls && counts
    })
  }

  /** Sum of the series of a metric that have all these labels, of one of a Deployment's proxies, or of `pod/NAME`'s. */
  async metric(
    name: string,
    series: string,
    labels: readonly string[],
    namespace = "default",
  ): Promise<number> {
    const text = await this.within(namespace, name, "http://127.0.0.1:4191/metrics")
    return text
      .split("\n")
      .filter(line => line.startsWith(`${series}{`) && labels.every(label => line.includes(label)))
      .reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0)
  }
}

/** What a workload is besides its container. */
export interface WorkloadOptions {
  readonly replicas?: number
  /** Annotations of the pod template. */
  readonly annotations?: Readonly<Record<string, string>>
  /** Fields of the pod's spec. */
  readonly spec?: object
}

/** A Deployment that answers as `peer_main.ts` does and runs as a service account of its own, with its Service. */
export function workload(name: string, container: object = {}, options: WorkloadOptions = {}): object[] {
  const labels = { app: name }
  const app = {
    name: "app",
    image: PEER_IMAGE,
    imagePullPolicy: "Never",
    ports: [{ name: "http", containerPort: 8080 }],
    // A second is not much on a machine that starts a control plane meanwhile, and a pod that is not ready is not called.
    readinessProbe: { httpGet: { path: "/", port: "http" }, periodSeconds: 1, timeoutSeconds: 5 },
    lifecycle: { preStop: { sleep: { seconds: LEAVING_SECONDS } } },
    resources: { requests: { cpu: CPU_SHARE } },
    ...container,
  }
  const pod = { serviceAccountName: name, terminationGracePeriodSeconds: 20, containers: [app] }
  const annotations = { "config.conduit.io/proxy-cpu-request": CPU_SHARE, ...options.annotations }
  const strategy = { rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } }
  return [
    { apiVersion: "v1", kind: "ServiceAccount", metadata: { name } },
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name },
      spec: { selector: labels, ports: [{ name: "http", port: 80, targetPort: "http" }] },
    },
    {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name },
      spec: {
        replicas: options.replicas ?? 1,
        strategy,
        selector: { matchLabels: labels },
        template: { metadata: { labels, annotations }, spec: { ...pod, ...options.spec } },
      },
    },
  ]
}

/** A Deployment that calls `TARGET` steadily and counts what becomes of that; see `caller_main.ts`. */
export function caller(name: string, target: string, options: WorkloadOptions = {}): object[] {
  const env = [
    { name: "TARGET", value: target },
    { name: "RATE", value: String(CALLER_RATE) },
  ]
  return workload(name, { command: ["call-steadily"], env }, options)
}
