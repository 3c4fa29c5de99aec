// The network of a local cluster, all of it inside a network namespace of its own: a router that every pod has
// one link to. Links are routed, not bridged, so that every packet passes the router's Service rules.
import { type RedirectOptions, redirectRules } from "../../redirect/mod.ts"
import {
  DNS_ADDRESS,
  GATEWAY,
  GATEWAY_V6,
  POD_NETWORK,
  POD_NETWORK_V6,
  type PodAddress,
  PROBE_SOURCE,
  SERVICE_NETWORK,
  SERVICE_NETWORK_V6,
} from "./addresses.ts"
import { runCommand } from "./command.ts"
import type { DnsZone } from "./dns_zone.ts"
import { DIE_WITH_PARENT, MESH_MARK } from "./processes.ts"
import { type FromRouter, type ProbeRequest, readMessages, type ToRouter } from "./router_protocol.ts"
import { baseRules, type ServicePortRules, serviceRules } from "./service_rules.ts"
import { askUpstream, hostNameServers } from "./upstream_dns.ts"

/** What a network needs to know of its mesh. */
export interface NetworkOptions {
  /** Mark of the mesh's processes. */
  readonly meshId: string
  /** Where the router's way in listens (a Unix socket). */
  readonly relaySocket: string
  /** File that gets the router's own complaints. */
  readonly logFile: string
  /** Called when the router ends without being told to. */
  readonly onLost: (reason: string) => void
}

/** iptables backends, best first. */
const BACKENDS = ["nft", "legacy"] as const

/** One running network. Ends with {@link Network.stop}, or with the process that started it. */
export class Network {
  readonly #router: Bun.Subprocess<"pipe", "pipe", number | Bun.BunFile>
  readonly #probes = new Map<number, (outcome: { ok: boolean; reason: string }) => void>()
  #backend: (typeof BACKENDS)[number] = "nft"
  #v6 = true
  #probeId = 0
  #stopping = false
  #lastRules = ""

  private constructor(router: Bun.Subprocess<"pipe", "pipe", number | Bun.BunFile>) {
    this.#router = router
  }

  /** Host process id of the router. */
  get pid(): number {
    return this.#router.pid
  }

  /** Whether pods have IPv6 addresses. */
  get hasV6(): boolean {
    return this.#v6
  }

  /** @throws Error with a sentence that says which tool or kernel feature is missing */
  static async start(options: NetworkOptions): Promise<Network> {
    const main = new URL("./router_main.ts", import.meta.url).pathname
    const setup = routerSetup()
    // The shell prepares the namespace it is in, then becomes the router: nothing to wait for, one process.
    const command = [
      ...DIE_WITH_PARENT,
      "unshare",
      "--net",
      "sh",
      "-c",
      `${setup}\nexec "$@"`,
      "router",
      process.execPath,
      main,
      options.relaySocket,
    ]
    const router = Bun.spawn(command, {
      // Ctrl-C goes to the whole group of the terminal; pods still need their network to end in good order.
      detached: true,
      stdin: "pipe",
      stdout: "pipe",
      stderr: Bun.file(options.logFile),
      env: { ...process.env, [MESH_MARK]: options.meshId },
    })
    const network = new Network(router)
    await network.#begin(options)
    return network
  }

