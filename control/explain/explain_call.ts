// What a call would meet, decision by decision: name, Service, protocol, route, backends, endpoints, identity, policy. Each is
// asked of the code that decides it for proxies, or that proxies decide it with; here is only the order, and the telling.
import type { RequestFacts } from "../../protos/authorization/mod.ts"
import { destinationV1 } from "../../protos/mod.ts"
import type { RoutedRequest } from "../../protos/routes/mod.ts"
import { type ClusterStore, hasPort, ipToBytes, type PodRecord } from "../cluster/mod.ts"
import {
  type EndpointInit,
  type Resolution,
  resolveInbound,
  resolveOutbound,
  servicePortProtocol,
} from "../destination/mod.ts"
import { calledBy } from "./called.ts"
import { type Caller, callerOf, placeOf, textOf, workloadPlace } from "./caller.ts"
import { Chain, type Note, type Place, percent, type Step, type Verdict } from "./chain.ts"
import { egressStep } from "./egress_step.ts"
import { identityStep } from "./identity_step.ts"
import { count, whyNone } from "./no_endpoint.ts"
import { policyStep } from "./policy_step.ts"
import type { Question, Wire, World } from "./question.ts"
import { type Leg, legName, routeSteps } from "./route_step.ts"
import type { Called } from "./service_step.ts"
import { type Bypass, bypassOf, endpointsMet, type Met, metText } from "./way.ts"

const { TCP, TLS, HTTP1, HTTP2, UNSPECIFIED } = destinationV1.Protocol

/** The answer. */
export interface CallExplanation {
  readonly steps: readonly Step[]
  readonly verdict: Verdict
  /** The pod that was taken for the caller; empty for an address. */
  readonly fromPod: string
}

/**
 * Explains a call.
 *
 * @throws ConnectError for a caller that is not there, or cannot call
 */
export async function explainCall(world: World, question: Question): Promise<CallExplanation> {
  const caller = callerOf(world.store, question.from)
  const chain = new Chain()
  const answer = await new Walk(world, question, caller, chain).walk()
  return { steps: chain.steps, verdict: chain.verdict(answer), fromPod: caller.pod?.name ?? "" }
}

class Walk {
  private readonly world: World
  private readonly question: Question
  private readonly caller: Caller
  private readonly chain: Chain

  constructor(world: World, question: Question, caller: Caller, chain: Chain) {
    this.world = world
    this.question = question
    this.caller = caller
    this.chain = chain
  }

  /** Goes through the steps; who answers, where somebody does. */
  async walk(): Promise<string> {
    const { chain, world, caller, question } = this
    const called = calledBy(chain, world, caller, question.to)
    if (called === null) return ""
    if (called.kind === "loopback") return this.loopback()
    const dialled = called.kind === "service" ? called.port.port : called.dialled
    const bypass = bypassOf(world, caller, dialled)
    if (called.kind === "outside") return this.outside(called, bypass)
    const resolution = called.kind === "service" ? this.resolve(called.ip, dialled) : null
    const wire = this.wireOf(called, resolution)
    const raw = this.protocol(called, resolution, bypass, wire)
    const legs = this.legs(called, resolution, bypass, this.request(wire, called), raw)
    if (chain.over) return ""
    const serving = this.endpoints(legs, bypass)
    if (chain.over) return ""
    const met = endpointsMet(world, caller, serving)
    const proven = await identityStep(chain, {
      world,
      caller,
      bypass,
      met,
      encrypted: wire === "tls",
      inside: true,
    })
    if (chain.over) return ""
    const { headers } = question
    policyStep(chain, {
      ...{ world, caller, met, proven, header: (name: string) => headers.get(name) },
      requestAt: one => this.requestAt(one, wire, raw),
    })
    const plain = met.filter(one => !proven.has(one) && !one.self).length
    const how =
      plain === 0 ? "" : plain === met.length ? ", in plaintext" : `, in plaintext by ${plain} of them`
    const through = bypass === null ? "" : ", not through the caller's proxy"
    return `answered by ${count(met.length, "endpoint")} of ${serving.map(legName).join(" and ")}${how}${through}`
  }

  private loopback(): string {
    const { chain } = this
    chain.say("protocol", "none", { decision: "as the application sends it: no proxy is passed" })
    chain.say("route", "none", { decision: "no route: the call does not leave the pod" })
    chain.say("backends", "none", { decision: "none" })
    chain.say("endpoints", "ok", { decision: "the caller's own containers", object: this.caller.place })
    chain.say("identity", "none", { decision: "none: the call does not leave the pod" })
    chain.say("policy", "none", {
      decision: "nobody decides",
      reason: "the call stays on the pod's loopback interface",
    })
    return "answered by the pod itself, over its loopback interface; the mesh does not see it"
  }

