// Enforcement: what the guard of a connection refuses, counts, logs and tells its observer, and what it does when the
// policies change under it.
import { expect, test } from "bun:test"
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf"
import { ACTION_ALLOW, ACTION_AUDIT, ACTION_DENY } from "../../protos/authorization/mod.ts"
import { policyV1 } from "../../protos/mod.ts"
import type { Client } from "../accept/mod.ts"
import { REFUSAL_DENIED, type RequestView } from "../http/mod.ts"
import { createLogger } from "../log.ts"
import { TimerWheel } from "../net/mod.ts"
import { RefusalRing } from "../refusal_ring.ts"
import { Registry, Scalar } from "../telemetry/mod.ts"
import { DECISION_LINES_PER_SECOND_MAX } from "./decision_log.ts"
import { InboundPolicy } from "./inbound_policy.ts"
import { PolicyWatch } from "./policy_watch.ts"

type Policy = MessageInitShape<typeof policyV1.PolicySchema>

const WEB: Client = {
  address: "10.0.0.1",
  spiffeId: "spiffe://cluster.local/ns/shop/sa/web",
  dnsName: "web.shop.id",
  tls: "true",
}
const NOBODY: Client = { address: "10.0.0.2", spiffeId: "", dnsName: "", tls: "no_identity" }

function policy(name: string, action: policyV1.Action, ...rules: Policy["rules"] & object): Policy {
  return { namespace: "shop", name, action, allPorts: true, rules }
}
const to = (...paths: string[]) => ({ to: [{ paths }] })

function request(path: string, change: Partial<RequestView> = {}): RequestView {
  return {
    method: "GET",
    authority: "cart",
    path,
    isGrpc: false,
    upgrade: "",
    header: () => undefined,
    values: () => undefined,
    ...change,
  }
}

function fixture(...policies: Policy[]) {
  const clock = { nowMs: 0 }
  const lines: string[] = []
  const log = createLogger({ level: "debug", sink: line => lines.push(line) })
  const watch = new PolicyWatch({
    openLink: () => {
      throw new Error("no service is configured")
    },
    address: "",
    timers: new TimerWheel(clock),
    log,
    namespace: "shop",
    pod: "cart-1",
    defaultPolicy: "all-unauthenticated",
    trustDomain: "cluster.local",
  })
  const registry = new Registry()
  const refusals = new RefusalRing()
  const inbound = new InboundPolicy({ watch, registry, clock, log, refusals })
  const hold = (...held: Policy[]) =>
    watch.onMessage(
      toBinary(
        policyV1.WatchResponseSchema,
        create(policyV1.WatchResponseSchema, {
          version: String(clock.nowMs++),
          policy: { policies: held, trustDomain: "cluster.local" },
        }),
      ),
    )
  hold(...policies)
  return {
    inbound,
    refusals,
    clock,
    hold,
    lines,
    guard: (client = WEB) => inbound.guard(client, "10.0.0.9", 8080),
    count(name: string, labels: Readonly<Record<string, string>> = {}): number {
      let sum = 0
      for (const series of registry.all()) {
        if (!(series instanceof Scalar) || series.metric.name !== name) continue
        const own = Object.fromEntries(series.labels)
        if (Object.entries(labels).every(([label, value]) => own[label] === value)) sum += series.value
      }
      return sum
    },
  }
}

test("each request is decided on and counted, by policy and client", () => {
  const { guard, count } = fixture(policy("public", ACTION_ALLOW, to("/public/*")))
  const web = guard()
  expect(web.refuse(request("/public/a"))).toBeNull()
  expect(web.refuse(request("/public/b"))).toBeNull()
  expect(web.refuse(request("/secret"))).toBe(REFUSAL_DENIED)
  expect(web.refuse(request("/public/c"))).toBeNull()
  expect(guard(NOBODY).refuse(request("/secret"))).toBe(REFUSAL_DENIED)
  const target = { target_addr: "10.0.0.9:8080", target_port: "8080" }
  const allowed = { authz_name: "public", authz_namespace: "shop", client_id: "web.shop.id", tls: "true" }
  expect(count("inbound_http_authz_allow_total", { ...target, ...allowed })).toBe(3)
  expect(count("inbound_http_authz_deny_total", { authz_name: "not-allowed", tls: "true" })).toBe(1)
  expect(count("inbound_http_authz_deny_total", { tls: "no_identity" })).toBe(1)
})

test("why a request was refused is for the log in full, and bounded there", () => {
  const { guard, clock } = fixture(policy("admin", ACTION_DENY, to("/admin")))
  const web = guard()
  expect(web.refusedFields()).toBeNull()
  web.refuse(request("/admin"))
  expect(web.refusedFields()).toMatchObject({
    policy: "shop/admin",
    rule: 0,
    client: "10.0.0.1",
    client_id: WEB.spiffeId,
    port: 8080,
  })
  clock.nowMs += 1_000
  const told = Array.from({ length: 2 * DECISION_LINES_PER_SECOND_MAX }, () => web.refusedFields())
  expect(told.filter(fields => fields !== null)).toHaveLength(DECISION_LINES_PER_SECOND_MAX)
  clock.nowMs += 1_000
  expect(web.refusedFields()).toMatchObject({ unlogged: DECISION_LINES_PER_SECOND_MAX })
})

