// The step `service`: which port of which Service, pods, or something outside a name stands for.
import {
  type ClusterStore,
  endpointsOf,
  ipFamily,
  type PodRecord,
  type ServicePort,
  type ServiceRecord,
  type ServingAddress,
} from "../cluster/mod.ts"
import { type Caller, placeOf, textOf } from "./caller.ts"
import type { Chain } from "./chain.ts"
import type { World } from "./question.ts"
import { bypassOf } from "./way.ts"

/** What is called. */
export type Called =
  | {
      readonly kind: "service"
      readonly service: ServiceRecord
      readonly port: ServicePort
      /** Cluster IP. */
      readonly ip: string
    }
  | {
      readonly kind: "pods"
      /** Each an address that the client may connect to. */
      readonly addresses: readonly ServingAddress[]
      /** Port that the client connects to. */
      readonly dialled: number
      /** The headless Service that named them; null for none. */
      readonly service: ServiceRecord | null
    }
  | { readonly kind: "outside"; readonly host: string; readonly dialled: number }
  /** The caller's own loopback interface. */
  | { readonly kind: "loopback" }

/** Port of a URL without one. */
export const HTTP_PORT = 80
/** Names of ports that are taken for the one that is meant, where none is named. */
const LIKELY_PORTS: readonly string[] = ["http", "grpc", "web", "http2", "h2c"]
/** How far ExternalName Services are followed, as they may name each other. */
const MAX_ALIASES = 4

/** What becomes of a call to a name that is not known. */
export const NO_SUCH_NAME = { status: 0, error: "", what: "the name is not known: nothing is sent" } as const

/** Ports of a pod's own proxy. */
export const OWN_PORTS: readonly number[] = [4140, 4143, 4190, 4191]

/** Says the step `service` for whatever a name stands for; null where the call ends here, which the chain says then. */
export class ServiceStep {
  private readonly chain: Chain
  private readonly world: World
  private readonly store: ClusterStore
  private readonly caller: Caller

  constructor(chain: Chain, world: World, caller: Caller) {
    this.chain = chain
    this.world = world
    this.store = world.store
    this.caller = caller
  }

  /** A port of a Service by number or name; "" for whichever there is. */
  port(service: ServiceRecord, typed: string, ip: string, via: readonly string[] = []): Called | null {
    if (service.externalName !== "") return this.alias(service, typed, via)
    if (service.headless) return this.headless(service, typed, null)
    const place = placeOf(service, "spec.ports")
    const ports = service.ports.filter(port => port.protocol === "TCP")
    const found = typed === "" ? likely(ports) : findPort(service, typed)
    const what = textOf(place)
    if (found === undefined) {
      const udp = service.ports.some(port => `${port.port}` === typed || port.name === typed)
      const target = ports.find(port => `${port.targetPort}` === typed)
      this.chain.end(
        "service",
        {
          decision: `${what} has no TCP port ${typed}`.trimEnd(),
          reason: udp
            ? "its port of that number or name is UDP, which the mesh does not carry"
            : `its ports: ${portsText(ports)}`,
          object: place,
          change:
            target !== undefined
              ? `${typed} is the port of its pods; clients call ${target.port}`
              : `one of its ports, or a port ${typed} in spec.ports`,
        },
        { ...this.unreached(typed), what: `nothing takes connections to port ${typed} of ${what}` },
      )
      return null
    }
    if (ip === "") {
      this.chain.end(
        "service",
        { decision: `${what} has no cluster IP yet`, object: placeOf(service, "spec.clusterIP") },
        NO_SUCH_NAME,
      )
      return null
    }
    const index = service.ports.indexOf(found)
    const unsure = typed === "" && ports.length > 1
    this.chain.say("service", unsure ? "warn" : "ok", {
      decision: `port ${portText(found)} of ${what}, cluster IP ${ip}, leads to port ${found.targetPort} of its pods`,
      ...(unsure ? { reason: `no port was named; it has ${portsText(ports)}` } : {}),
      object: placeOf(service, `spec.ports[${index}]`),
      details: via,
      ...(unsure ? { change: "name the port that is meant" } : {}),
    })
    return { kind: "service", service, port: found, ip }
  }

  /** An ExternalName Service stands for another name, which may be one of the cluster. */
  private alias(service: ServiceRecord, port: string, via: readonly string[]): Called | null {
    const { externalName } = service
    const what = `${textOf(placeOf(service))} is another name of ${externalName}`
    const domain = `.svc.${this.world.clusterDomain}`
    if (externalName.endsWith(domain) && via.length < MAX_ALIASES) {
      const [name = "", namespace = ""] = externalName.slice(0, -domain.length).split(".")
      const next = this.store.service(namespace, name)
      if (next !== undefined) return this.port(next, port, next.clusterIps[0] ?? "", [...via, what])
    }
    this.chain.say("service", "ok", {
      decision: what,
      reason: "an ExternalName Service has no endpoints of its own, and no routes",
      object: placeOf(service, "spec.externalName"),
      details: via,
    })
    return {
      kind: "outside",
      host: externalName,
      dialled: Number(port) || service.ports[0]?.port || HTTP_PORT,
    }
  }

