// The rights that an installation grants are those that the control plane uses: no kind is read without one, none is
// granted in vain.
import { expect, test } from "bun:test"
import {
  CONDITION_RULES,
  fill,
  READER_RULES,
  REVIEWER_RULES,
  ROUTE_CONDITION_RULES,
} from "../../deploy/install/mod.ts"
import { RESOURCES } from "./resources.ts"

interface Rule {
  readonly apiGroups: readonly string[]
  readonly resources: readonly string[]
  readonly verbs: readonly string[]
}

test("the identity service may ask whose tokens are, and nothing else", () => {
  const rules = REVIEWER_RULES.map(rule => fill(rule, { namespace: "conduit", version: "1", values: {} }))
  expect(rules).toEqual([
    { apiGroups: ["authentication.k8s.io"], resources: ["tokenreviews"], verbs: ["create"] },
  ])
})

test("the policy service may write the status of policies, and nothing else", () => {
  const rules = CONDITION_RULES.map(rule => fill(rule, { namespace: "conduit", version: "1", values: {} }))
  expect(rules).toEqual([
    {
      apiGroups: ["policy.conduit.io"],
      resources: ["authorizationpolicies/status", "egresspolicies/status", "ratelimitpolicies/status"],
      verbs: ["patch"],
    },
  ])
})

test("the destination service may write the status of every kind of route that is watched, and nothing else", () => {
  const rules = ROUTE_CONDITION_RULES.map(
    rule => fill(rule, { namespace: "conduit", version: "1", values: {} }) as Rule,
  )
  const routes = RESOURCES.filter(({ kind }) => kind.endsWith("Route"))
  expect(rules).toEqual([
    {
      apiGroups: ["gateway.networking.k8s.io"],
      resources: routes.map(({ plural }) => `${plural}/status`),
      verbs: ["patch"],
    },
  ])
})

test("every kind that is watched may be listed and watched, and nothing else may", () => {
  const rules = READER_RULES.map(
    rule => fill(rule, { namespace: "conduit", version: "1", values: {} }) as Rule,
  )
  const granted = rules.flatMap(({ apiGroups, resources, verbs }) => {
    expect(verbs).toEqual(["list", "watch"])
    return apiGroups.flatMap(group => resources.map(resource => `${group}/${resource}`))
  })
  const used = RESOURCES.map(({ apiVersion, plural }) => {
    const group = apiVersion.includes("/") ? apiVersion.split("/")[0] : ""
    return `${group}/${plural}`
  })
  expect(granted.sort()).toEqual(used.sort())
})
