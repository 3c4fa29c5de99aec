// Who may call whom, decided without anybody calling.
import { expect, test } from "bun:test"
import { create } from "@bufbuild/protobuf"
import { Access, AuthorizationRequestSchema } from "../../protos/mod.ts"
import { ClusterStore, readManifestFile } from "../cluster/mod.ts"
import { POLICY_DEFAULTS } from "../policy/mod.ts"
import { authorization } from "./authorization.ts"

function workload(
  name: string,
  ip: string,
  more: { meshed?: boolean; namespace?: string; ports?: object[] } = {},
): object[] {
  const { meshed = true, namespace = "shop", ports = [{ name: "http", containerPort: 8080 }] } = more
  return [
    { apiVersion: "apps/v1", kind: "Deployment", metadata: { name, namespace }, spec: { template: {} } },
    {
      apiVersion: "v1",
      kind: "Pod",
      metadata: {
        ...{ name: `${name}-1`, namespace },
        labels: meshed ? { "conduit.io/control-plane-ns": "conduit" } : {},
        ownerReferences: [{ apiVersion: "apps/v1", kind: "Deployment", name, controller: true }],
      },
      spec: {
        serviceAccountName: name,
        containers: [{ name: "app", ports }, ...(meshed ? [{ name: "conduit-proxy" }] : [])],
      },
      status: { podIP: ip, phase: "Running" },
    },
  ]
}

function policy(name: string, action: string, rules: readonly object[]): object {
  return {
    apiVersion: "policy.conduit.io/v1alpha1",
    kind: "AuthorizationPolicy",
    metadata: { name, namespace: "shop" },
    spec: { target: { kind: "Deployment", name: "cart", ports: ["http"] }, action, rules },
  }
}

const SHOP = [
  ...workload("web", "10.0.0.1"),
  ...workload("cart", "10.0.0.2", {
    ports: [
      { name: "http", containerPort: 8080 },
      { name: "admin", containerPort: 9000 },
    ],
  }),
  ...workload("legacy", "10.0.0.3", { meshed: false }),
  ...workload("clerk", "10.0.0.4", { namespace: "desk", ports: [] }),
]

function rows(
  policies: readonly object[],
  target: object = { kind: "deployment", namespace: "shop", name: "cart" },
  from?: object,
) {
  const text = JSON.stringify({ apiVersion: "v1", kind: "List", items: [...SHOP, ...policies] })
  const { objects, problems } = readManifestFile("shop.json", text)
  expect(problems).toEqual([])
  const store = new ClusterStore()
  store.apply([...objects.values()].map(put => ({ put })))
  store.markSynced()
  const request = create(AuthorizationRequestSchema, {
    target,
    ...(from === undefined ? {} : { from }),
  } as never)
  return authorization(store, POLICY_DEFAULTS, request).rows ?? []
}

const NAMES = Object.keys(Access)

const short = (all: ReturnType<typeof rows>) =>
  all.map(
    ({ port, from, access, policy: by }) =>
      `${port} ${from?.namespace}/${from?.name} ${NAMES[access ?? 0]} ${by}`,
  )

test("without policies everybody may call, and the default policy says so", () => {
  const [cart, ...others] = rows([])
  expect(cart).toMatchObject({
    port: 8080,
    portName: "http",
    reason: "default policy all-unauthenticated",
    policy: "",
  })
  expect(others).toHaveLength(7)
  expect(new Set(short(rows([])).map(line => line.split(" ")[2]))).toEqual(new Set(["ALLOWED"]))
})

test("who is allowed by name may call one port; all others may not, with the policy that does not allow it", () => {
  const allowed = policy("clients", "Allow", [
    { from: [{ deployments: ["shop/web"] }, { namespaces: ["desk"] }] },
  ])
  expect(short(rows([allowed]))).toEqual([
    "8080 desk/clerk ALLOWED shop/clients",
    "8080 shop/cart DENIED shop/clients",
    "8080 shop/legacy DENIED shop/clients",
    "8080 shop/web ALLOWED shop/clients",
    ...["desk/clerk", "shop/cart", "shop/legacy", "shop/web"].map(from => `9000 ${from} ALLOWED `),
  ])
  const [web] = rows([allowed], undefined, { kind: "deployment", namespace: "shop", name: "web" })
  expect(web).toMatchObject({
    spiffeId: "spiffe://cluster.local/ns/shop/sa/web",
    reason: "spec.rules[0] allows it",
    connectionsPass: true,
  })
  const [legacy] = rows([allowed], undefined, { kind: "pod", namespace: "shop", name: "legacy-1" })
  expect(legacy).toMatchObject({
    spiffeId: "",
    reason: "shop/clients has no rule for this caller",
    connectionsPass: false,
  })
})

test("rules about requests are told to whom they mean, and to nobody else", () => {
  const some = policy("readers", "Allow", [
    { from: [{ deployments: ["shop/web"] }], to: [{ methods: ["GET"], paths: ["/items/*"] }] },
  ])
  const told = rows([some]).filter(({ port }) => port === 8080)
  expect(short(told)).toEqual([
    "8080 desk/clerk DENIED shop/readers",
    "8080 shop/cart DENIED shop/readers",
    "8080 shop/legacy DENIED shop/readers",
    "8080 shop/web SOME shop/readers",
  ])
  expect(told.at(-1)).toMatchObject({
    requests: ["GET /items/*: allowed by shop/readers spec.rules[0]"],
    connectionsPass: false,
  })
})

test("a Service is none that policies hold on", () => {
  expect(() => rows([], { kind: "namespace", namespace: "", name: "" })).toThrow("not on a namespace")
})
