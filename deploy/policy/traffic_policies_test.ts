// RateLimitPolicy and EgressPolicy as people write them, and the sentence for each way to get one wrong.
import { expect, test } from "bun:test"
import { parse } from "yaml"
import { readEgressPolicy } from "./egress_policy.ts"
import { readAnyPolicy } from "./policy_kinds.ts"
import { dottedField } from "./policy_reader.ts"
import { readRateLimitPolicy } from "./rate_limit_policy.ts"

function object(kind: string, spec: string): unknown {
  const head = `apiVersion: policy.conduit.io/v1alpha1\nkind: ${kind}\nmetadata: { name: p, namespace: shop }\n`
  return parse(`${head}spec: ${spec}`)
}

function complaints(kind: string, spec: string): string {
  const { complaints: all = [] } = readAnyPolicy(object(kind, spec)) ?? {}
  return all.map(({ path, message }) => `${dottedField(path)} ${message}`).join("\n")
}

const WEB = "target: { kind: Deployment, name: web }"

test("limits are read with their defaults", () => {
  const spec = `{ target: { kind: Deployment, name: web, ports: [http] }, limits: [
    { requests: 100 },
    { name: by-key, requests: 10, per: 1m, burst: 20, by: Header, header: X-Api-Key },
    { requests: 5, per: 2h, by: Identity }] }`
  const { policy, complaints: none } = readRateLimitPolicy(object("RateLimitPolicy", spec))
  expect(none).toEqual([])
  expect(policy).toEqual({
    namespace: "shop",
    name: "p",
    target: { kind: "Deployment", name: "web", ports: ["http"] },
    limits: [
      { name: "limit-0", requests: 100, periodS: 1, burst: 100, by: "Total", header: "" },
      { name: "by-key", requests: 10, periodS: 60, burst: 20, by: "Header", header: "x-api-key" },
      { name: "limit-2", requests: 5, periodS: 7200, burst: 5, by: "Identity", header: "" },
    ],
  })
})

test("egress rules are read: names in lower case, networks, ports", () => {
  const spec = `{ target: { kind: Namespace }, action: Allow, rules: [
    { hosts: [API.example.com., "*.internal", "*"], ports: [443] }, { networks: [192.0.2.0/24] }] }`
  const { policy, complaints: none } = readEgressPolicy(object("EgressPolicy", spec))
  expect(none).toEqual([])
  expect(policy?.target).toEqual({ kind: "Namespace", name: "shop", ports: null })
  expect(policy?.rules).toEqual([
    { hosts: ["api.example.com", "*.internal", "*"], networks: [], ports: [443] },
    { hosts: [], networks: ["192.0.2.0/24"], ports: [] },
  ])
})

const CASES: readonly (readonly [kind: string, spec: string, complaint: string])[] = [
  ["RateLimitPolicy", `{ ${WEB} }`, "spec.limits is missing; a policy needs at least one limit"],
  ["RateLimitPolicy", `{ ${WEB}, limits: [{}] }`, "spec.limits[0].requests is missing"],
  [
    "RateLimitPolicy",
    `{ ${WEB}, limits: [{ request: 1 }] }`,
    'request is not a field (did you mean "requests"?)',
  ],
  ["RateLimitPolicy", `{ ${WEB}, limits: [{ requests: 0 }] }`, "requests must be a whole number from 1 to"],
  ["RateLimitPolicy", `{ ${WEB}, limits: [{ requests: "5" }] }`, "leave out the quotes"],
  [
    "RateLimitPolicy",
    `{ ${WEB}, limits: [{ requests: 5, per: 100ms }] }`,
    "per must be a period from 1s to 24h",
  ],
  [
    "RateLimitPolicy",
    `{ ${WEB}, limits: [{ requests: 5, per: 25h }] }`,
    "per must be a period from 1s to 24h",
  ],
  [
    "RateLimitPolicy",
    `{ ${WEB}, limits: [{ requests: 5, by: User }] }`,
    "it must be one of Total, Identity, Header",
  ],
  [
    "RateLimitPolicy",
    `{ ${WEB}, limits: [{ requests: 5, by: Header }] }`,
    "header must be the name of a header field",
  ],
  [
    "RateLimitPolicy",
    `{ ${WEB}, limits: [{ requests: 5, header: x }] }`,
    "counts for nothing beside by: Total",
  ],
  [
    "RateLimitPolicy",
    `{ ${WEB}, limits: [{ name: A, requests: 5 }] }`,
    "name must be at most 63 lower-case letters",
  ],
  [
    "RateLimitPolicy",
    `{ ${WEB}, limits: [{ name: a, requests: 5 }, { name: a, requests: 6 }] }`,
    'limits[1].name is "a", as that of an earlier limit',
  ],
  ["EgressPolicy", `{ ${WEB}, rules: [{ ports: [1] }] }`, "spec.action is missing"],
  ["EgressPolicy", `{ ${WEB}, action: Deny, rules: [] }`, "spec.rules is empty"],
  ["EgressPolicy", `{ ${WEB}, action: Deny, rules: [{}] }`, "is empty; it needs hosts, networks or ports"],
  ["EgressPolicy", `{ ${WEB}, action: Deny, rules: [{ host: [a] }] }`, 'did you mean "hosts"?'],
  ["EgressPolicy", `{ ${WEB}, action: Deny, rules: [{ hosts: ["a*.b"] }] }`, "hosts[0] must be a host name"],
  [
    "EgressPolicy",
    `{ ${WEB}, action: Deny, rules: [{ hosts: ["https://a"] }] }`,
    "hosts[0] must be a host name",
  ],
  ["EgressPolicy", `{ ${WEB}, action: Deny, rules: [{ hosts: ["fd00::1"] }] }`, "addresses go into networks"],
  ["EgressPolicy", `{ ${WEB}, action: Deny, rules: [{ networks: [10.0.0.1] }] }`, "write 10.0.0.1/32"],
  [
    "EgressPolicy",
    `{ ${WEB}, action: Deny, rules: [{ ports: [0] }] }`,
    "ports[0] must be a whole number from 1 to 65535",
  ],
  [
    "EgressPolicy",
    "{ target: { kind: Pod, name: a, ports: [1] }, action: Deny, rules: [{ ports: [1] }] }",
    "target.ports counts for nothing here",
  ],
]

test.each([...CASES])("%s %s: %s", (kind, spec, complaint) => {
  expect(complaints(kind, spec)).toContain(complaint)
})

test("an object of another project's is nobody's business, and one of ours with a slip is", () => {
  const other = { apiVersion: "kuadrant.io/v1", kind: "RateLimitPolicy", metadata: { name: "a" }, spec: {} }
  expect(readAnyPolicy(other)).toEqual({ policy: null, complaints: [] })
  const slip = { apiVersion: "policy.conduit.io/v1", kind: "EgressPolicy", metadata: { name: "a" }, spec: {} }
  expect(readAnyPolicy(slip)?.complaints[0]?.message).toBe(
    'must be policy.conduit.io/v1alpha1, not "policy.conduit.io/v1"',
  )
  expect(readAnyPolicy({ kind: "ConfigMap" })).toBeNull()
})
