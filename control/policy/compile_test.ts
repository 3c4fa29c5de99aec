// From objects as people write them to what proxies compare, and what is wrong with policies that are well-formed.
import { expect, test } from "bun:test"
import { PolicySet } from "../../protos/authorization/mod.ts"
import { type ClusterStore, readManifestFile, ClusterStore as Store } from "../cluster/mod.ts"
import { ClientPods } from "./client_pods.ts"
import { compilePod } from "./compile.ts"
import { policyProblems } from "./problems.ts"

function pod(
  name: string,
  owner: string,
  options: { account?: string; ip?: string; extra?: string } = {},
): string {
  const [kind = "", ownerName = ""] = owner.split("/")
  return `
apiVersion: v1
kind: Pod
metadata:
  name: ${name}
  namespace: shop
  ownerReferences: [{ kind: ${kind}, name: ${ownerName}, controller: true }]
spec:
  serviceAccountName: ${options.account ?? "default"}
  containers:
    - name: app
      ports: [{ name: http, containerPort: 8080 }, { name: grpc, containerPort: 9000 }]
      ${options.extra ?? ""}
status: { podIP: ${options.ip ?? "10.0.0.1"} }
`
}

function deployment(name: string): string {
  return `
apiVersion: apps/v1
kind: Deployment
metadata: { name: ${name}, namespace: shop }
spec: { template: {} }
---
apiVersion: apps/v1
kind: ReplicaSet
metadata:
  name: ${name}-1
  namespace: shop
  ownerReferences: [{ kind: Deployment, name: ${name}, controller: true }]
spec: { template: {} }
`
}

function policy(name: string, spec: string): string {
  return `
apiVersion: policy.conduit.io/v1alpha1
kind: AuthorizationPolicy
metadata: { name: ${name}, namespace: shop }
spec: ${spec}
`
}

function cluster(...texts: string[]): ClusterStore {
  const store = new Store()
  const { objects, problems } = readManifestFile("m.yaml", texts.join("---"))
  expect(problems).toEqual([])
  store.apply([...objects.values()].map(put => ({ put })))
  store.markSynced()
  return store
}

function compiled(store: ClusterStore, name: string) {
  const found = store.pod("shop", name)
  if (found === undefined) throw new Error(`no pod ${name}`)
  return compilePod(store, found, new ClientPods(store))
}

const WEB = [deployment("web"), pod("web-1-a", "ReplicaSet/web-1", { account: "web" })]
const API = [deployment("api"), pod("api-1-a", "ReplicaSet/api-1", { ip: "10.0.0.9" })]
const ALLOW_WEB =
  "{ target: { kind: Deployment, name: api }, action: Allow, rules: [{ from: [{ deployments: [shop/web] }] }] }"

test("every kind of target is found along the chain of owners", () => {
  for (const target of [
    "kind: Deployment, name: api",
    "kind: ReplicaSet, name: api-1",
    "kind: Pod, name: api-1-a",
    "kind: Namespace",
  ]) {
    const spec = `{ target: { ${target} }, action: Deny, rules: [{ from: [{ networks: [10.0.0.0/8] }] }] }`
    const store = cluster(...API, policy("p", spec))
    expect(compiled(store, "api-1-a").policies).toMatchObject([
      {
        namespace: "shop",
        name: "p",
        action: 2,
        allPorts: true,
        ports: [],
        rules: [{ from: [{ client: { case: "network", value: "10.0.0.0/8" } }], to: [] }],
      },
    ])
  }
})

test("a policy for another workload, or of another namespace, is left out", () => {
  const store = cluster(...API, ...WEB, policy("p", ALLOW_WEB))
  expect(compiled(store, "web-1-a").policies).toEqual([])
})

test("names of ports become the numbers that the pod has for them; a policy whose ports it lacks is left out", () => {
  const spec = (ports: string) =>
    `{ target: { kind: Deployment, name: api, ports: ${ports} }, action: Deny, rules: [{ from: [{ identities: ["*"] }] }] }`
  const store = cluster(...API, policy("a", spec("[grpc, 80]")), policy("b", spec("[nothing]")))
  expect(compiled(store, "api-1-a").policies.map(({ name, ports }) => [name, ports])).toEqual([
    ["a", [80, 9000]],
  ])
})