  private outside({ host, dialled }: Extract<Called, { kind: "outside" }>, bypass: Bypass | null): string {
    const { chain } = this
    const where = `${host}:${dialled}`
    chain.say("protocol", "ok", {
      decision: this.question.protocol === "" ? "detected from the first bytes" : this.question.protocol,
    })
    chain.say("route", "none", { decision: "no route: routes bind Services" })
    chain.say("backends", "none", { decision: "none" })
    chain.say("endpoints", "ok", { decision: `${where} itself, as it comes` })
    chain.say("identity", bypass === null || bypass.object === null ? "none" : "warn", {
      decision: "no identity: what is outside of the mesh proves none",
      ...(bypass === null ? {} : { reason: bypass.reason, object: bypass.object, change: bypass.change }),
    })
    const { protocol } = this.question
    const isTls = protocol === "tls" || (protocol === "" && dialled === TLS_PORT)
    egressStep(chain, {
      ...{ world: this.world, pod: this.caller.pod, host, dialled, bypass },
      raw: isTls || protocol === "tcp",
      named: protocol !== "tcp",
    })
    if (chain.over) return ""
    const through = bypass === null ? "" : ", not through the caller's proxy"
    return `forwarded to ${where} as it comes${through}; whether that answers is not known here`
  }

  private resolve(ip: string, port: number): Extract<Resolution, { kind: "service" }> {
    const { store, clusterDomain, names } = this.world
    const options = { clusterDomain, ...(names === undefined ? {} : { names }) }
    const found = resolveOutbound(store, ip, port, this.caller.namespace, options)
    if (found.kind !== "service") throw new Error(`a cluster IP is ${found.kind}`)
    return found
  }

  private wireOf(
    called: Exclude<Called, { kind: "loopback" | "outside" }>,
    resolution: Extract<Resolution, { kind: "service" }> | null,
  ): Wire {
    const { protocol, headers } = this.question
    if (protocol !== "") return protocol
    if (headers.get("content-type")?.startsWith("application/grpc") === true) return "grpc"
    if (called.kind !== "service") return "http1"
    if (called.port.appProtocol.toLowerCase() === "grpc") return "grpc"
    const hint =
      resolution?.service.protocol ?? servicePortProtocol(this.world.store, called.service, called.port)
    return hint === TCP ? "tcp" : hint === TLS ? "tls" : hint === HTTP2 ? "http2" : "http1"
  }

  /** Says how the bytes are understood; whether nobody looks into them. */
  private protocol(
    called: Exclude<Called, { kind: "loopback" | "outside" }>,
    resolution: Extract<Resolution, { kind: "service" }> | null,
    bypass: Bypass | null,
    wire: Wire,
  ): boolean {
    const { chain, world } = this
    const service = called.service
    const first = called.kind === "pods" ? called.addresses[0] : undefined
    const hint =
      resolution?.service.protocol ??
      (first?.pod == null ? UNSPECIFIED : inboundProtocol(world.store, first.pod, first.port))
    const place = this.hintPlace(called, hint)
    const raw = wire === "tcp" || wire === "tls" || hint === TCP || hint === TLS
    const asked = this.question.protocol
    const details = bypass === null ? [] : [`nothing is detected at the caller: ${bypass.reason}`]
    const looks = raw && wire !== "tcp" && wire !== "tls"
    if (hint === TCP || hint === TLS) {
      const opaque = place?.field.includes("opaque-ports") === true
      // A hint by appProtocol is what the caller means; opaque-ports for what is asked about as requests hardly is.
      const odd = asked !== "" ? looks : opaque && this.asksForRequests
      chain.say("protocol", odd ? "warn" : "ok", {
        decision:
          hint === TLS ? "TLS of the application's own: bytes are relayed" : "opaque: bytes are relayed",
        reason: `${place === null ? "the port" : textOf(place)} says so: no routes, retries or policy by method and path apply`,
        object: place,
        details,
        change: opaque ? "take the port out of config.conduit.io/opaque-ports" : "another appProtocol",
      })
      return raw
    }
    const names: Readonly<Record<Wire, string>> = {
      http1: "HTTP/1",
      http2: "HTTP/2",
      grpc: "gRPC (HTTP/2)",
      tcp: "bytes that nobody looks into",
      tls: "TLS of the application's own",
    }
    const wrong =
      (hint === HTTP1 && (wire === "http2" || wire === "grpc")) || (hint === HTTP2 && wire === "http1")
    const said = hint === HTTP1 ? "HTTP/1" : "HTTP/2"
    chain.say("protocol", wrong ? "warn" : "ok", {
      decision:
        hint === UNSPECIFIED ? `${names[wire]}, detected from the first bytes` : `${said}, by appProtocol`,
      ...(wrong ? { reason: `the call is ${names[wire]}, and the port says ${said}` } : {}),
      object: place ?? (service === null ? null : placeOf(service)),
      details,
      ...(hint === UNSPECIFIED ? {} : { change: "another appProtocol" }),
    })
    return raw
  }

