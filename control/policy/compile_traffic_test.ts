// Rate limits and egress policies, from objects as people write them to what proxies get, and what is wrong with those that
// are well-formed.
import { expect, test } from "bun:test"
import { ClusterStore, readManifestFile } from "../cluster/mod.ts"
import type { StatusObject } from "../conditions/mod.ts"
import { POLICY_DEFAULTS } from "./compile.ts"
import { compileTraffic } from "./compile_traffic.ts"
import { policyConditions } from "./conditions.ts"
import { allPolicyProblems } from "./problems.ts"

const CLUSTER = `
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, namespace: shop }
spec: { template: {} }
---
apiVersion: v1
kind: Pod
metadata:
  name: web-1
  namespace: shop
  ownerReferences: [{ kind: Deployment, name: web, controller: true }]
spec: { containers: [{ name: app, ports: [{ name: http, containerPort: 8080 }] }] }
status: { podIP: 10.0.0.1 }
`

function policy(kind: string, name: string, spec: string): string {
  return `---\napiVersion: policy.conduit.io/v1alpha1\nkind: ${kind}\nmetadata: { name: ${name}, namespace: shop }\nspec: ${spec}\n`
}

function cluster(...policies: string[]): ClusterStore {
  const { objects, problems } = readManifestFile("m.yaml", CLUSTER + policies.join(""))
  expect(problems).toEqual([])
  const store = new ClusterStore()
  store.apply([...objects.values()].map(put => ({ put })))
  return store
}

function compiled(store: ClusterStore) {
  const pod = store.pod("shop", "web-1")
  if (pod === undefined) throw new Error("no pod")
  return compileTraffic(store, pod)
}

test("what targets the pod reaches it, ports by number, in the order of names", () => {
  const limit = "limits: [{ requests: 5, per: 1m }]"
  const store = cluster(
    policy("RateLimitPolicy", "b", `{ target: { kind: Namespace }, ${limit} }`),
    policy(
      "RateLimitPolicy",
      "a",
      `{ target: { kind: Deployment, name: web, ports: [http, 81] }, ${limit} }`,
    ),
    policy("RateLimitPolicy", "c", `{ target: { kind: Deployment, name: api }, ${limit} }`),
    policy("RateLimitPolicy", "d", `{ target: { kind: Deployment, name: web, ports: [grpc] }, ${limit} }`),
    policy("EgressPolicy", "out", "{ target: { kind: Namespace }, action: Deny, rules: [{ hosts: [A.b] }] }"),
  )
  const { rateLimits, egress } = compiled(store)
  expect(rateLimits.map(({ name, ports, allPorts }) => ({ name, ports, allPorts }))).toEqual([
    { name: "a", ports: [81, 8080], allPorts: false },
    { name: "b", ports: [], allPorts: true },
  ])
  expect(rateLimits[0]?.limits[0]).toMatchObject({
    name: "limit-0",
    requests: 5,
    periodS: 60,
    burst: 5,
    by: 1,
  })
  expect(egress).toMatchObject([{ name: "out", action: 2, rules: [{ hosts: ["a.b"] }] }])
})

test("a policy that goes, goes, and its namespace is told of", () => {
  const store = cluster(
    policy("EgressPolicy", "out", "{ target: { kind: Namespace }, action: Deny, rules: [{ ports: [1] }] }"),
  )
  const soiled: string[] = []
  store.subscribe(({ policies }) => soiled.push(...policies))
  store.apply([{ remove: "egresspolicy/shop/out" }])
  expect(soiled).toEqual(["shop"])
  expect(compiled(store).egress).toEqual([])
})

test("targets and ports that are not there are problems, by kind", () => {
  const store = cluster(
    policy("RateLimitPolicy", "a", "{ target: { kind: Deployment, name: wep }, limits: [{ requests: 5 }] }"),
    policy(
      "RateLimitPolicy",
      "b",
      "{ target: { kind: Deployment, name: web, ports: [htp] }, limits: [{ requests: 5 }] }",
    ),
    policy(
      "EgressPolicy",
      "c",
      "{ target: { kind: Deployment, name: wob }, action: Deny, rules: [{ ports: [1] }] }",
    ),
  )
  expect(
    allPolicyProblems(store).map(({ kind, name, reason, message }) => `${kind} ${name} ${reason} ${message}`),
  ).toEqual([
    'RateLimitPolicy a TargetNotFound there is no Deployment "wep" in namespace "shop" (did you mean "web"?), so the policy holds nowhere',
    'RateLimitPolicy b PortNotFound is "htp", but Deployment "web" declares http (8080) (did you mean "http"?)',
    'EgressPolicy c TargetNotFound there is no Deployment "wob" in namespace "shop" (did you mean "web"?), so the policy holds nowhere',
  ])
})

test("every kind gets its condition, with what makes an object unreadable too", () => {
  const store = cluster()
  const object = (kind: string, spec: object): StatusObject => ({
    apiVersion: "policy.conduit.io/v1alpha1",
    kind,
    metadata: { name: "p", namespace: "shop", resourceVersion: "1", generation: 1 },
    ...{ spec },
  })
  const said = policyConditions(store, POLICY_DEFAULTS).map(({ resource, lists }) => {
    const [list] = lists([object(resource.kind, { target: { kind: "Namespace" } })], "2026-01-01T00:00:00Z")
    const [condition] = (list ?? []) as { reason: string; message: string }[]
    return [resource.kind, condition?.reason, condition?.message.split(";")[0]]
  })
  expect(said).toEqual([
    ["AuthorizationPolicy", "Invalid", "spec.action is missing"],
    ["EgressPolicy", "Invalid", "spec.action is missing"],
    ["RateLimitPolicy", "Invalid", "spec.limits is missing"],
  ])
})
