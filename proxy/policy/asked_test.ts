// Guards whose policies have plugins asked: what is held, what the answers come to, and what is counted.
import { expect, test } from "bun:test"
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf"
import { policyAskV1, policyV1 } from "../../protos/mod.ts"
import type { Client } from "../accept/mod.ts"
import { PluginAsker } from "../ask/mod.ts"
import type { Link } from "../control_plane/mod.ts"
import { REFUSAL_DENIED, type RequestView } from "../http/mod.ts"
import { createLogger } from "../log.ts"
import { TimerWheel } from "../net/mod.ts"
import { Registry, Scalar } from "../telemetry/mod.ts"
import { InboundPolicy } from "./inbound_policy.ts"
import { PolicyWatch } from "./policy_watch.ts"

type Policy = MessageInitShape<typeof policyV1.PolicySchema>
const { ALLOW, DENY, ASK } = policyV1.Action
const { AskDecision } = policyAskV1
const DEADLINE_MS = 500
const WEB: Client = {
  ...{ address: "10.0.0.1", spiffeId: "spiffe://cluster.local/ns/shop/sa/web" },
  ...{ dnsName: "web.shop.id", tls: "true" },
}

function asking(plugin: string, fail = false, headers: string[] = []): Policy {
  const ask = { plugin, headers, deadlineMs: DEADLINE_MS, fail, version: "1" }
  return { namespace: "shop", name: `ask-${plugin}`, action: ASK, allPorts: true, rules: [{}], ask }
}

const other = (name: string, action: policyV1.Action, ...paths: string[]): Policy => ({
  ...{ namespace: "shop", name, action, allPorts: true, rules: [{ to: [{ paths }] }] },
})

function request(path: string, fields: Readonly<Record<string, string>> = {}): RequestView {
  return {
    ...{ method: "GET", authority: "cart", path, isGrpc: false, upgrade: "" },
    header: name => fields[name],
    values: name => fields[name],
  }
}

function fixture(...policies: Policy[]) {
  const clock = { nowMs: 0 }
  const timers = new TimerWheel(clock)
  const log = createLogger({ level: "error", sink: () => {} })
  const place = { namespace: "shop", pod: "cart-1" }
  const watch = new PolicyWatch({
    openLink: () => {
      throw new Error("no service is configured")
    },
    ...{ address: "", timers, log, defaultPolicy: "all-unauthenticated", trustDomain: "cluster.local" },
    ...place,
  })
  const sent: policyAskV1.AskRequest[] = []
  const link = {
    ...{ up: true, queuedBytes: 0, counts: { attempted: 0, opened: 0, failed: 0, received: 0, sent: 0 } },
    ...{ start() {}, hurry() {}, stop() {}, finish() {} },
    send: (bytes: Uint8Array) => void sent.push(fromBinary(policyAskV1.AskRequestSchema, bytes)),
  }
  const asker = new PluginAsker({
    openLink: () => link as Link,
    ...{ address: "policy:8090", clock, timers, log },
    ...place,
  })
  const registry = new Registry()
  const inbound = new InboundPolicy({ watch, registry, clock, log, asker })
  let version = 0
  const hold = (...held: Policy[]): void => {
    const policy = { policies: held, trustDomain: "cluster.local" }
    const message = create(policyV1.WatchResponseSchema, { version: String(++version), policy })
    watch.onMessage(toBinary(policyV1.WatchResponseSchema, message))
  }
  hold(...policies)
  return {
    ...{ asker, sent, hold },
    guard: () => inbound.guard(WEB, "10.0.0.9", 8080),
    answer(decision: policyAskV1.AskDecision, more: { reason?: string; cacheMs?: number } = {}): void {
      const message = create(policyAskV1.AskResponseSchema, { id: sent.at(-1)?.id ?? 0, decision, ...more })
      asker.onMessage(toBinary(policyAskV1.AskResponseSchema, message))
    },
    pass(ms: number): void {
      clock.nowMs += ms
      timers.advance()
    },
    counted(allowed: boolean): string[] {
      const name = `inbound_http_authz_${allowed ? "allow" : "deny"}_total`
      const of = [...registry.all()].filter(
        series => series instanceof Scalar && series.metric.name === name && series.value > 0,
      )
      return of.map(series => Object.fromEntries(series.labels).authz_name ?? "")
    },
  }
}

/** Begins a request. @returns what was decided, now or later */
function begin(guard: ReturnType<ReturnType<typeof fixture>["guard"]>, view: RequestView): string[] {
  const decided: string[] = []
  const refusal = guard.refuse(view)
  const { held } = guard
  if (held === null) decided.push(refusal?.reason ?? "let through")
  else
    held.whenDecided((later, answer) =>
      decided.push(later === null ? "let through" : `${later.reason}: ${answer?.told ?? ""}`),
    )
  return decided
}

