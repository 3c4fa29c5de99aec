// The called side: from what was typed to a Service's port, pods, or something outside; the steps `name` and `service`.
import { didYouMean, nearest } from "../../deploy/suggest/mod.ts"
import {
  type ClusterStore,
  canonicalIp,
  endpointsOf,
  ipFamily,
  type PodRecord,
  type ServicePort,
  type ServiceRecord,
  type ServingAddress,
} from "../cluster/mod.ts"
import { type Caller, placeOf, podsOf, textOf } from "./caller.ts"
import type { Chain } from "./chain.ts"
import type { Party, World } from "./question.ts"

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
const HTTP_PORT = 80
/** Names of ports that are taken for the one that is meant, where none is named. */
const LIKELY_PORTS: readonly string[] = ["http", "grpc", "web", "http2", "h2c"]
/** How far ExternalName Services are followed, as they may name each other. */
const MAX_ALIASES = 4
/** What becomes of a connection that nobody takes. */
const UNREACHED = { status: 502, error: "connect-failed" } as const

/** Finds what is called; null where the call ends here, which the chain says then. */
export function calledBy(chain: Chain, world: World, caller: Caller, to: Party): Called | null {
  return new Lookup(chain, world, caller).of(to)
}

class Lookup {
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

  of(to: Party): Called | null {
    const namespace = to.namespace || this.caller.namespace
    if (to.kind === "service")
      return this.named(namespace, to.name, to.port, `Service ${namespace}/${to.name}`)
    if (to.kind !== "") return this.workload(to.kind, namespace, to.name, to.port)
    const host = to.host.toLowerCase().replace(/\.$/, "")
    if (host === "localhost" || host.startsWith("127.") || host === "::1") return this.loopback(host)
    const ip = canonicalIp(host)
    return ip === null ? this.byName(host, to.port, namespace) : this.byAddress(ip, to.port)
  }

  private loopback(host: string): Called {
    this.chain.say("name", "ok", { decision: `${host} is the caller itself` })
    this.chain.say("service", "none", {
      decision: "no Service: the call stays on the pod's loopback interface",
    })
    return { kind: "loopback" }
  }

  private byAddress(ip: string, port: string): Called | null {
    for (const service of this.store.services()) {
      if (service.clusterIps.includes(ip)) {
        this.chain.say("name", "ok", {
          decision: `${ip} is the cluster IP of Service ${service.namespace}/${service.name}`,
          object: placeOf(service, "spec.clusterIP"),
        })
        return this.port(service, port, ip)
      }
    }
    const dialled = Number(port) || HTTP_PORT
    const pod = this.store.podAt(ip, dialled)
    if (pod !== undefined) {
      this.chain.say("name", "ok", {
        decision: `${ip} is pod ${pod.namespace}/${pod.name}`,
        object: placeOf(pod),
      })
      return this.pods([pod], port, "the address of a pod is called")
    }
    this.chain.say("name", "ok", { decision: `${ip} is no address of a Service or pod` })
    return this.outside(ip, dialled)
  }

  /** A name as the caller's resolver takes it: within its own namespace, then the cluster, then the world. */
  private byName(host: string, port: string, namespace: string): Called | null {
    const domain = `.svc.${this.world.clusterDomain}`
    const inCluster = host.endsWith(domain)
      ? host.slice(0, -domain.length)
      : host.endsWith(".svc")
        ? host.slice(0, -4)
        : null
    const labels = (inCluster ?? host).split(".")
    const [first = "", second = "", third = ""] = labels
    if (labels.length === 1 && inCluster === null) {
      return this.named(
        namespace,
        first,
        port,
        host,
        `a name without dots is looked up in namespace "${namespace}"`,
      )
    }
    const knownNamespace = (name: string): boolean => this.store.namespaces().some(one => one.name === name)
    if (labels.length === 2 && (inCluster !== null || knownNamespace(second))) {
      return this.named(second, first, port, host)
    }
    if (labels.length === 3 && (inCluster !== null || this.store.service(third, second) !== undefined)) {
      return this.podOfSet(third, second, first, port, host)
    }
    if (labels.length === 2 && this.store.service(namespace, second)?.headless === true) {
      return this.podOfSet(namespace, second, first, port, host)
    }
    if (inCluster !== null) {
      this.chain.end(
        "name",
        {
          decision: `${host} leads nowhere`,
          reason: "names of the cluster are SERVICE.NAMESPACE.svc, or POD.SERVICE.NAMESPACE.svc",
        },
        NO_SUCH_NAME,
      )
      return null
    }
    const namespaces = this.store.namespaces().map(one => one.name)
    const near = labels.length === 2 ? didYouMean(second, namespaces, `${first}.`) : ""
    this.chain.say("name", near === "" ? "ok" : "warn", {
      decision: `${host} is a name outside of the cluster`,
      ...(near === "" ? {} : { reason: `there is no namespace "${second}"${near}` }),
    })
    return this.outside(host, Number(port) || HTTP_PORT)
  }