test("a Deployment that alone runs as its service account is told by identity", () => {
  const store = cluster(...WEB, ...API, policy("p", ALLOW_WEB))
  expect(compiled(store, "api-1-a").policies[0]?.rules[0]?.from).toEqual([
    {
      client: {
        case: "workload",
        value: {
          namespace: "shop",
          kind: "deployment",
          name: "web",
          identities: ["spiffe://cluster.local/ns/shop/sa/web"],
          addresses: [],
          exclusive: true,
        },
      },
    },
  ])
})

test("a Deployment that shares its service account is told by the addresses of its pods too", () => {
  const other = [
    deployment("batch"),
    pod("batch-1-a", "ReplicaSet/batch-1", { account: "web", ip: "10.0.0.2" }),
  ]
  const store = cluster(...WEB, ...other, ...API, policy("p", ALLOW_WEB))
  const set = new PolicySet(compiled(store, "api-1-a"))
  const spiffeId = "spiffe://cluster.local/ns/shop/sa/web"
  expect(set.connection({ address: "10.0.0.1", spiffeId }, 8080).raw.allowed).toBe(true)
  expect(set.connection({ address: "10.0.0.2", spiffeId }, 8080).raw.allowed).toBe(false)
})

test("a finished Job does not make its service account a shared one", () => {
  const job = pod("job-a", "Job/clean", { account: "web" }).replace(
    "status: {",
    "status: { phase: Succeeded,",
  )
  const store = cluster(...WEB, job, ...API, policy("p", ALLOW_WEB))
  expect(compiled(store, "api-1-a").policies[0]?.rules[0]?.from[0]?.client.value).toMatchObject({
    exclusive: true,
  })
})

test("service accounts, namespaces and patterns become identities and beginnings of them", () => {
  const from =
    '[{ serviceAccounts: [a/b] }, { namespaces: [a] }, { identities: ["*", "spiffe://x/y*", "spiffe://x/y"] }]'
  const spec = `{ target: { kind: Namespace }, action: Allow, rules: [{ from: ${from} }] }`
  const store = cluster(...API, policy("p", spec))
  expect(
    compiled(store, "api-1-a").policies[0]?.rules[0]?.from.map(({ client }) => [client.case, client.value]),
  ).toEqual([
    ["identity", "spiffe://cluster.local/ns/a/sa/b"],
    ["identityPrefix", "spiffe://cluster.local/ns/a/"],
    ["identityPrefix", ""],
    ["identityPrefix", "spiffe://x/y"],
    ["identity", "spiffe://x/y"],
  ])
})

test("probes that a proxy can tell are among the state", () => {
  const extra =
    "livenessProbe: { httpGet: { path: /live, port: http } }\n      readinessProbe: { tcpSocket: { port: 9000 } }"
  const store = cluster(deployment("api"), pod("api-1-a", "ReplicaSet/api-1", { extra }))
  expect(compiled(store, "api-1-a").probes).toEqual([{ port: 8080, path: "/live", grpc: false }])
})

test("proposed policies are compiled in the place of the cluster's", () => {
  const store = cluster(...API, policy("p", ALLOW_WEB))
  const found = store.pod("shop", "api-1-a")
  const now = [...store.policies()].map(record => ({ ...record.policy, action: "Audit" as const }))
  if (found === undefined) throw new Error("no pod")
  expect(compilePod(store, found, new ClientPods(store), undefined, now).policies).toMatchObject([
    { action: 3 },
  ])
})

// ---- problems ----

function problems(...texts: string[]): string[] {
  return policyProblems(cluster(...WEB, ...API, ...texts)).map(
    ({ name, reason, field, message }) => `${name} ${reason} ${field}: ${message}`,
  )
}

function rule(from: string): string {
  return `{ target: { kind: Deployment, name: api }, action: Allow, rules: [{ from: [${from}] }] }`
}

