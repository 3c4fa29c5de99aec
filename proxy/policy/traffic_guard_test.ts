// Guards that rate limits and egress policies stand behind: what they refuse, count and log, and what changes under them.
import { expect, test } from "bun:test"
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf"
import { policyEgressV1, policyRateLimitV1, policyV1 } from "../../protos/mod.ts"
import type { Client } from "../accept/mod.ts"
import { REFUSAL_EGRESS_DENIED, REFUSAL_LIMITED, type RequestView } from "../http/mod.ts"
import { createLogger } from "../log.ts"
import { TimerWheel } from "../net/mod.ts"
import { RefusalRing } from "../refusal_ring.ts"
import { Registry } from "../telemetry/mod.ts"
import { OutboundPolicy } from "./egress_policy.ts"
import { InboundPolicy } from "./inbound_policy.ts"
import { PolicyWatch } from "./policy_watch.ts"

type Held = MessageInitShape<typeof policyV1.WorkloadPolicySchema>

const CLIENT: Client = { address: "10.0.0.2", spiffeId: "", dnsName: "", tls: "no_identity" }

function request(authority: string, path = "/"): RequestView {
  return {
    ...{ method: "GET", authority, path, isGrpc: false, upgrade: "" },
    header: () => undefined,
    values: () => undefined,
  }
}

function fixture(first: Held) {
  const clock = { nowMs: 1000 }
  const lines: string[] = []
  const log = createLogger({ level: "debug", sink: line => lines.push(line) })
  const watch = new PolicyWatch({
    openLink: () => {
      throw new Error("no service is configured")
    },
    ...{ address: "", timers: new TimerWheel(clock), log, namespace: "shop", pod: "web-1" },
    ...{ defaultPolicy: "all-unauthenticated", trustDomain: "cluster.local" },
  })
  const registry = new Registry()
  const refusals = new RefusalRing()
  const parts = { watch, registry, clock, log, refusals }
  let version = 0
  const hold = (policy: Held): void =>
    watch.onMessage(
      toBinary(
        policyV1.WatchResponseSchema,
        create(policyV1.WatchResponseSchema, { version: String(version++), policy }),
      ),
    )
  hold(first)
  const counted = (labels: object): number => {
    for (const series of registry.all()) {
      const own = Object.fromEntries(series.labels)
      if (Object.entries(labels).every(([name, value]) => own[name] === value) && "value" in series)
        return series.value
    }
    return 0
  }
  return {
    inbound: new InboundPolicy(parts),
    outbound: new OutboundPolicy(parts),
    clock,
    hold,
    counted,
    lines,
    refusals,
  }
}

const limited = (requests: number): Held => ({
  rateLimits: [
    {
      ...{ namespace: "shop", name: "web", ports: [80] },
      limits: [
        { name: "n", requests, periodS: 1, burst: requests, by: policyRateLimitV1.RateLimitKey.IDENTITY },
      ],
    },
  ],
  probes: [{ port: 80, path: "/healthz" }],
})

test("a request over the limit is refused with what the client needs to know, until there is a token again", () => {
  const { inbound, clock, counted } = fixture(limited(2))
  const guard = inbound.guard(CLIENT, "10.0.0.1", 80)
  const ask = () => guard?.refuse(request("web")) ?? null
  expect([ask(), ask(), ask()]).toEqual([null, null, REFUSAL_LIMITED])
  expect(guard?.answer).toEqual({
    fields: [
      ["retry-after", "1"],
      ["ratelimit-policy", '"n";q=2;w=1'],
      ["ratelimit", '"n";r=0;t=1'],
    ],
    detail: 'RateLimitPolicy shop/web, limit "n"',
  })
  expect(guard?.refusedFields()).toMatchObject({ port: 80 })
  clock.nowMs += 500
  expect(ask()).toBeNull()
  expect(counted({ limit: "n", decision: "allow" })).toBe(3)
  expect(counted({ limit: "n", decision: "limit" })).toBe(1)
  // Another client has a bucket of its own, another port none.
  expect(inbound.guard({ ...CLIENT, address: "10.0.0.3" }, "10.0.0.1", 80)?.refuse(request("web"))).toBeNull()
  expect(inbound.guard(CLIENT, "10.0.0.1", 81)?.refuse(request("web"))).toBeNull()
})

test("what the kubelet asks is not counted, and connections that run follow a change of the limits", () => {
  const { inbound, hold } = fixture(limited(1))
  const guard = inbound.guard(CLIENT, "10.0.0.1", 80)
  for (let i = 0; i < 5; i++) expect(guard?.refuse(request("web", "/healthz"))).toBeNull()
  expect(guard?.refuse(request("web"))).toBeNull()
  expect(guard?.refuse(request("web"))).toBe(REFUSAL_LIMITED)
  hold({})
  for (let i = 0; i < 5; i++) expect(guard?.refuse(request("web"))).toBeNull()
})

const egress = (action: policyEgressV1.EgressAction, ...hosts: string[]): Held => ({
  egress: [{ namespace: "shop", name: "out", action, rules: [{ hosts }] }],
})
const { ALLOW, DENY, AUDIT } = policyEgressV1.EgressAction

test("a denied request is refused as egress-denied, and told of with its policy", () => {
  const { outbound, counted, lines } = fixture(egress(DENY, "bad.example"))
  const guard = outbound.guard(CLIENT, "192.0.2.1", 80)
  expect(guard.refuse(request("good.example"))).toBeNull()
  expect(guard.refuse(request("bad.example:80"))).toBe(REFUSAL_EGRESS_DENIED)
  expect(guard.refused).toMatchObject({ namespace: "shop", name: "out", rule: 0 })
  expect(guard.refusedFields()).toMatchObject({ egress: "192.0.2.1:80", policy: "shop/out" })
  expect(counted({ protocol: "http", decision: "deny", egress_name: "out" })).toBe(1)
  expect(counted({ protocol: "http", decision: "allow" })).toBe(1)
  expect(lines).not.toContain("denied")
})

test("TLS is let through by its name, raw TCP without one is not", () => {
  const { outbound, counted, refusals } = fixture(egress(ALLOW, "good.example"))
  expect(outbound.guard(CLIENT, "192.0.2.1", 443).relay("tls", "good.example")).toBe(true)
  const raw = outbound.guard(CLIENT, "192.0.2.1", 5432)
  expect(raw.mayRelay).toBe(false)
  expect(raw.relay("tcp", "")).toBe(false)
  expect(refusals.find("")[0]).toMatchObject({ reason: "egress-denied", destination: "192.0.2.1:5432" })
  expect(counted({ protocol: "tls", decision: "allow" })).toBe(1)
  expect(counted({ protocol: "tcp", decision: "deny" })).toBe(1)
})

test("a connection that runs is ended by a change that denies it, and an audit lets it through with a line", () => {
  const { outbound, hold, lines } = fixture({})
  const guard = outbound.guard(CLIENT, "192.0.2.1", 443)
  expect(guard.relay("tls", "a.example")).toBe(true)
  expect(guard.stillRelays()).toBe(true)
  hold(egress(AUDIT, "a.example"))
  expect(guard.stillRelays()).toBe(true)
  expect(guard.relay("tls", "a.example")).toBe(true)
  expect(lines.some(line => line.includes("matched by an audit"))).toBe(true)
  hold(egress(DENY, "a.example"))
  expect(guard.stillRelays()).toBe(false)
  expect(guard.stillAllows(request("b.example"))).toBe(true)
})