  private named(namespace: string, name: string, port: string, typed: string, reason = ""): Called | null {
    const service = this.store.service(namespace, name)
    if (service === undefined) {
      const known = [...this.store.services(namespace)].map(one => one.name)
      const elsewhere = [...this.store.services()].filter(one => one.name === name).map(one => one.namespace)
      const near = likeliest(name, known)
      this.chain.end(
        "name",
        {
          decision: `${typed} leads nowhere`,
          reason: `there is no Service "${name}" in namespace "${namespace}"`,
          object: placeOf({ kind: "service", namespace, name }),
          change:
            elsewhere.length > 0
              ? `the Service is in namespace ${elsewhere.sort().join(", ")}: call ${name}.${elsewhere[0]}`
              : near !== null
                ? `did you mean ${near}?`
                : `a Service "${name}" in namespace "${namespace}"`,
        },
        NO_SUCH_NAME,
      )
      return null
    }
    this.chain.say("name", "ok", {
      decision: `${typed} is Service ${namespace}/${name}`.replace(/^(Service \S+) is \1$/, "$1"),
      reason,
      object: placeOf(service),
    })
    return this.port(service, port, service.clusterIps[0] ?? "")
  }

  /** A workload is called by the Services that select its pods. */
  private workload(kind: string, namespace: string, name: string, port: string): Called | null {
    const pods = podsOf(this.store, kind, namespace, name)
    const [first] = pods
    if (kind === "pod" || first === undefined) {
      this.chain.say("name", "ok", {
        decision: `pod ${namespace}/${name}`,
        object: placeOf({ kind, namespace, name }),
      })
      return this.pods(pods, port, "the address of a pod is called")
    }
    const services = [...this.store.servicesOf(first)]
      .filter(service => service.externalName === "")
      .sort(
        (a, b) =>
          Number(a.headless) - Number(b.headless) ||
          (a.name === name ? -1 : b.name === name ? 1 : a.name < b.name ? -1 : 1),
      )
    const fitting =
      services.find(service => port === "" || findPort(service, port) !== undefined) ?? services[0]
    const place = placeOf({ kind, namespace, name })
    if (fitting === undefined) {
      this.chain.say("name", "warn", {
        decision: `${textOf(place)} has no name`,
        reason: "no Service selects its pods: they are called by their addresses",
        object: place,
        change: `a Service in namespace "${namespace}" whose spec.selector fits the labels of its pods`,
      })
      return this.pods(pods, port, "the address of a pod is called")
    }
    const others = services
      .filter(one => one !== fitting)
      .map(one => `Service ${namespace}/${one.name} selects it too`)
    this.chain.say("name", "ok", {
      decision: `${textOf(place)} is called by Service ${namespace}/${fitting.name}`,
      reason: "its selector fits the labels of the pods",
      object: placeOf(fitting, "spec.selector"),
      details: others,
    })
    return this.port(fitting, port, fitting.clusterIps[0] ?? "")
  }

