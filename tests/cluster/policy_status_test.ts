// Policies on a real API server: what it refuses itself, and what the policy service, with its own rights and twice at
// once, writes into their status; what is wrong leaves the last good policy in force.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createGrpcTransport } from "@connectrpc/connect-node"
import type { RunningControlPlane } from "../../control/run.ts"
import { installYaml, readValues } from "../../deploy/install/mod.ts"
import { createPolicyClient } from "../../protos/mod.ts"
import { Cluster } from "./mod.ts"
import { accountKubeconfig, runService } from "./run_service.ts"

let cluster: Cluster
let folder = ""
const running: RunningControlPlane[] = []
const lines: string[] = []

const GOOD = {
  target: { kind: "Deployment", name: "api", ports: ["http"] },
  action: "Allow",
  rules: [{ from: [{ deployments: ["shop/web"] }], to: [{ methods: ["GET"], paths: ["/books/*"] }] }],
}

beforeAll(async () => {
  cluster = await Cluster.up({ parts: "api" })
  folder = mkdtempSync(join(tmpdir(), "conduit-policy-status-"))
  const filling = { namespace: "conduit", version: "1.0.0", values: readValues([]) }
  await apply(installYaml(filling))
  await apply(JSON.stringify({ apiVersion: "v1", kind: "List", items: workloads() }))
  const kubeconfig = await accountKubeconfig(cluster, "conduit-policy", folder)
  for (let replica = 0; replica < 2; replica++) running.push(await runService("policy", kubeconfig, lines))
}, 30 * 60_000)