  /** Whether what was asked makes sense of requests only. */
  private get asksForRequests(): boolean {
    const { method, path, headers } = this.question
    return method !== "" || (path !== "" && path !== "/") || headers.size > 0
  }

  private hintPlace(
    called: Exclude<Called, { kind: "loopback" | "outside" }>,
    hint: destinationV1.Protocol,
  ): Place | null {
    if (hint === UNSPECIFIED) return null
    const { store } = this.world
    const field = 'metadata.annotations["config.conduit.io/opaque-ports"]'
    if (called.kind === "service") {
      const { service, port } = called
      if (hint === TCP && hasPort(store.opaquePortsOf(service), port.port)) {
        const own = store.namespace(service.namespace)
        return service.opaquePorts !== null || own === undefined
          ? placeOf(service, field)
          : placeOf(own, field)
      }
      return placeOf(service, `spec.ports[${service.ports.indexOf(port)}].appProtocol`)
    }
    const pod = called.addresses[0]?.pod ?? null
    if (pod === null) return null
    if (!hasPort(store.opaquePortsOf(pod), called.dialled))
      return called.service === null ? placeOf(pod) : placeOf(called.service)
    const own = store.namespace(pod.namespace)
    return pod.opaquePorts !== null || own === undefined
      ? workloadPlace(store, pod, `spec.template.${field}`)
      : placeOf(own, field)
  }

  private request(wire: Wire, called: Exclude<Called, { kind: "loopback" | "outside" }>): RoutedRequest {
    const { method, path, headers, to } = this.question
    const isGrpc = wire === "grpc"
    const host =
      to.host !== ""
        ? to.host
        : called.service === null
          ? ""
          : `${called.service.name}.${called.service.namespace}`
    const authority = headers.get("host") ?? (to.port === "" || to.host === "" ? host : `${host}:${to.port}`)
    return {
      method: method === "" ? (isGrpc ? "POST" : "GET") : method,
      path: path === "" ? "/" : path,
      isGrpc,
      authority,
      values: name => headers.get(name),
    }
  }

  private legs(
    called: Exclude<Called, { kind: "loopback" | "outside" }>,
    resolution: Extract<Resolution, { kind: "service" }> | null,
    bypass: Bypass | null,
    request: RoutedRequest,
    raw: boolean,
  ): Leg[] {
    const { chain, world } = this
    if (called.kind === "pods") {
      const why =
        called.service === null
          ? "the address of a pod is called"
          : "the name stands for the addresses of pods"
      chain.say("route", "none", { decision: "no route", reason: `${why}, and routes bind cluster IPs` })
      chain.say("backends", "none", { decision: "none: the client picks the pod" })
      const endpoints = called.addresses.map((address): EndpointInit => {
        const found = resolveOutbound(
          world.store,
          address.ip,
          address.port,
          this.caller.namespace,
          world.names === undefined ? {} : { names: world.names },
        )
        if (found.kind === "endpoint") return found.endpoint
        return { ip: ipToBytes(address.ip) ?? new Uint8Array(), port: address.port }
      })
      const port = called.service?.ports.find(one => one.port === called.dialled) ?? null
      return [{ share: 1, service: called.service, port, endpoints, path: request.path }]
    }
    const { service, port } = called
    if (resolution === null) throw new Error("a Service that was not resolved")
    if (bypass === null) return routeSteps(chain, { world, service, port, resolution, request, raw })
    const routes = resolution.origins.length
    chain.say("route", routes === 0 ? "none" : "warn", {
      decision:
        routes === 0
          ? "no route: no proxy asks for one"
          : `its ${count(routes, "rule")} of routes are not asked`,
      reason: bypass.reason,
      object: routes === 0 ? null : bypass.object,
      change: routes === 0 ? "" : bypass.change,
    })
    chain.say("backends", "ok", {
      decision: `100 % to ${textOf(placeOf(service))}, picked by kube-proxy for each connection`,
      object: placeOf(service),
    })
    return [{ share: 1, service, port, endpoints: resolution.endpoints, path: request.path }]
  }