  /** A pod that a headless Service names. */
  private podOfSet(
    namespace: string,
    service: string,
    name: string,
    port: string,
    typed: string,
  ): Called | null {
    const found = this.store.service(namespace, service)
    const pod = this.store.pod(namespace, name)
    const selected =
      found !== undefined && pod !== undefined && [...this.store.selectedBy(found)].includes(pod)
    if (found === undefined || pod === undefined || !selected || !found.headless) {
      const why =
        found === undefined
          ? `there is no Service "${service}" in namespace "${namespace}"`
          : !found.headless
            ? `Service ${namespace}/${service} is not headless, so it names no pods`
            : pod === undefined
              ? `there is no pod "${name}" in namespace "${namespace}"${didYouMean(
                  name,
                  [...this.store.selectedBy(found)].map(one => one.name),
                )}`
              : `Service ${namespace}/${service} does not select pod ${namespace}/${name}`
      this.chain.end(
        "name",
        {
          decision: `${typed} leads nowhere`,
          reason: why,
          object: placeOf({
            kind: found?.headless === true ? "pod" : "service",
            namespace,
            name: found?.headless === true ? name : service,
          }),
        },
        NO_SUCH_NAME,
      )
      return null
    }
    this.chain.say("name", "ok", {
      decision: `${typed} is pod ${namespace}/${name}`,
      reason: `the headless Service ${namespace}/${service} names its pods one by one`,
      object: placeOf(pod),
    })
    return this.headless(found, port, pod)
  }

  private port(service: ServiceRecord, typed: string, ip: string): Called | null {
    if (service.externalName !== "") return this.alias(service, typed)
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
        { ...UNREACHED, what: `nothing takes connections to port ${typed} of ${what}` },
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
      ...(unsure ? { change: "name the port that is meant" } : {}),
    })
    return { kind: "service", service, port: found, ip }
  }

  private alias(service: ServiceRecord, port: string, depth = 0): Called | null {
    const { externalName } = service
    this.chain.say("service", "ok", {
      decision: `${textOf(placeOf(service))} is another name of ${externalName}`,
      reason: "an ExternalName Service has no endpoints of its own, and no routes",
      object: placeOf(service, "spec.externalName"),
    })
    const domain = `.svc.${this.world.clusterDomain}`
    if (externalName.endsWith(domain)) {
      const [name = "", namespace = ""] = externalName.slice(0, -domain.length).split(".")
      const next = this.store.service(namespace, name)
      if (next !== undefined && next.externalName !== "" && depth < MAX_ALIASES)
        return this.alias(next, port, depth + 1)
      if (next !== undefined && next.externalName === "")
        return this.port(next, port, next.clusterIps[0] ?? "")
    }
    return {
      kind: "outside",
      host: externalName,
      dialled: Number(port) || service.ports[0]?.port || HTTP_PORT,
    }
  }

  /** Names of a headless Service are addresses of pods: clients connect to the very port that they name. */
  private headless(service: ServiceRecord, typed: string, only: PodRecord | null): Called | null {
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
        { ...UNREACHED, what: "the client does not know which port to call" },
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

  private pods(pods: readonly PodRecord[], typed: string, reason: string): Called | null {
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
        { ...UNREACHED, what: "the client does not know which port to call" },
      )
      return null
    }
    this.chain.say("service", "none", { decision: `no Service: port ${port} of the pod`, reason })
    const addresses = pods.flatMap(pod => {
      const ip = pod.ips[0]
      return ip === undefined ? [] : [{ ip, port, pod, zone: "" }]
    })
    return { kind: "pods", addresses, dialled: port, service: null }
  }

  private outside(host: string, dialled: number): Called {
    this.chain.say("service", "none", { decision: "no Service: it is forwarded as it comes" })
    return { kind: "outside", host, dialled }
  }

  private get family(): 4 | 6 {
    return this.caller.ip === "" ? 4 : ipFamily(this.caller.ip)
  }
}

/** Ports of a pod's own proxy. */
export const OWN_PORTS: readonly number[] = [4140, 4143, 4190, 4191]

/** What was meant: a slip of the pen, else a name that has what was typed in it. */
function likeliest(typed: string, known: readonly string[]): string | null {
  return nearest(typed, known) ?? known.find(name => name.includes(typed) || typed.includes(name)) ?? null
}

const NO_SUCH_NAME = { status: 0, error: "", what: "the name is not known: nothing is sent" } as const

function findPort(service: ServiceRecord, typed: string): ServicePort | undefined {
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