afterAll(async () => {
  for (const one of running) one.stop()
  await cluster?.[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
})

function workloads(): object[] {
  const object = (apiVersion: string, kind: string, name: string, rest: object) => ({
    apiVersion,
    kind,
    metadata: { name, ...(kind === "Namespace" ? {} : { namespace: "shop" }) },
    ...rest,
  })
  return [
    object("v1", "Namespace", "shop", {}),
    ...["web", "api"].map(app => {
      const labels = { app }
      const ports = [{ name: "http", containerPort: 8080 }]
      const spec = { containers: [{ name: "app", image: "app:1", ports }] }
      const template = { metadata: { labels }, spec }
      return object("apps/v1", "Deployment", app, { spec: { selector: { matchLabels: labels }, template } })
    }),
  ]
}

async function apply(input: string): Promise<void> {
  await cluster.kubectl(["apply", "--server-side", "-f", "-"], { input })
}

function policy(spec: object, name = "p", kind = "AuthorizationPolicy"): string {
  return JSON.stringify({
    apiVersion: "policy.conduit.io/v1alpha1",
    kind,
    metadata: { name, namespace: "shop" },
    spec,
  })
}

interface Told {
  metadata: { generation: number; resourceVersion: string; managedFields: { manager: string }[] }
  spec: object
  status?: {
    conditions?: {
      type: string
      status: string
      reason: string
      message: string
      observedGeneration: number
    }[]
  }
}

async function get(name = "p", kind = "authorizationpolicy"): Promise<Told> {
  const args = ["get", kind, name, "-n", "shop", "--show-managed-fields", "--output=json"]
  return JSON.parse(await cluster.kubectl(args)) as Told
}

/** The condition of the generation that is there now. */
async function condition(name = "p", kind = "authorizationpolicy") {
  const end = performance.now() + 15_000
  for (;;) {
    const { metadata, status } = await get(name, kind)
    const found = status?.conditions?.find(({ type }) => type === "Accepted")
    if (found?.observedGeneration === metadata.generation) return found
    if (performance.now() > end) throw new Error(`no condition came; the log: ${lines.join("")}`)
    await Bun.sleep(100)
  }
}

/** What a proxy of a pod of `api` is told now. */
async function inForce(): Promise<string> {
  const args = ["get", "pods", "-n", "shop", "--selector=app=api", "--output=name"]
  const end = performance.now() + 15_000
  let pod = ""
  // The Deployment's pod is made a moment after it.
  while (pod === "" && performance.now() < end) pod = (await cluster.kubectl(args)).trim().replace("pod/", "")
  const port = running[0]?.ports.get("policy")
  const client = createPolicyClient(createGrpcTransport({ baseUrl: `http://127.0.0.1:${port}` }))
  const done = new AbortController()
  const ask = async function* () {
    yield { namespace: "shop", pod, version: "" }
    await new Promise(resolve => done.signal.addEventListener("abort", resolve))
  }
  try {
    for await (const answer of client.watch(ask(), { signal: done.signal })) {
      done.abort()
      return JSON.stringify(answer, (_key, one) => (typeof one === "bigint" ? String(one) : one))
    }
  } finally {
    done.abort()
  }
  return ""
}

test("a good policy is accepted, for the generation that it is", async () => {
  await apply(policy(GOOD))
  const { status, reason, message } = await condition()
  expect({ status, reason, message }).toEqual({ status: "True", reason: "Accepted", message: "" })
  expect(await inForce()).toContain("/books/")
}, 60_000)

test.each([
  [
    "an unknown field",
    { ...GOOD, rules: [{ form: [{ namespaces: ["shop"] }], to: GOOD.rules[0]?.to }] },
    "form",
  ],
  ["no rules", { ...GOOD, rules: [] }, "spec.rules"],
  ["an empty rule", { ...GOOD, rules: [{}] }, "spec.rules[0]"],
  [
    "two clients in one entry",
    { ...GOOD, rules: [{ from: [{ namespaces: ["a"], networks: ["::/0"] }] }] },
    "from[0]",
  ],
  ["a wrong kind", { ...GOOD, target: { kind: "Pot", name: "api" } }, "spec.target.kind"],
  ["a wrong action", { ...GOOD, action: "Permit" }, "spec.action"],
])(
  "%s is refused by the API server with its field, and what was good stays",
  async (_, spec, field) => {
    const before = await get()
    const args = ["apply", "--server-side", "-f", "-"]
    const { code, stderr } = await cluster.tryKubectl(args, { input: policy(spec) })
    expect(code).toBe(1)
    expect(stderr).toContain(field)
    expect((await get()).spec).toEqual(before.spec)
  },
  60_000,
)

test.each([
  [
    "a CIDR that is none",
    { ...GOOD, rules: [{ from: [{ networks: ["10.0.0.0/99"] }] }] },
    "Invalid",
    "spec.rules[0].from[0].networks[0] cannot be used",
  ],
  [
    "a reference without a namespace",
    { ...GOOD, rules: [{ from: [{ deployments: ["web"] }] }] },
    "Invalid",
    "spec.rules[0].from[0].deployments[0] must be NAMESPACE/NAME",
  ],
])(
  "%s is told on the object's status, and the last good policy stays in force",
  async (_, spec, reason, message) => {
    await apply(policy(spec))
    const told = await condition()
    expect({ status: told.status, reason: told.reason }).toEqual({ status: "False", reason })
    expect(told.message).toContain(message)
    expect(await inForce()).toContain("/books/")
    const table = await cluster.kubectl(["get", "authzpolicy", "p", "-n", "shop"])
    expect(table).toContain(message)
  },
  60_000,
)

test.each([
  [
    "a port that does not exist",
    { ...GOOD, target: { ...GOOD.target, ports: ["grpc"] } },
    "PortNotFound",
    "ports[0]",
  ],
  [
    "a target that is not there",
    { ...GOOD, target: { kind: "Deployment", name: "apu" } },
    "TargetNotFound",
    '"api"',
  ],
])(
  "%s is told on the object's status",
  async (_, spec, reason, message) => {
    await apply(policy(spec))
    const told = await condition()
    expect({ status: told.status, reason: told.reason }).toEqual({ status: "False", reason })
    expect(told.message).toContain(message)
  },
  60_000,
)

test("limits and egress policies are told of in their status too, and reach the pods that they target", async () => {
  const target = { kind: "Deployment", name: "api" }
  const limits = [{ name: "books", requests: 5, per: "1m", by: "Header", header: "x-user" }]
  await apply(policy({ target: { ...target, ports: ["http"] }, limits }, "l", "RateLimitPolicy"))
  await apply(policy({ target, action: "Deny", rules: [{ hosts: ["*.evil.example"] }] }, "e", "EgressPolicy"))
  for (const [name, kind] of [
    ["l", "ratelimitpolicy"],
    ["e", "egresspolicy"],
  ] as const)
    expect(await condition(name, kind)).toMatchObject({ status: "True", reason: "Accepted" })
  const held = await inForce()
  expect(held).toContain('"header":"x-user"')
  expect(held).toContain("*.evil.example")
  const wrong = [
    policy({ target, limits: [{ requests: 0 }] }, "l", "RateLimitPolicy"),
    policy({ target, action: "Deny", rules: [{}] }, "e", "EgressPolicy"),
  ]
  for (const input of wrong)
    expect((await cluster.tryKubectl(["apply", "--server-side", "-f", "-"], { input })).code).toBe(1)
  await apply(policy({ target: { ...target, name: "apu" }, limits }, "l", "RateLimitPolicy"))
  expect(await condition("l", "ratelimitpolicy")).toMatchObject({ status: "False", reason: "TargetNotFound" })
}, 60_000)

test("when the target comes the condition follows, though the policy did not change", async () => {
  await apply(policy({ ...GOOD, target: { kind: "Deployment", name: "late" } }, "early"))
  expect((await condition("early")).reason).toBe("TargetNotFound")
  const [, , api] = workloads() as { metadata: { name: string }; spec: object }[]
  await apply(JSON.stringify({ ...api, metadata: { ...api?.metadata, name: "late" } }))
  const end = performance.now() + 20_000
  while ((await condition("early")).status !== "True" && performance.now() < end) await Bun.sleep(200)
  expect(await condition("early")).toMatchObject({ status: "True", message: "" })
}, 60_000)

test("two replicas come to rest, own the status alone, and may not write a spec", async () => {
  await apply(policy(GOOD))
  expect((await condition()).status).toBe("True")
  await Bun.sleep(3_000)
  const { metadata } = await get()
  await Bun.sleep(3_000)
  expect((await get()).metadata.resourceVersion).toBe(metadata.resourceVersion)
  expect(metadata.managedFields.map(({ manager }) => manager).sort()).toEqual(["conduit-policy", "kubectl"])
  const kubeconfig = join(folder, "conduit-policy.kubeconfig")
  const args = ["apply", "--server-side", "--force-conflicts", "-f", "-"]
  const refused = await cluster.tryKubectl(args, { input: policy({ ...GOOD, action: "Deny" }), kubeconfig })
  expect(refused.stderr).toContain("forbidden")
}, 60_000)
