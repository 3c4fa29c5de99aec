// A real Kubernetes for tests: an API server with its store and controllers, in namespaces of its own.
import { sign } from "node:crypto"
import { existsSync, mkdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { type Binary, ensureBinaries } from "./binaries.ts"
import { Authority, type Subject } from "./certificates.ts"
import {
  API_PORT,
  apiServer,
  controllerManager,
  etcd,
  SERVICE_ACCOUNT_ISSUER,
  type Setting,
  scheduler,
  writeKubeconfig,
} from "./control_plane.ts"
import {
  cniFolders,
  containerd,
  containerdSocket,
  coreDns,
  dnsService,
  kubelet,
  kubeProxy,
  NODE_NAME,
  pauseImage,
} from "./kubelet.ts"
import { type Daemon, NODE_ADDRESS, Node } from "./node.ts"

const NODE_BINARIES: readonly Binary[] = ["kube-scheduler", "kubelet", "kube-proxy", "coredns", "pause"]

/** What is to run. */
export interface ClusterOptions {
  /**
   * `api`: an API server with its controllers and nothing that runs pods, ready in a few seconds: for informers,
   * admission, RBAC and dry runs. `node`: with a node that runs pods, Services and DNS.
   */
  readonly parts: "api" | "node"
  /** Told what takes long, such as a first build; standard error where nothing is given. */
  readonly say?: (sentence: string) => void
}

/** What a command gave. */
export interface CommandResult {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** A port of 127.0.0.1 that leads into a pod. */
export interface Forward extends AsyncDisposable {
  readonly port: number
}

/** How kubectl is run. */
export interface KubectlOptions {
  /** Its standard input, for `-f -`. */
  readonly input?: string
  /** Whose kubeconfig; the administrator's where none is given. */
  readonly kubeconfig?: string
}

/** Longest wait for the API server, in milliseconds: six seconds where nothing else runs. */
export const API_DEADLINE_MS = 90_000
/** Longest wait for the controllers' first objects, in milliseconds. */
export const CONTROLLERS_DEADLINE_MS = 60_000
/** Longest wait for each part of the node, in milliseconds. */
export const NODE_READY_DEADLINE_MS = 90_000
/** Longest run of kubectl, in milliseconds. */
export const KUBECTL_DEADLINE_MS = 120_000
/** Between two questions whether something is so, in milliseconds. */
export const POLL_INTERVAL_MS = 100

/** Who may do everything. */
const ADMINISTRATOR: Subject = { user: "admin", groups: ["system:masters"] }

const API_BINARIES: readonly Binary[] = ["kube-apiserver", "kube-controller-manager", "kubectl"]

/** Parts of a cluster that tests may stop and start. */
export type Part =
  | "etcd"
  | "kube-apiserver"
  | "kube-controller-manager"
  | "kube-scheduler"
  | "containerd"
  | "kubelet"
  | "kube-proxy"
  | "coredns"

/** A running cluster. Use with `await using`. */
export class Cluster implements AsyncDisposable {
  /** Path of the administrator's kubeconfig, for use on this machine. */
  readonly kubeconfig: string
  /** The API server's address on this machine, such as `https://127.0.0.1:40123`. */
  readonly server: string
  readonly #node: Node
  readonly #setting: Setting
  readonly #parts = new Map<string, Daemon>()

  private constructor(node: Node, setting: Setting, server: string, kubeconfig: string) {
    this.#node = node
    this.#setting = setting
    this.server = server
    this.kubeconfig = kubeconfig
  }

  /**
   * Starts a cluster and waits until it is ready.
   *
   * @throws Error saying which part failed, and the end of its log
   */
  static async up(options: ClusterOptions): Promise<Cluster> {
    const say = options.say ?? (sentence => console.error(`cluster: ${sentence}`))
    const whole = options.parts === "node"
    const program = await ensureBinaries(whole ? [...API_BINARIES, ...NODE_BINARIES] : API_BINARIES, say)
    const node = await Node.start()
    try {
      const folder = join(node.folder, "pki")
      mkdirSync(folder)
      const setting = { folder: node.folder, program, authority: await Authority.create(folder) }
      const server = `https://127.0.0.1:${await node.publish(NODE_ADDRESS, API_PORT)}`
      const kubeconfig = await writeKubeconfig(setting, ADMINISTRATOR, server)
      const cluster = new Cluster(node, setting, server, kubeconfig)
      const started = cluster.#startControlPlane()
      await (whole ? Promise.all([started, cluster.#startNode(started)]) : started)
      return cluster
    } catch (error) {
      await node[Symbol.asyncDispose]()
      throw error
    }
  }

  /** Name that no other cluster has; its folder and its cgroups are called so. */
  get id(): string {
    return this.#node.id
  }

  /** Path of kubectl, for tests that run it in a way of their own. */
  get kubectlProgram(): string {
    return this.#setting.program("kubectl")
  }

  /** Where its node has network configurations and CNI plugins. */
  get cni(): { readonly conf: string; readonly bin: string } {
    return cniFolders(this.#node.folder)
  }

  /** A part that a test may stop and start, or whose log it reads. */
  part(name: Part): Daemon {
    const part = this.#parts.get(name)
    if (part === undefined) throw new Error(`cluster: there is no ${name} in it`)
    return part
  }

  /** Runs kubectl. @returns what it wrote to standard output @throws Error with what it said when it fails */
  async kubectl(args: readonly string[], options: KubectlOptions = {}): Promise<string> {
    const { code, stdout, stderr } = await this.tryKubectl(args, options)
    if (code === 0) return stdout
    throw new Error(`kubectl ${args.join(" ")} failed: ${stderr.trim() || `exit code ${code}`}`)
  }

  /** Runs kubectl, which may fail. */
  async tryKubectl(args: readonly string[], options: KubectlOptions = {}): Promise<CommandResult> {
    const kubeconfig = options.kubeconfig ?? this.kubeconfig
    const child = Bun.spawn([this.#setting.program("kubectl"), `--kubeconfig=${kubeconfig}`, ...args], {
      // kubectl caches what it discovers under its home.
      env: { PATH: process.env.PATH ?? "", HOME: this.#node.folder },
      stdin: new Blob([options.input ?? ""]),
      stdout: "pipe",
      stderr: "pipe",
      timeout: KUBECTL_DEADLINE_MS,
    })
    const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
    return { code, stdout, stderr }
  }

  /** Leads a port of 127.0.0.1 here to one of a pod, by way of the API server, until it is let go. */
  async forward(namespace: string, target: string, port: number): Promise<Forward> {
    const args = ["port-forward", "-n", namespace, target, `:${port}`, "--address=127.0.0.1"]
    const child = Bun.spawn([this.#setting.program("kubectl"), `--kubeconfig=${this.kubeconfig}`, ...args], {
      env: { PATH: process.env.PATH ?? "", HOME: this.#node.folder },
      stdout: "pipe",
      stderr: "pipe",
    })
    const reader = child.stdout.getReader()
    const said = new TextDecoder().decode((await reader.read()).value)
    const own = /127\.0\.0\.1:(\d+)/.exec(said)?.[1]
    if (own === undefined) {
      child.kill()
      throw new Error(
        `cluster: kubectl ${args.join(" ")} failed: ${(await child.stderr.text()).trim() || said}`,
      )
    }
    // It tells of every connection, and would end where nobody reads that.
    void (async () => {
      while (!(await reader.read()).done);
    })()
    return {
      port: Number(own),
      [Symbol.asyncDispose]: async () => {
        child.kill()
        await child.exited
      },
    }
  }

  /** A kubeconfig of another user, such as one whose rights a test wants to see refused. @returns its path */
  async kubeconfigOf(subject: Subject): Promise<string> {
    return await writeKubeconfig(this.#setting, subject, this.server)
  }

  /** A certificate of the cluster's authority, such as a webhook's, all PEM. */
  async issue(subject: Subject): Promise<{ certificate: string; key: string; authority: string }> {
    const { authority } = this.#setting
    const { certificate, key } = await authority.issue(subject)
    return {
      certificate: readFileSync(certificate, "utf8"),
      key: readFileSync(key, "utf8"),
      authority: readFileSync(authority.certificate, "utf8"),
    }
  }

  /** A token that the API server takes for its own, with whatever is claimed, such as an end in the past. */
  signToken(claims: object): string {
    const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url")
    const body = `${part({ alg: "RS256", typ: "JWT" })}.${part({ iss: SERVICE_ACCOUNT_ISSUER, ...claims })}`
    const key = readFileSync(join(this.#setting.authority.folder, "sa.key"), "utf8")
    return `${body}.${sign("sha256", Buffer.from(body), key).toString("base64url")}`
  }

  /** Lets the cluster reach a port of 127.0.0.1 here, such as a webhook's. @returns host and port to be called there */
  async invite(port: number): Promise<string> {
    return `${NODE_ADDRESS}:${await this.#node.invite(port)}`
  }

  /** Imports an image from a tar file, OCI or Docker, for pods of this cluster. @throws Error with what ctr said */
  async loadImage(archive: string): Promise<void> {
    const address = `--address=${containerdSocket(this.#setting.folder)}`
    await this.#node.run(["ctr", address, "--namespace=k8s.io", "images", "import", "--no-unpack", archive])
  }

  /** Runs a command on the node, which needs no API server. @returns what it wrote @throws Error with what it said */
  async onNode(command: readonly string[]): Promise<string> {
    return await this.#node.run(command)
  }

  /** Waits until the API server answers that it is ready, such as after it was started again. */
  async apiReady(): Promise<void> {
    // Anyone may ask this.
    const tls = { ca: readFileSync(this.#setting.authority.certificate, "utf8") }
    await this.#until("kube-apiserver", API_DEADLINE_MS, "answers that it is ready", async () => {
      const answer = await fetch(`${this.server}/readyz`, { tls, signal: AbortSignal.timeout(2_000) })
      await answer.arrayBuffer()
      return answer.ok
    })
  }

  /** Ends everything at once and removes it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#node[Symbol.asyncDispose]()
  }

  async #startControlPlane(): Promise<void> {
    this.#start("etcd", etcd(this.#setting))
    this.#start("kube-apiserver", await apiServer(this.#setting))
    // Made while the API server starts.
    const controllers = await controllerManager(this.#setting)
    await this.apiReady()
    this.#start("kube-controller-manager", controllers)
    await this.#until(
      "kube-controller-manager",
      CONTROLLERS_DEADLINE_MS,
      "has made its first objects",
      async () => {
        const args = ["get", "serviceaccount/default", "configmap/kube-root-ca.crt", "--output=name"]
        return (await this.tryKubectl(args)).code === 0
      },
    )
  }

  /** What runs pods; containerd needs no API server, the rest waits for one. */
  async #startNode(controlPlane: Promise<void>): Promise<void> {
    const setting = this.#setting
    this.#start("containerd", containerd(setting))
    this.#node.makeCgroups()
    const commands = {
      "kube-scheduler": await scheduler(setting),
      kubelet: await kubelet(setting, this.#node.id),
      "kube-proxy": await kubeProxy(setting),
      coredns: await coreDns(setting),
    }
    await this.#until("containerd", NODE_READY_DEADLINE_MS, "listens", async () =>
      existsSync(containerdSocket(setting.folder)),
    )
    const pause = join(setting.folder, "pause.tar")
    await Bun.write(pause, pauseImage(readFileSync(setting.program("pause"))))
    await this.loadImage(pause)
    await controlPlane
    for (const [name, command] of Object.entries(commands)) this.#start(name as Part, command)
    await this.kubectl(["apply", "-f", "-"], { input: JSON.stringify(dnsService()) })
    await this.#until("kubelet", NODE_READY_DEADLINE_MS, "has made its node ready", async () => {
      const args = ["wait", `node/${NODE_NAME}`, "--for=condition=Ready", "--timeout=1s"]
      return (await this.tryKubectl(args)).code === 0
    })
    await this.#until("coredns", NODE_READY_DEADLINE_MS, "is ready", async () => {
      await this.#node.run([
        "curl",
        "--fail",
        "--silent",
        "--max-time",
        "1",
        `http://${NODE_ADDRESS}:8181/ready`,
      ])
      return true
    })
  }

  #start(name: Part, command: readonly string[]): void {
    this.#parts.set(name, this.#node.start(name, command))
  }

  /** Waits until something about a part is so; a part that ends is not waited for. */
  async #until(name: Part, deadlineMs: number, what: string, isSo: () => Promise<boolean>): Promise<void> {
    const end = performance.now() + deadlineMs
    for (;;) {
      const so = await isSo().catch(() => false)
      if (so) return
      const fallen = [...this.#parts.values()].find(part => part.ended !== null)
      if (fallen !== undefined) {
        throw new Error(`cluster: ${fallen.name} ended (${fallen.ended}); its log ends:\n${fallen.tail()}`)
      }
      if (performance.now() > end) {
        const log = this.part(name).tail()
        throw new Error(
          `cluster: waited ${deadlineMs / 1000} s in vain until ${name} ${what}; its log ends:\n${log}`,
        )
      }
      await Bun.sleep(POLL_INTERVAL_MS)
    }
  }
}
