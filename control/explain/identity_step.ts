// The step `identity`: what is encrypted, and who proves what to whom.
import { CertificateState } from "../../protos/mod.ts"
import { hasPort } from "../cluster/mod.ts"
import { workloadDnsName } from "../tls/mod.ts"
import { type Caller, workloadPlace } from "./caller.ts"
import { type Chain, percent } from "./chain.ts"
import { count } from "./no_endpoint.ts"
import type { CertificateView, World } from "./question.ts"
import { type Bypass, type Met, metPlace, metText, unmeshed } from "./way.ts"

/** Pods whose certificates are asked for: more would make a person wait, and they are alike. */
export const MAX_CERTIFICATES_ASKED = 8

/** A call up to here. */
export interface SecuredCall {
  readonly world: World
  readonly caller: Caller
  /** Why it does not leave by the caller's proxy; null where it does. */
  readonly bypass: Bypass | null
  readonly met: readonly Met[]
  /** What is sent is TLS of the application's own. */
  readonly encrypted: boolean
  /** The addresses are of the cluster. */
  readonly inside: boolean
}

/** Endpoints with which mutual TLS is spoken; of the others the client has no identity. */
export async function identityStep(chain: Chain, call: SecuredCall): Promise<ReadonlySet<Met>> {
  const { world, caller, bypass, met, inside } = call
  if (!inside) {
    chain.say("identity", "none", {
      decision: "no identity: what is outside of the mesh proves none",
      reason: call.encrypted ? "" : "it is sent as the application sends it",
    })
    return new Set()
  }
  if (world.names === undefined) {
    chain.say("identity", "warn", {
      decision: "plaintext",
      reason: "the mesh has no identity: it was installed without trust anchors",
      change: "conduit install with identity",
    })
    return new Set()
  }
  if (met.every(one => one.self)) {
    chain.say("identity", "none", {
      decision: "the caller calls itself: over its loopback interface, with no proxy on the way in",
      object: caller.place,
    })
    return new Set()
  }
  if (bypass !== null) {
    chain.say("identity", "warn", {
      decision: "plaintext: the caller proves no identity",
      reason: bypass.reason,
      object: bypass.object,
      change: bypass.change,
    })
    return new Set()
  }
  return await secured(chain, call)
}

async function secured(chain: Chain, call: SecuredCall): Promise<ReadonlySet<Met>> {
  const { world, caller, met, encrypted } = call
  const { names } = world
  const { pod } = caller
  if (pod === null || names === undefined) throw new Error("a caller behind a proxy has a pod, and a name")
  const required = pod.mtlsRequired
  const own = await world.certificate(pod)
  const details: string[] = []
  const ownName = workloadDnsName(pod, names)
  if (lacks(own)) {
    const object = workloadPlace(world.store, pod)
    const reason = `pod ${pod.namespace}/${pod.name} has no certificate that holds (${certificateText(own)})`
    const change = `conduit identity pod/${pod.name} -n ${pod.namespace}, and the log of its proxy`
    if (!required) {
      chain.say("identity", "warn", {
        decision: "plaintext: the caller proves no identity",
        reason,
        object,
        change,
      })
      return new Set()
    }
    chain.end(
      "identity",
      {
        decision: "refused: mutual TLS is required, and the caller has no certificate",
        reason,
        object,
        change,
      },
      { status: 502, error: "mtls-required", what: "502 mtls-required: the caller has no certificate" },
    )
    return new Set()
  }
  if (own.state === CertificateState.UNKNOWN) details.push(`its certificate is not known: ${own.error}`)
  if (own.state === CertificateState.EXPIRING)
    details.push("the caller's certificate is near its end, and was not renewed")
  const both = new Set<Met>()
  let worst: (Bypass & { readonly lost: boolean }) | null = null
  let asked = 0
  for (const one of met) {
    if (one.self) {
      details.push(`${metText(one)} is the caller itself: over its loopback interface`)
      continue
    }
    if (one.identity === "") {
      const why = whyPlain(world, one)
      const lost = required && !encrypted
      if (worst === null || (lost && !worst.lost)) worst = { ...why, lost }
      details.push(`plaintext to ${metText(one)}: ${why.reason}`)
      if (lost) {
        const what = `502 mtls-required: ${metText(one)} would be called in plaintext`
        chain.lose({ share: one.share, status: 502, error: "mtls-required", step: "identity", what })
      }
      continue
    }
    if (one.pod !== null && asked < MAX_CERTIFICATES_ASKED) {
      asked++
      const view = await world.certificate(one.pod)
      if (lacks(view)) {
        const reason = `${metText(one)} has no certificate that holds (${certificateText(view)})`
        worst = {
          reason,
          object: metPlace(world, one),
          change: `conduit identity pod/${one.pod.name} -n ${one.pod.namespace}, and the log of its proxy`,
          lost: true,
        }
        details.push(reason)
        const what = "502 connect-failed: the handshake of mutual TLS fails"
        chain.lose({ share: one.share, status: 502, error: "connect-failed", step: "identity", what })
        continue
      }
      if (view.state === CertificateState.UNKNOWN)
        details.push(`the certificate of ${metText(one)} is not known: ${view.error}`)
    }
    both.add(one)
  }
  const lost = chain.lostAt("identity")
  const served = [...new Set([...both].map(one => one.identity))]
  const plain = met.length - both.size - met.filter(one => one.self).length
  const decision =
    lost > 0
      ? `${percent(lost)} of the calls are refused: no mutual TLS`
      : plain === 0
        ? `mutual TLS: the caller proves ${ownName}`
        : `plaintext to ${plain} of ${count(met.length, "endpoint")}`
  const already =
    required && worst !== null
      ? ["config.conduit.io/outbound-mtls: required lets nothing out in plaintext"]
      : []
  chain.say("identity", lost > 0 ? chain.outcomeOf("identity") : worst === null ? "ok" : "warn", {
    decision,
    reason: worst?.reason ?? served.map(name => `the server proves ${name}`).join(", "),
    object: worst === null ? workloadPlace(world.store, pod) : worst.object,
    details: [...already, ...(details.length > 1 || worst === null ? details : [])],
    change: worst?.change ?? "",
  })
  return both
}

function lacks({ state }: CertificateView): boolean {
  return (
    state === CertificateState.NONE ||
    state === CertificateState.EXPIRED ||
    state === CertificateState.NOT_YET_VALID
  )
}

function certificateText({ state, error }: CertificateView): string {
  if (state === CertificateState.EXPIRED) return "its certificate has expired"
  if (state === CertificateState.NOT_YET_VALID)
    return "its certificate is not valid yet: are the clocks right?"
  return error || "none"
}

/** Why an endpoint proves nothing. */
function whyPlain(world: World, one: Met): Bypass {
  const { pod, leg, port } = one
  if (pod === null) {
    return {
      reason: "no pod of the cluster is known behind the address",
      object: metPlace(world, one),
      change: leg.service === null ? "" : "pods behind the Service that are in the mesh",
    }
  }
  if (!pod.meshed) return unmeshed(world, pod)
  if (hasPort(pod.skipInboundPorts, port)) {
    const annotation = "config.conduit.io/skip-inbound-ports"
    return {
      reason: `port ${port} of ${metText(one)} bypasses its proxy (${annotation})`,
      object: workloadPlace(world.store, pod, `spec.template.metadata.annotations["${annotation}"]`),
      change: `take port ${port} out of ${annotation}, and restart the pods`,
    }
  }
  return { reason: `${metText(one)} proves no identity`, object: metPlace(world, one), change: "" }
}