  async #begin(options: NetworkOptions): Promise<void> {
    let ready: () => void = () => {}
    let failed: (error: Error) => void = () => {}
    const started = new Promise<void>((resolve, reject) => {
      ready = resolve
      failed = reject
    })
    const servers = hostNameServers()
    const reading = readMessages<FromRouter>(this.#router.stdout, message => {
      if ("ready" in message) ready()
      else if ("failed" in message) failed(new Error(`the router could not start: ${message.failed}`))
      else if ("probed" in message) this.#settleProbe(message.probed)
      else void this.#askUpstream(message.dnsQuery, servers)
    })
    void reading.then(async () => {
      const code = await this.#router.exited
      const text = await Bun.file(options.logFile)
        .text()
        .catch(() => "")
      const reason = text.trim().split("\n").slice(-2).join("; ") || `it ended with ${code}`
      failed(new Error(`the router's network namespace could not be made: ${reason}`))
      if (!this.#stopping) options.onLost(reason)
    })
    await started
    await this.#chooseBackend()
  }

  async #chooseBackend(): Promise<void> {
    let complaint: unknown
    for (const backend of BACKENDS) {
      this.#backend = backend
      try {
        await this.#restore(this.pid, "v4", baseRules("v4"), { replace: true })
        complaint = undefined
        break
      } catch (error) {
        complaint = error
      }
    }
    if (complaint !== undefined) throw complaint
    try {
      await this.#restore(this.pid, "v6", baseRules("v6"), { replace: true })
    } catch {
      this.#v6 = false
    }
  }

  /** Links a pod's namespace to the router. @param pid host process id of a process in it */
  async attach(pid: number, address: PodAddress): Promise<void> {
    // The name is unique in the router's namespace as long as the address is.
    const link = `p${address.v4.split(".").slice(2).join("x")}`
    const router = [
      `link add ${link} type veth peer name eth0 netns ${pid}`,
      `addr add ${GATEWAY}/32 dev ${link}`,
      `link set ${link} up`,
      `route add ${address.v4}/32 dev ${link} src ${PROBE_SOURCE}`,
      ...(this.#v6
        ? [`addr add ${GATEWAY_V6}/128 dev ${link} nodad`, `route add ${address.v6}/128 dev ${link}`]
        : []),
    ]
    const pod = [
      "link set lo up",
      `addr add ${address.v4}/32 dev eth0`,
      ...(this.#v6 ? [`addr add ${address.v6}/128 dev eth0 nodad`] : []),
      "link set eth0 up",
      `route add ${GATEWAY} dev eth0 scope link src ${address.v4}`,
      `route add default via ${GATEWAY} dev eth0 src ${address.v4}`,
      ...(this.#v6
        ? [
            `route add ${GATEWAY_V6} dev eth0`,
            `route add default via ${GATEWAY_V6} dev eth0 src ${address.v6}`,
          ]
        : []),
    ]
    await this.#ip(this.pid, router)
    await this.#ip(pid, pod)
  }

  /** Turns a pod's TCP towards its proxy. @param pid host process id of a process in the pod */
  async redirect(pid: number, options: RedirectOptions): Promise<void> {
    const v4 = redirectRules({ ...options, skipInboundSources: [PROBE_SOURCE] })
    await this.#restore(pid, "v4", v4, { replace: true })
    if (this.#v6) await this.#restore(pid, "v6", redirectRules(options), { replace: true })
  }

  /** Makes the Services' addresses lead to these endpoints. */
  async setServices(ports: readonly ServicePortRules[]): Promise<void> {
    const v4 = serviceRules(ports, "v4")
    const v6 = serviceRules(ports, "v6")
    if (v4 + v6 === this.#lastRules) return
    await this.#restore(this.pid, "v4", v4, { replace: false })
    if (this.#v6) await this.#restore(this.pid, "v6", v6, { replace: false })
    this.#lastRules = v4 + v6
  }

  /** Replaces what the name server knows. */
  setZone(zone: DnsZone): void {
    this.#tell({ zone })
  }

  /** Asks the router to try a pod's port; never throws. */
  probe(request: Omit<ProbeRequest, "id">): Promise<{ ok: boolean; reason: string }> {
    const id = ++this.#probeId
    return new Promise(resolve => {
      this.#probes.set(id, resolve)
      this.#tell({ probe: { id, ...request } })
    })
  }

  /** Ends the router; the namespace goes with it once no pod is left. */
  async stop(): Promise<void> {
    this.#stopping = true
    this.#router.kill("SIGKILL")
    await this.#router.exited
    for (const settle of this.#probes.values()) settle({ ok: false, reason: "the mesh is going down" })
    this.#probes.clear()
  }

  #settleProbe(probed: { id: number; ok: boolean; reason: string }): void {
    const settle = this.#probes.get(probed.id)
    this.#probes.delete(probed.id)
    settle?.(probed)
  }

  async #askUpstream(query: { id: number; packet: string }, servers: readonly string[]): Promise<void> {
    const reply = await askUpstream(Buffer.from(query.packet, "base64"), servers)
    this.#tell({ dnsReply: { id: query.id, packet: reply === null ? null : reply.toString("base64") } })
  }

  #tell(message: ToRouter): void {
    if (this.#stopping) return
    this.#router.stdin.write(`${JSON.stringify(message)}\n`)
    void this.#router.stdin.flush()
  }

  async #ip(pid: number, lines: readonly string[]): Promise<void> {
    await runCommand([...enterNet(pid), "ip", "-batch", "-"], {
      stdin: `${lines.join("\n")}\n`,
      purpose: "link a pod to the router",
    })
  }

  async #restore(pid: number, family: "v4" | "v6", rules: string, how: { replace: boolean }): Promise<void> {
    const tool = `${family === "v6" ? "ip6tables" : "iptables"}-${this.#backend}-restore`
    await runCommand([...enterNet(pid), tool, "-w", "10", ...(how.replace ? [] : ["--noflush"])], {
      stdin: rules,
      purpose: `set ${family === "v6" ? "IPv6" : "IPv4"} packet rules with ${tool}`,
    })
  }
}

function enterNet(pid: number): string[] {
  return ["nsenter", `--net=/proc/${pid}/ns/net`]
}

function routerSetup(): string {
  return [
    "set -e",
    "ip link set lo up",
    `ip addr add ${DNS_ADDRESS}/32 dev lo`,
    `ip addr add ${GATEWAY}/32 dev lo`,
    `ip addr add ${PROBE_SOURCE}/32 dev lo`,
    "echo 1 > /proc/sys/net/ipv4/ip_forward",
    // A pod that has gone answers at once, not after a minute of silence.
    `ip route add unreachable ${POD_NETWORK}`,
    // Only so that a Service's address without endpoints reaches the rule that refuses it.
    `ip route add ${SERVICE_NETWORK} dev lo src ${GATEWAY}`,
    "if [ -e /proc/sys/net/ipv6/conf/all/forwarding ]; then",
    "  echo 1 > /proc/sys/net/ipv6/conf/all/forwarding || true",
    "  echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad || true",
    `  ip -6 route add unreachable ${POD_NETWORK_V6} || true`,
    `  ip -6 route add ${SERVICE_NETWORK_V6} dev lo || true`,
    "fi",
  ].join("\n")
}