  /** Says who serves; the legs that have somebody. */
  private endpoints(legs: readonly Leg[], bypass: Bypass | null): Leg[] {
    const { chain, world } = this
    const details: string[] = []
    const notes: Note[] = []
    let cause: { reason: string; object: Place | null; change: string } | null = null
    for (const leg of legs) {
      const { service, port, endpoints, share } = leg
      if (service?.traffic.accrual != null) {
        const { maxFailures, minPenaltyMs, maxPenaltyMs } = service.traffic.accrual
        details.push(
          `circuit of Service ${service.namespace}/${service.name}: after ${maxFailures} failures in a row an endpoint is left out for ${minPenaltyMs} ms, growing to ${maxPenaltyMs} ms`,
        )
      }
      if (service?.traffic.balancing?.byClient === true) {
        const object = placeOf(service, "spec.sessionAffinity")
        notes.push({ text: "a caller stays with one endpoint as long as that is there", object })
      }
      if (endpoints.length > 0) continue
      const why =
        service !== null && port !== null
          ? whyNone(world.store, service, port)
          : { reason: "the pod has no address yet", object: null, change: "" }
      cause ??= why
      const where = legName(leg)
      // Without a proxy nobody answers in the Service's place; and of a headless one there is no address to call.
      const silent = bypass !== null || service?.headless === true || service === null
      chain.lose({
        share,
        status: silent ? 0 : 503,
        error: silent ? "" : "no-endpoint",
        step: "endpoints",
        what: silent
          ? `nothing answers: ${where} has no endpoint`
          : `503 no-endpoint: ${where} has none that is ready`,
      })
    }
    const serving = legs.filter(leg => leg.endpoints.length > 0)
    const met = endpointsMet(world, this.caller, serving)
    const lost = chain.lostAt("endpoints")
    const shown = met
      .slice(0, SHOWN_ENDPOINTS)
      .map(one => `${one.ip}:${one.port}${one.pod === null ? "" : ` ${metText(one)}`}`)
    if (met.length > shown.length) shown.push(`and ${met.length - shown.length} more`)
    const [leg] = serving
    const suspicious = lost > 0 ? null : undeclared(met)
    const outcome = lost > 0 ? chain.outcomeOf("endpoints") : suspicious === null ? "ok" : "warn"
    const empty = legs.filter(one => one.endpoints.length === 0)
    chain.say("endpoints", outcome, {
      decision:
        lost > 0
          ? `${empty.map(legName).join(" and ")} ${empty.length === 1 ? "has" : "have"} no endpoint${outcome === "warn" ? ` (${percent(lost)} of the calls)` : ""}`
          : `${count(met.length, "endpoint")} of ${serving.map(legName).join(" and ")}`,
      reason: cause?.reason ?? suspicious ?? "",
      object:
        cause !== null
          ? cause.object
          : leg?.service == null
            ? met[0]?.pod == null
              ? null
              : placeOf(met[0].pod)
            : placeOf(leg.service, suspicious === null ? "spec.selector" : "spec.ports"),
      details: [...details, ...shown],
      notes,
      change:
        cause?.change ??
        (suspicious === null ? "" : "the targetPort of the Service, or the ports of the containers"),
    })
    return serving
  }

  /** The request as the proxy of an endpoint sees it. */
  private requestAt(one: Met, wire: Wire, raw: boolean): RequestFacts | null {
    const { pod, port, leg } = one
    if (pod === null || raw) return null
    const hint = inboundProtocol(this.world.store, pod, port)
    if (hint === TCP || hint === TLS) return null
    const { method } = this.question
    return { method: method === "" ? (wire === "grpc" ? "POST" : "GET") : method, target: leg.path }
  }
}

/** What a port of a pod is known to speak. */
function inboundProtocol(store: ClusterStore, pod: PodRecord, port: number): destinationV1.Protocol {
  return resolveInbound(store, pod.namespace, pod.name, port).protocol ?? UNSPECIFIED
}

/** Port on which TLS is what is meant. */
const TLS_PORT = 443

/** Endpoints that are shown one by one. */
const SHOWN_ENDPOINTS = 8

/** Ports that containers declare say nothing to Kubernetes; but where they do, and none is the one called, it is a slip. */
function undeclared(met: readonly Met[]): string | null {
  const odd = met.filter(({ pod, port }) => {
    const declared =
      pod?.ports.filter(
        one => one.protocol === "TCP" && one.name !== "conduit-proxy" && one.name !== "conduit-admin",
      ) ?? []
    return declared.length > 0 && !declared.some(one => one.port === port)
  })
  const [first] = odd
  if (first === undefined || odd.length < met.length) return null
  const names = first.pod?.ports
    .filter(one => one.name !== "conduit-proxy" && one.name !== "conduit-admin")
    .map(one => one.port)
  return `no container declares port ${first.port}; ${metText(first)} declares ${names?.join(", ")}: does anything listen there?`
}