  /** Names of a headless Service are addresses of pods: clients connect to the very port that they name. */
  headless(service: ServiceRecord, typed: string, only: PodRecord | null): Called | null {
    const place = placeOf(service, "spec.clusterIP")
    const named = typed === "" ? likely(service.ports) : findPort(service, typed)
    const dialled = named?.port ?? Number(typed)
    if (!(dialled > 0)) {
      this.chain.end(
        "service",
        {
          decision: `${textOf(place)} has no port ${typed}`.trimEnd(),
          object: placeOf(service, "spec.ports"),
        },
        { ...this.unreached(typed), what: "the client does not know which port to call" },
      )
      return null
    }
    const direct = {
      name: named?.name ?? "",
      port: dialled,
      targetPort: dialled,
      protocol: "TCP",
      appProtocol: "",
    }
    const family = only?.ips[0] !== undefined ? ipFamily(only.ips[0]) : this.family
    const all = endpointsOf(this.store, service, direct, family)
    const addresses = only === null ? all : all.filter(one => one.pod === only)
    const differs = named !== undefined && named.targetPort !== named.port
    this.chain.say("service", differs ? "warn" : "ok", {
      decision: `${textOf(place)} is headless: its name stands for the addresses of its pods`,
      reason: differs
        ? `clients connect to port ${dialled} of a pod as they typed it, targetPort ${named.targetPort} does not count`
        : "the client picks the pod, the mesh does not balance, and routes and retries do not apply",
      object: place,
      ...(differs ? { change: "a cluster IP, or the pods' own port in spec.ports[].port" } : {}),
    })
    return { kind: "pods", addresses, dialled, service }
  }

  /** A port of pods that are called by their addresses. */
  pods(pods: readonly PodRecord[], typed: string, reason: string): Called | null {
    const [first] = pods
    const declared =
      first?.ports.filter(port => port.protocol === "TCP" && !OWN_PORTS.includes(port.port)) ?? []
    const port =
      typed === ""
        ? (declared.find(one => LIKELY_PORTS.includes(one.name)) ?? declared[0])?.port
        : (declared.find(one => one.name === typed)?.port ?? Number(typed))
    if (!(port !== undefined && port > 0)) {
      this.chain.end(
        "service",
        {
          decision:
            typed === ""
              ? "no port was named, and the pod declares none"
              : `the pod declares no port "${typed}"`,
          object: first === undefined ? null : placeOf(first, "spec.containers"),
          change: "name the port, such as pod/web-1:8080",
        },
        { ...this.unreached(typed), what: "the client does not know which port to call" },
      )
      return null
    }
    this.chain.say("service", "none", { decision: `no Service: port ${port} of the pod`, reason })
    const addresses = pods.flatMap(pod => {
      const ip = pod.ips[0]
      return ip === undefined ? [] : [{ ip, port, pod, zone: "", forZones: [], forNodes: [] }]
    })
    return { kind: "pods", addresses, dialled: port, service: null }
  }

  /** What is outside of the mesh. */
  outside(host: string, dialled: number): Called {
    this.chain.say("service", "none", { decision: "no Service: it is forwarded as it comes" })
    return { kind: "outside", host, dialled }
  }

  /** What becomes of a connection that nobody takes. */
  private unreached(port: string): { readonly status: number; readonly error: string } {
    const proxied = bypassOf(this.world, this.caller, Number(port)) === null
    return proxied ? { status: 502, error: "connect-failed" } : { status: 0, error: "" }
  }

  private get family(): 4 | 6 {
    return this.caller.ip === "" ? 4 : ipFamily(this.caller.ip)
  }
}

/** The TCP port of a Service by number or name. */
export function findPort(service: ServiceRecord, typed: string): ServicePort | undefined {
  return service.ports.find(
    port => port.protocol === "TCP" && (`${port.port}` === typed || port.name === typed),
  )
}

function likely(ports: readonly ServicePort[]): ServicePort | undefined {
  return (
    ports.find(port => LIKELY_PORTS.includes(port.name)) ??
    ports.find(port => port.port === HTTP_PORT) ??
    ports[0]
  )
}

function portText({ port, name }: ServicePort): string {
  return name === "" ? `${port}` : `${port} (${name})`
}

function portsText(ports: readonly ServicePort[]): string {
  return ports.length === 0 ? "none" : ports.map(portText).join(", ")
}