test("the observer is told of every request and connection: who, by what, which path as sent, what was decided", () => {
  const { inbound, guard } = fixture(policy("admin", ACTION_DENY, to("/admin")))
  const seen: unknown[] = []
  inbound.observer = {
    decided: (client, port, protocol, method, path, verdict) =>
      seen.push([client, port, protocol, method, path, verdict.allowed, verdict.name]),
  }
  const web = guard()
  web.httpVersion = 1
  web.refuse(request("/a/../%61dmin?x=1", { method: "POST" }))
  web.refuse(request("/x%2fadmin"))
  web.httpVersion = 2
  web.refuse(request("/b"))
  web.refuse(request("/shop.v1.Votes/Vote", { method: "POST", isGrpc: true }))
  guard(NOBODY).relay("tls", "")
  // Asking whether something may go on is no request.
  web.stillAllows(request("/b"))
  web.stillRelays()
  expect(seen).toEqual([
    [WEB, 8080, "http1", "POST", "/a/../%61dmin?x=1", false, "admin"],
    [WEB, 8080, "http1", "GET", "/x%2fadmin", false, ""],
    [WEB, 8080, "http2", "GET", "/b", true, "all-unauthenticated"],
    [WEB, 8080, "grpc", "POST", "/shop.v1.Votes/Vote", true, "all-unauthenticated"],
    [NOBODY, 8080, "tls", "", "", false, "admin"],
  ])
})

test("an audit is counted and logged beside what was decided", () => {
  const { guard, count, lines } = fixture(
    policy("look", ACTION_AUDIT, to("/a")),
    policy("none", ACTION_DENY, to("/a")),
  )
  guard().refuse(request("/a"))
  guard().refuse(request("/b"))
  expect(count("inbound_http_authz_audit_total", { authz_name: "look" })).toBe(1)
  expect(count("inbound_http_authz_deny_total", { authz_name: "none" })).toBe(1)
  expect(lines.filter(line => line.includes("matched by an audit, and refused"))).toHaveLength(1)
})

test("a changed policy holds for the next request, and for what runs", () => {
  const { guard, hold, count, lines } = fixture()
  const web = guard()
  expect(web.refuse(request("/a"))).toBeNull()
  expect(web.stillAllows(request("/a"))).toBe(true)
  hold(policy("a", ACTION_DENY, to("/a")))
  expect(web.stillAllows(request("/a"))).toBe(false)
  expect(web.stillAllows(request("/b"))).toBe(true)
  expect(web.refuse(request("/a"))).toBe(REFUSAL_DENIED)
  expect(count("inbound_http_authz_deny_total", { authz_name: "a" })).toBe(2)
  expect(lines.join("")).toContain("a request that runs is ended: policy has changed")
  hold()
  expect(web.refuse(request("/a"))).toBeNull()
})

test("connections into which nobody looks are counted as such, and end under a policy that denies them", () => {
  const { guard, hold, count, lines } = fixture()
  const web = guard()
  expect(web.mayRelay).toBe(true)
  expect(count("inbound_tcp_authz_allow_total")).toBe(0)
  expect(web.relay("tcp", "")).toBe(true)
  expect(web.stillRelays()).toBe(true)
  expect(count("inbound_tcp_authz_allow_total")).toBe(1)
  hold(policy("web", ACTION_DENY, {}))
  expect(web.stillRelays()).toBe(false)
  expect(web.mayRelay).toBe(false)
  expect(web.relay("tcp", "")).toBe(false)
  expect(count("inbound_tcp_authz_deny_total", { authz_name: "web" })).toBe(2)
  expect(lines.join("")).toContain("a connection that runs is ended: policy has changed")
})

test("a connection that is refused is kept under the id that its log line bears", () => {
  const { guard, refusals, lines } = fixture(policy("web", ACTION_DENY, {}))
  expect(guard().relay("tcp", "")).toBe(false)
  const id =
    /\bid=(\S+)/.exec(lines.find(line => line.includes("a connection is refused")) ?? "")?.[1] ?? "none"
  expect(refusals.find(id)).toMatchObject([
    {
      reason: "denied",
      status: 0,
      clientIp: "10.0.0.1",
      clientId: WEB.dnsName,
      destination: "10.0.0.9:8080",
      verdict: { namespace: "shop", name: "web", rule: 0 },
    },
  ])
})

test("where rules are about requests, no upgrade hides them but a WebSocket's", () => {
  const { guard, hold } = fixture(policy("admin", ACTION_DENY, to("/admin")))
  const web = guard()
  expect(web.refuse(request("/a", { upgrade: "h2c" }))).toBe(REFUSAL_DENIED)
  expect(web.refusedFields()).toMatchObject({ cause: "hidden-requests" })
  expect(web.refuse(request("/a", { upgrade: "websocket" }))).toBeNull()
  hold()
  expect(web.refuse(request("/a", { upgrade: "h2c" }))).toBeNull()
})