test("a policy that holds as it stands has no problems", () => {
  expect(problems(policy("p", ALLOW_WEB))).toEqual([])
})

/** Policy, the problem. */
const PROBLEMS: readonly (readonly [spec: string, problem: string])[] = [
  [
    ALLOW_WEB.replace("name: api", "name: apo"),
    'TargetNotFound spec.target.name: there is no Deployment "apo" in namespace "shop" (did you mean "api"?)',
  ],
  [
    ALLOW_WEB.replace("name: api", "name: api, ports: [grcp]"),
    'PortNotFound spec.target.ports[0]: is "grcp", but',
  ],
  [ALLOW_WEB.replace("name: api", "name: api, ports: [81]"), "PortNotFound spec.target.ports[0]: is 81, but"],
  [
    rule("{ deployments: [shop/wep] }"),
    'ClientNotFound spec.rules[0].from[0].deployments[0]: there is no Deployment "wep" in namespace "shop" (did you mean "web"?)',
  ],
  [rule("{ deployments: [shop/wep] }"), "NeverMatches spec.rules: no rule can match"],
  [rule("{ serviceAccounts: [shop/wbe] }"), 'runs as service account "wbe" (did you mean "web"?)'],
  [rule("{ namespaces: [shpo] }"), 'there is no namespace "shpo" (did you mean "shop"?)'],
  [
    rule('{ identities: ["spiffe://other/x"] }'),
    "is no identity of this mesh, whose trust domain is cluster.local",
  ],
]

for (const [spec, problem] of PROBLEMS) {
  test(`a problem is told: ${problem}`, () => {
    expect(problems(policy("p", spec)).join("\n")).toContain(problem)
  })
}

test("an Allow that one Deny refuses as a whole is told, one of which something is left is not", () => {
  const allow = policy(
    "a",
    "{ target: { kind: Deployment, name: api, ports: [http] }, action: Allow, rules: [{ from: [{ networks: [10.1.0.0/16] }], to: [{ methods: [GET], paths: [/a/b] }] }] }",
  )
  const deny = (target: string, network: string, to: string) =>
    policy("d", `{ target: ${target}, action: Deny, rules: [{ from: [{ networks: [${network}] }]${to} }] }`)
  const told = ['a Contradicted spec.rules: the Deny policy "d" refuses everything that this one allows']
  expect(problems(allow, deny("{ kind: Namespace }", "10.0.0.0/8", ""))).toEqual(told)
  expect(problems(allow, deny("{ kind: Deployment, name: api, ports: [8080] }", "10.0.0.0/8", ""))).toEqual(
    told,
  )
  expect(problems(allow, deny("{ kind: Namespace }", "10.1.0.0/16", ', to: [{ paths: ["/a/*"] }]'))).toEqual(
    told,
  )
  expect(problems(allow, deny("{ kind: Namespace }", "10.1.2.0/24", ""))).toEqual([])
  expect(problems(allow, deny("{ kind: Deployment, name: web }", "10.0.0.0/8", ""))).toEqual([])
  expect(problems(allow, deny("{ kind: Deployment, name: api, ports: [grpc] }", "10.0.0.0/8", ""))).toEqual(
    [],
  )
  expect(problems(allow, deny("{ kind: Namespace }", "10.0.0.0/8", ", to: [{ methods: [POST] }]"))).toEqual(
    [],
  )
})

test("rules about requests on an opaque port are told", () => {
  const opaque = pod("api-1-a", "ReplicaSet/api-1").replace(
    "  namespace: shop",
    "  namespace: shop\n  annotations: { config.conduit.io/opaque-ports: '8080,9000' }",
  )
  const spec = (action: string) =>
    `{ target: { kind: Deployment, name: api }, action: ${action}, rules: [{ to: [{ paths: [/a] }] }] }`
  const found = (action: string) =>
    policyProblems(cluster(deployment("api"), opaque, policy("p", spec(action)))).map(({ reason }) => reason)
  expect(found("Allow")).toEqual(["NeverMatches"])
  expect(found("Deny")).toEqual(["HidesRequests"])
})