test("a request waits for the plugin's answer, which decides and is counted as the policy's", () => {
  const { guard, answer, sent, counted } = fixture(asking("hours", false, ["x-tenant"]))
  const first = begin(guard(), request("/a/../b?q", { "x-tenant": "blue" }))
  expect(first).toEqual([])
  expect(sent).toMatchObject([
    {
      ...{ plugin: "hours", clientId: WEB.spiffeId, clientAddress: "10.0.0.1", port: 8080 },
      ...{ method: "GET", path: "/b", authority: "cart" },
      headers: [{ name: "x-tenant", value: "blue" }],
    },
  ])
  expect([...counted(true), ...counted(false)]).toEqual([])
  answer(AskDecision.DENY, { reason: "closed" })
  expect(first).toEqual(["denied: closed"])
  expect(counted(false)).toEqual(["ask-hours"])
})

test("ALLOW lets through what no other policy allows, DEFER leaves it to them, and a Deny is not asked about", () => {
  const { guard, answer, sent } = fixture(
    asking("hours"),
    other("some", ALLOW, "/some"),
    other("no", DENY, "/no"),
  )
  const allowed = begin(guard(), request("/other"))
  answer(AskDecision.ALLOW)
  const deferred = begin(guard(), request("/other"))
  answer(AskDecision.DEFER)
  const some = begin(guard(), request("/some"))
  answer(AskDecision.DEFER)
  expect([allowed, deferred, some]).toEqual([["let through"], ["denied: "], ["let through"]])
  expect(begin(guard(), request("/no"))).toEqual(["denied"])
  expect(sent).toHaveLength(3)
})

test("without an answer in time Ignore leaves it to the others, and Fail refuses", () => {
  for (const fail of [false, true]) {
    const { guard, pass } = fixture(asking("hours", fail))
    const decided = begin(guard(), request("/"))
    pass(DEADLINE_MS - 5)
    expect(decided).toEqual([])
    pass(10)
    expect(decided).toEqual([fail ? "denied: " : "let through"])
  }
})

test("an answer that holds for a while decides the next request at once", () => {
  const { guard, answer, sent } = fixture(asking("hours"))
  begin(guard(), request("/"))
  answer(AskDecision.DENY, { cacheMs: 1_000, reason: "closed" })
  expect(begin(guard(), request("/"))).toEqual(["denied"])
  expect(sent).toHaveLength(1)
})

test("plugins are asked one after the other, and none behind one that denies", () => {
  const { guard, answer, sent } = fixture(asking("a"), asking("b"))
  const both = begin(guard(), request("/"))
  answer(AskDecision.ALLOW)
  expect(both).toEqual([])
  answer(AskDecision.DENY)
  expect(both).toEqual(["denied: "])
  const one = begin(guard(), request("/"))
  answer(AskDecision.DENY)
  expect(one).toEqual(["denied: "])
  expect(sent.map(({ plugin }) => plugin)).toEqual(["a", "b", "a"])
})

test("what policies say as the answer comes counts", () => {
  const { guard, answer, hold } = fixture(asking("hours"))
  const decided = begin(guard(), request("/a"))
  hold(asking("hours"), other("no", DENY, "/a"))
  answer(AskDecision.ALLOW)
  expect(decided).toEqual(["denied: "])
})

test("a request that a plugin let through goes on when other policies change, until one denies it", () => {
  const { guard, answer, hold } = fixture(asking("hours"))
  const web = guard()
  begin(web, request("/a"))
  answer(AskDecision.ALLOW)
  hold(asking("hours"), other("some", ALLOW, "/some"))
  expect(web.stillAllows(request("/a"))).toBe(true)
  hold(asking("hours"), other("no", DENY, "/a"))
  expect(web.stillAllows(request("/a"))).toBe(false)
})

test("a request that is over withdraws its question", () => {
  const { guard, asker } = fixture(asking("hours"))
  const web = guard()
  web.refuse(request("/"))
  expect(asker.waiting).toBe(1)
  web.held?.forget()
  expect(asker.waiting).toBe(0)
})

test("where nobody is asked nothing is held", () => {
  const { guard, sent } = fixture(other("some", ALLOW, "/some"))
  const web = guard()
  expect([web.refuse(request("/some")), web.held]).toEqual([null, null])
  expect(web.refuse(request("/x"))).toBe(REFUSAL_DENIED)
  expect(sent).toEqual([])
})
