// A mesh in a lab: a fake control plane in a pod of its own, and pods with real proxies and the real redirect.
import { chmodSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { bundle } from "../../deploy/local/bundle.ts"
import { type RedirectOptions, redirectRules } from "../../deploy/redirect/mod.ts"
import { LabCa } from "../../proxy/identity/test_ca.ts"
import { SECURE_PORTS, type Table, type TableIdentity } from "./fake_control_plane.ts"
import { Lab, type LabProcess, type Pod } from "./netns.ts"
import { tempFolder } from "./temp_folder.ts"

const ROOT = new URL("../../", import.meta.url).pathname

/** User id of proxies. */
export const PROXY_UID = 2102

const CONTROL_PORT = 8086

/** How a pod of the mesh is made. */
export interface MeshedPodOptions {
  readonly redirect?: RedirectOptions
  /** More environment for the proxy. */
  readonly env?: Readonly<Record<string, string>>
  /** The proxy to run; default: a bundle of proxy/main.ts, made once a mesh. */
  readonly program?: string
  /** Name of the workload; default: the pod's name. */
  readonly workload?: string
  /** Service account, in a mesh with identities; default: the pod's name. */
  readonly serviceAccount?: string
}

/** A pod with a proxy. */
export interface MeshedPod {
  readonly pod: Pod
  readonly proxy: LabProcess
}

/** A lab with a control plane. Use with `await using`. */
export class Mesh implements AsyncDisposable {
  readonly lab: Lab
  readonly control: Pod
  /** The control plane's process, null while it is dead. */
  controlProcess: LabProcess | null = null
  private table: Table = { outbound: {} }
  /** Folder of the proxy's bundle, which the proxy's user can read wherever the checkout lies; null until needed. */
  private bundleFolder: string | null = null
  /** The authority of a mesh with identities. */
  ca: LabCa | null = null
  private identity: TableIdentity | null = null
  private tokenFolder: string | null = null

  private constructor(lab: Lab) {
    this.lab = lab
    this.control = lab.pod("control")
  }

  /** Makes a lab with a control plane that knows nothing yet. */
  static async create(): Promise<Mesh> {
    const mesh = new Mesh(await Lab.create())
    try {
      await mesh.startControl()
    } catch (error) {
      await mesh[Symbol.asyncDispose]()
      throw error
    }
    return mesh
  }

  /** The same with identities: pods prove their service accounts by certificates that last so long. */
  static async createWithIdentity(lifetimeMs = 3_600_000): Promise<Mesh> {
    const mesh = await Mesh.create()
    mesh.ca = await LabCa.create()
    await mesh.setIdentity({ issuer: await mesh.ca.toText(), anchors: [anchorOf(mesh.ca)], lifetimeMs })
    return mesh
  }

  /** Replaces how identities are issued. */
  async setIdentity(change: Partial<TableIdentity>): Promise<void> {
    this.identity = { ...this.identity, ...change } as TableIdentity
    await this.setTable(this.table)
  }

  /** Starts the control plane (again), with the table it last had. */
  async startControl(): Promise<void> {
    this.controlProcess = this.control.start([
      process.execPath,
      `${ROOT}tests/lab/fake_control_plane.ts`,
      String(CONTROL_PORT),
    ])
    await this.controlProcess.saw('"listening"')
    await this.setTable(this.table)
  }

  /** Kills the control plane. */
  async killControl(): Promise<void> {
    await this.controlProcess?.stop("SIGKILL")
    this.controlProcess = null
  }

  /** Replaces what the control plane knows; proxies hear of it. */
  async setTable(table: Table): Promise<void> {
    this.table = table
    const control = this.controlProcess
    if (control === null) return
    const before = control.stdout.split('"table"').length
    control.process.stdin.write(
      `${JSON.stringify({ ...table, ...(this.identity === null ? {} : { identity: this.identity }) })}\n`,
    )
    control.process.stdin.flush()
    const deadline = Date.now() + 5_000
    while (control.stdout.split('"table"').length === before) {
      if (Date.now() > deadline) throw new Error(`lab: the control plane took no table\n${control.stderr}`)
      await Bun.sleep(5)
    }
  }

  /** Adds a pod with a running proxy and the redirect in place. */
  async meshedPod(name: string, options: MeshedPodOptions = {}): Promise<MeshedPod> {
    const pod = this.lab.pod(name)
    await pod.redirect(redirectRules({ proxyUid: PROXY_UID, ...options.redirect }))
    const proxy = await this.startProxy(pod, options)
    return { pod, proxy }
  }

  /** Starts a proxy in a pod. */
  async startProxy(pod: Pod, options: MeshedPodOptions = {}): Promise<LabProcess> {
    const address = `${this.control.ipv4}:${CONTROL_PORT}`
    const secure = this.ca === null ? {} : this.identityEnv(pod, options)
    const program = options.program ?? (await this.proxyBundle())
    const proxy = pod.start([process.execPath, program], {
      uid: PROXY_UID,
      env: {
        CONDUIT_PROXY_NAMESPACE: "lab",
        CONDUIT_PROXY_POD: pod.name,
        CONDUIT_PROXY_POD_IPS: `${pod.ipv4},${pod.ipv6}`,
        CONDUIT_PROXY_WORKLOAD_KIND: "deployment",
        CONDUIT_PROXY_WORKLOAD: options.workload ?? pod.name,
        CONDUIT_PROXY_DESTINATION_ADDR: address,
        CONDUIT_PROXY_TELEMETRY_ADDR: address,
        CONDUIT_PROXY_LOG_LEVEL: "debug",
        ...secure,
        ...options.env,
      },
    })
    await proxy.saw("serving")
    return proxy
  }

  /** Environment with which a real service of the control plane gets its certificate, in a mesh with identities. */
  serviceEnv(service: string): Record<string, string> {
    const anchorsFile = this.identityFile("anchors.pem", this.ca?.pem ?? "")
    const account = `conduit-${service}`
    return {
      CONDUIT_TRUST_ANCHORS_FILE: anchorsFile,
      CONDUIT_TOKEN_FILE: this.identityFile(account, `conduit/${account}`),
      CONDUIT_IDENTITY_ADDR: `${this.control.ipv4}:${SECURE_PORTS.identity}`,
    }
  }

  private identityFile(name: string, text: string): string {
    this.tokenFolder ??= tempFolder("lab-token")
    chmodSync(this.tokenFolder, 0o755)
    const file = join(this.tokenFolder, name)
    writeFileSync(file, text)
    return file
  }

  private identityEnv(pod: Pod, options: MeshedPodOptions): Record<string, string> {
    const serviceAccount = options.serviceAccount ?? pod.name
    const at = (service: keyof typeof SECURE_PORTS) => `${this.control.ipv4}:${SECURE_PORTS[service]}`
    return {
      CONDUIT_PROXY_SERVICE_ACCOUNT: serviceAccount,
      CONDUIT_PROXY_TOKEN_FILE: this.identityFile(serviceAccount, serviceAccount),
      CONDUIT_PROXY_TRUST_ANCHORS: this.ca?.pem ?? "",
      CONDUIT_PROXY_IDENTITY_ADDR: at("identity"),
      CONDUIT_PROXY_DESTINATION_ADDR: at("destination"),
      CONDUIT_PROXY_TELEMETRY_ADDR: at("telemetry"),
    }
  }

  private async proxyBundle(): Promise<string> {
    if (this.bundleFolder === null) {
      this.bundleFolder = tempFolder("lab")
      chmodSync(this.bundleFolder, 0o755)
      await bundle("proxy/main.ts", this.bundleFolder, "proxy")
    }
    return join(this.bundleFolder, "proxy.js")
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.lab[Symbol.asyncDispose]()
    if (this.tokenFolder !== null) rmSync(this.tokenFolder, { recursive: true, force: true })
    if (this.bundleFolder !== null) rmSync(this.bundleFolder, { recursive: true, force: true })
  }
}

/** An authority as the table names trust anchors. */
export function anchorOf(ca: LabCa): string {
  return Buffer.from(ca.certificate).toString("base64")
}

/** Waits until a pod's proxy is ready. */
export async function ready(pod: Pod): Promise<void> {
  const deadline = Date.now() + 10_000
  for (;;) {
    const { stdout } = await pod.run(["curl", "-s", "http://127.0.0.1:4191/ready"])
    if (stdout === "ready\n") return
    if (Date.now() > deadline) throw new Error(`lab: the proxy of ${pod.name} is not ready: ${stdout}`)
    await Bun.sleep(50)
  }
}

/** Value of a metric's series whose text contains all of `labels`, summed; from a proxy's admin port. */
export async function metric(pod: Pod, name: string, ...labels: string[]): Promise<number> {
  const { stdout } = await pod.run(["curl", "-s", "http://127.0.0.1:4191/metrics"])
  let sum = 0
  for (const line of stdout.split("\n")) {
    if (!line.startsWith(`${name}{`) && !line.startsWith(`${name} `)) continue
    if (labels.every(label => line.includes(label))) sum += Number(line.slice(line.lastIndexOf(" ") + 1))
  }
  return sum
}
