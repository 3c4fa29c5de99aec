// Certificates as events: renewals by workload, and what all certificates rest on.
import { expect, test } from "bun:test"
import { create } from "@bufbuild/protobuf"
import { makeAuthority, pemCertificates } from "../../deploy/identity/mod.ts"
import { EventKind, EventsRequestSchema, telemetryQueryV1 } from "../../protos/mod.ts"
import { ClusterStore } from "../cluster/mod.ts"
import type { Certified } from "../tls/mod.ts"
import { EventRing } from "./events.ts"

const NOW = 1_750_000_100_000
const NAMES = { trustDomain: "cluster.local", controlNamespace: "conduit" }

function proxies(...renewed: (readonly [pod: string, workload: string, renewedMs: number])[]) {
  return create(telemetryQueryV1.ReportersResponseSchema, {
    reporters: renewed.map(([pod, workload, certificateRenewedMs]) => ({
      pod: { namespace: "shop", pod, workloadKind: workload === "" ? "" : "deployment", workload },
      certificateRenewedMs,
    })),
  }).reporters
}

function ring(certified: () => Certified | null = () => null) {
  const clock = { nowMs: NOW - 600_000 }
  const store = new ClusterStore()
  const events = new EventRing(store, () => clock.nowMs, certified)
  store.markSynced()
  clock.nowMs = NOW
  return {
    events,
    seen: (reporters: ReturnType<typeof proxies>, request: { namespace?: string; windowMs?: number } = {}) =>
      (events.since(create(EventsRequestSchema, request), NOW, reporters).events ?? []).map(
        ({ timeMs = 0, kind, resource, what }) =>
          `${(timeMs - NOW) / 1000} ${kind} ${resource?.kind}/${resource?.name} ${what}`,
      ),
  }
}

test("renewals of a workload's replicas within a minute are one event, at the last of them", () => {
  const { seen, events } = ring()
  const all = proxies(
    ["web-1", "web", NOW - 35_000],
    ["web-2", "web", NOW - 20_000],
    ["cart-1", "cart", NOW - 10_000],
    ["bare", "", NOW - 5000],
    ["never", "web", 0],
    ["old", "web", NOW - 900_000],
  )
  expect(seen(all)).toEqual([
    `-5 ${EventKind.CERTIFICATE} pod/bare certificate renewed`,
    `-10 ${EventKind.CERTIFICATE} deployment/cart certificate renewed`,
    `-20 ${EventKind.CERTIFICATE} deployment/web certificates of 2 pods renewed`,
  ])
  expect(seen(all, { namespace: "other" })).toEqual([])
  expect(seen(all, { namespace: "shop", windowMs: 15_000 })).toHaveLength(2)
  events.stop()
})

test("another issuer and other trust anchors are events of every namespace, the first ones are none", async () => {
  const der = (pem: string) => new Uint8Array(pemCertificates(pem)[0]?.raw ?? [])
  const [one, two] = [
    await makeAuthority({ ...NAMES, nowMs: NOW }),
    await makeAuthority({ ...NAMES, nowMs: NOW }),
  ]
  const leaf = new Uint8Array([1])
  let certified: Certified | null = null
  const hold = (issuer: string, ...anchors: string[]): void => {
    const trustAnchors = anchors.map(der)
    certified = { chain: [leaf, der(issuer)], trustAnchors, notBeforeMs: 0, notAfterMs: 0 }
    events.lookAtAuthority()
  }
  const { seen, events } = ring(() => certified)
  events.lookAtAuthority()
  hold(one.issuer, one.anchor)
  expect(seen([])).toEqual([])
  hold(one.issuer, two.anchor, one.anchor)
  hold(one.issuer, one.anchor, two.anchor)
  expect(seen([], { namespace: "shop" })).toEqual([
    `0 ${EventKind.CERTIFICATE} trustanchors/trust anchors changed: 2 are trusted now`,
  ])
  hold(two.issuer, one.anchor, two.anchor)
  expect(seen([])[0]).toMatch(/issuer\/CN=identity\.conduit\.cluster\.local now signs certificates, until 20/)
  events.stop()
})
