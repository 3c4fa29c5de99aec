// What is written into the status of policies.
import { expect, test } from "bun:test"
import { ClusterStore, readObject } from "../cluster/mod.ts"
import type { StatusObject } from "../conditions/mod.ts"
import { POLICY_DEFAULTS } from "./compile.ts"
import { acceptedOf, policyConditions } from "./conditions.ts"

const GOOD = {
  target: { kind: "Deployment", name: "web" },
  action: "Allow",
  rules: [{ from: [{ namespaces: ["shop"] }] }],
}

function policy(name: string, spec: object, status: StatusObject["status"] = {}): StatusObject {
  return {
    apiVersion: "policy.conduit.io/v1alpha1",
    kind: "AuthorizationPolicy",
    metadata: { name, namespace: "shop", resourceVersion: "1", generation: 3 },
    ...{ spec, status },
  }
}

function listsOf(...objects: StatusObject[]) {
  const store = new ClusterStore()
  const put = (kind: string, name: string, apiVersion: string, rest: object): void => {
    const { object } = readObject({ apiVersion, kind, metadata: { name, namespace: "shop" }, ...rest })
    if (object === null) throw new Error(`${kind} is not kept`)
    store.apply([{ put: object }])
  }
  put("Namespace", "shop", "v1", {})
  put("Deployment", "web", "apps/v1", { spec: { template: {} } })
  const [kind] = policyConditions(store, POLICY_DEFAULTS)
  return kind?.lists(objects, "2026-01-01T00:00:00Z") as { reason: string; message: string; type: string }[][]
}

test("every fault is named behind its field, and a good policy has none", () => {
  expect(acceptedOf([], [])).toEqual({ status: "True", reason: "Accepted", message: "" })
  expect(
    acceptedOf(
      [
        { path: ["spec", "rules", 0, "from", 0, "networks", 0], message: "cannot be used: no network" },
        { path: ["spec", "action"], message: "is missing" },
      ],
      [],
    ),
  ).toEqual({
    status: "False",
    reason: "Invalid",
    message:
      "spec.rules[0].from[0].networks[0] cannot be used: no network; spec.action is missing; this version is not in force; the last good one stays, if there was one",
  })
  const problem = { reason: "PortNotFound", field: "spec.target.ports[0]", message: "no such port" } as const
  expect(acceptedOf([], [problem, problem])).toEqual({
    status: "False",
    reason: "PortNotFound",
    message: "spec.target.ports[0]: no such port; spec.target.ports[0]: no such port",
  })
})

test("one that is unreadable, one that names what is not there and a good one each get their own", () => {
  const told = listsOf(
    policy("unread", { ...GOOD, rules: [{ from: [{ networks: ["10.0.0.0/99"] }] }] }),
    policy("nowhere", { ...GOOD, target: { kind: "Deployment", name: "wbe" } }),
    policy("good", GOOD),
  ).map(([condition]) => condition)
  expect(told.map(condition => condition?.reason)).toEqual(["Invalid", "TargetNotFound", "Accepted"])
  expect(told[0]?.message).toStartWith("spec.rules[0].from[0].networks[0] ")
  expect(told[1]?.message).toContain('(did you mean "web"?)')
  expect(told[2]).toMatchObject({ type: "Accepted", observedGeneration: 3, status: "True" })
})

test("conditions of another type are others', and stay", () => {
  const theirs = { type: "Audited", status: "True", extra: [1] }
  const [list = []] = listsOf(policy("good", GOOD, { conditions: [theirs] }))
  expect(list).toMatchObject([theirs, { type: "Accepted" }])
  expect(listsOf(policy("good", GOOD, { conditions: list }))).toEqual([list])
})
