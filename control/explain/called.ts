// The called side: from what was typed to what it names; the step `name`.
import { didYouMean, nearest } from "../../deploy/suggest/mod.ts"
import { type ClusterStore, canonicalIp } from "../cluster/mod.ts"
import { type Caller, placeOf, podsOf, textOf } from "./caller.ts"
import type { Chain } from "./chain.ts"
import type { Party, World } from "./question.ts"
import { type Called, findPort, HTTP_PORT, NO_SUCH_NAME, ServiceStep } from "./service_step.ts"

/** Finds what is called; null where the call ends here, which the chain says then. */
export function calledBy(chain: Chain, world: World, caller: Caller, to: Party): Called | null {
  return new Lookup(chain, world, caller).of(to)
}

class Lookup {
  private readonly chain: Chain
  private readonly world: World
  private readonly store: ClusterStore
  private readonly caller: Caller
  private readonly service: ServiceStep

  constructor(chain: Chain, world: World, caller: Caller) {
    this.chain = chain
    this.world = world
    this.store = world.store
    this.caller = caller
    this.service = new ServiceStep(chain, world, caller)
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
        return this.service.port(service, port, ip)
      }
    }
    const dialled = Number(port) || HTTP_PORT
    const pod = this.store.podAt(ip, dialled)
    if (pod !== undefined) {
      this.chain.say("name", "ok", {
        decision: `${ip} is pod ${pod.namespace}/${pod.name}`,
        object: placeOf(pod),
      })
      return this.service.pods([pod], port, "the address of a pod is called")
    }
    this.chain.say("name", "ok", { decision: `${ip} is no address of a Service or pod` })
    return this.service.outside(ip, dialled)
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
    return this.service.outside(host, Number(port) || HTTP_PORT)
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
    return this.service.port(service, port, service.clusterIps[0] ?? "")
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
      return this.service.pods(pods, port, "the address of a pod is called")
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
      return this.service.pods(pods, port, "the address of a pod is called")
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
    return this.service.port(fitting, port, fitting.clusterIps[0] ?? "")
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
    return this.service.headless(found, port, pod)
  }
}

/** What was meant: a slip of the pen, else a name that has what was typed in it. */
function likeliest(typed: string, known: readonly string[]): string | null {
  return nearest(typed, known) ?? known.find(name => name.includes(typed) || typed.includes(name)) ?? null
}
