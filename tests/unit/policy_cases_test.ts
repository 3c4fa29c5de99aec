// The table of policy cases as pure decisions: objects are read, compiled and decided by, without a proxy.
import { expect, test } from "bun:test"
import { ClusterStore, readManifestFile } from "../../control/cluster/mod.ts"
import { ClientPods, compilePod } from "../../control/policy/mod.ts"
import { PolicySet } from "../../protos/authorization/mod.ts"
import { POLICY_CASES, PORT_OF, type PolicyCase } from "../policy/cases.ts"
import { worldOf } from "../policy/world.ts"

const ADDRESSES = { web4: "10.1.0.1", web6: "fd00::1", other4: "10.1.0.2" }

test("the table has at least 60 cases, each with a name of its own", () => {
  expect(POLICY_CASES.length).toBeGreaterThanOrEqual(60)
  expect(new Set(POLICY_CASES.map(({ name }) => name)).size).toBe(POLICY_CASES.length)
})

function decide(one: PolicyCase) {
  const store = new ClusterStore()
  const { objects, problems } = readManifestFile("world.yaml", worldOf(one, ADDRESSES, 0))
  expect(problems).toEqual([])
  store.apply([...objects.values()].map(put => ({ put })))
  const pod = store.pod("lab", "api")
  if (pod === undefined) throw new Error("the world has no target")
  const set = new PolicySet(compilePod(store, pod, new ClientPods(store)))
  const { web4, web6, other4 } = ADDRESSES
  const spiffeId =
    one.proven === undefined
      ? ""
      : `spiffe://${one.proven === "own" ? "cluster.local" : "elsewhere"}/ns/lab/sa/web`
  const address = one.client === "other" ? other4 : one.family === 6 ? web6 : web4
  const connection = set.connection({ address, spiffeId }, PORT_OF[one.via])
  if (one.via === "tcp") return connection.raw
  // The codec gives the path of an absolute target.
  return connection.request(one.method ?? "GET", (one.path ?? "/").replace("http://api", ""))
}

for (const one of POLICY_CASES.filter(({ expected }) => expected !== "malformed")) {
  test(one.name, () => {
    const verdict = decide(one)
    const { allowed, cause, name, audit } = verdict
    expect({ allowed, audited: audit !== null }).toEqual({
      allowed: one.expected === "allowed",
      audited: one.audited ?? false,
    })
    if (one.by !== undefined) expect([cause, name] as string[]).toContain(one.by)
  })
}
