// What egress policies decide, on paper.
import { describe, expect, test } from "bun:test"
import {
  EGRESS_ALLOW,
  EGRESS_AUDIT,
  EGRESS_DENY,
  type EgressRuleConfig,
  EgressRules,
  hostOf,
} from "./egress_rules.ts"

function policy(action: number, ...rules: Partial<EgressRuleConfig>[]) {
  const filled = rules.map(rule => ({ hosts: [], networks: [], ports: [], ...rule }))
  return { namespace: "shop", name: `p${action}`, action, rules: filled }
}

const IP = "192.0.2.7"

describe("a host", () => {
  const rules = new EgressRules([policy(EGRESS_ALLOW, { hosts: ["api.example.com", "*.example.org"] })])
  test.each([
    ["api.example.com", true],
    ["API.Example.com.", true],
    ["www.api.example.com", false],
    ["a.example.org", true],
    ["a.b.example.org", true],
    ["example.org", false],
    ["badexample.org", false],
    ["", false],
    [IP, false],
    ["[2001:db8::1]", false],
  ])("%p is allowed: %p", (host, allowed) => {
    expect(rules.decide(host, IP, 443).allowed).toBe(allowed)
  })
})

test("a star takes every name, and no address", () => {
  const rules = new EgressRules([policy(EGRESS_DENY, { hosts: ["*"] })])
  expect(rules.decide("a.example", IP, 443).allowed).toBe(false)
  expect(rules.decide(IP, IP, 443).allowed).toBe(true)
  expect(rules.decide("", IP, 443).allowed).toBe(true)
})

test("host, network and port of a rule must all hold, and any rule will do", () => {
  const rules = new EgressRules([
    policy(EGRESS_ALLOW, { hosts: ["a.example"], networks: ["192.0.2.0/24"], ports: [443] }, { ports: [25] }),
  ])
  expect(rules.decide("a.example", IP, 443).allowed).toBe(true)
  expect(rules.decide("a.example", "198.51.100.1", 443).allowed).toBe(false)
  expect(rules.decide("a.example", IP, 80).allowed).toBe(false)
  expect(rules.decide("", "2001:db8::1", 25).allowed).toBe(true)
})

test("without an Allow everything else passes; Deny beats Allow, and names its rule", () => {
  expect(new EgressRules([]).decide("a.example", IP, 1).allowed).toBe(true)
  const deny = policy(EGRESS_DENY, { ports: [1] }, { networks: ["192.0.2.0/24"] })
  expect(new EgressRules([deny]).decide("a.example", "198.51.100.1", 2).allowed).toBe(true)
  const both = new EgressRules([policy(EGRESS_ALLOW, { hosts: ["*"] }), deny])
  expect(both.decide("a.example", IP, 2)).toMatchObject({
    ...{ allowed: false, cause: "policy", namespace: "shop", name: "p2", rule: 1 },
  })
  expect(both.decide("", "198.51.100.1", 2)).toMatchObject({ allowed: false, cause: "not-allowed" })
})

test("an audit counts beside what is decided, and decides nothing", () => {
  const audit = policy(EGRESS_AUDIT, { hosts: ["*.example"] })
  expect(new EgressRules([audit]).decide("a.example", IP, 1)).toMatchObject({
    allowed: true,
    audit: { namespace: "shop", name: "p3", rule: 0 },
  })
  expect(
    new EgressRules([audit, policy(EGRESS_DENY, { ports: [1] })]).decide("a.example", IP, 1),
  ).toMatchObject({
    allowed: false,
    audit: { name: "p3" },
  })
})

test("an action of a newer version allows nothing", () => {
  const rules = new EgressRules([policy(7, { hosts: ["*"] })])
  expect(rules.any).toBe(true)
  expect(rules.decide("a.example", IP, 1).allowed).toBe(false)
})

test.each([
  ["a.example", "a.example"],
  ["a.example:8080", "a.example"],
  ["192.0.2.1:80", "192.0.2.1"],
  ["[2001:db8::1]:80", "[2001:db8::1]"],
  ["[2001:db8::1]", "[2001:db8::1]"],
  ["", ""],
])("the host of %p is %p", (authority, host) => {
  expect(hostOf(authority)).toBe(host)
})
