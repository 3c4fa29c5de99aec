// What the control plane finds wrong with a mesh, and what it tells of the certificates that it rests on.
import { expect, test } from "bun:test"
import { create } from "@bufbuild/protobuf"
import { makeAuthority, pemCertificates, x509 } from "../../deploy/identity/mod.ts"
import { CheckRequestSchema, FaultKind } from "../../protos/mod.ts"
import { ClusterStore, readManifestFile } from "../cluster/mod.ts"
import { POLICY_DEFAULTS } from "../policy/mod.ts"
import { type CheckSources, check, MAX_FAULTS } from "./check.ts"

const NOW = 1_750_000_000_000
const OPAQUE = "config.conduit.io/opaque-ports"

function pod(name: string, ip: string, options: { meshed?: boolean; opaque?: string } = {}): object {
  const { meshed = true, opaque } = options
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace: "shop",
      labels: { app: "db", ...(meshed ? { "conduit.io/control-plane-ns": "conduit" } : {}) },
      annotations: opaque === undefined ? {} : { [OPAQUE]: opaque },
    },
    spec: {
      containers: [
        { name: "app", ports: [{ name: "sql", containerPort: 3306 }] },
        ...(meshed ? [{ name: "conduit-proxy" }] : []),
      ],
    },
    status: { podIP: ip, phase: "Running", conditions: [{ type: "Ready", status: "True" }] },
  }
}

function service(opaque?: string): object {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: {
      name: "db",
      namespace: "shop",
      annotations: opaque === undefined ? {} : { [OPAQUE]: opaque },
    },
    spec: { clusterIP: "10.96.0.9", selector: { app: "db" }, ports: [{ port: 33, targetPort: "sql" }] },
  }
}

function policy(deployment: string): object {
  return {
    apiVersion: "policy.conduit.io/v1alpha1",
    kind: "AuthorizationPolicy",
    metadata: { name: `for-${deployment}`, namespace: "shop" },
    spec: {
      target: { kind: "Deployment", name: deployment },
      action: "Deny",
      rules: [{ from: [{ namespaces: ["shop"] }] }],
    },
  }
}

function storeOf(objects: readonly object[]): ClusterStore {
  const text = JSON.stringify({ apiVersion: "v1", kind: "List", items: objects })
  const { objects: records, problems } = readManifestFile("shop.json", text)
  expect(problems).toEqual([])
  const store = new ClusterStore()
  store.apply([...records.values()].map(put => ({ put })))
  store.markSynced()
  return store
}

function asked(objects: readonly object[], sources: Partial<CheckSources> = {}, namespace = "") {
  const all = {
    policy: POLICY_DEFAULTS,
    nowMs: () => NOW,
    certified: () => null,
    problems: () => [],
    ...sources,
  }
  return check(storeOf(objects), all, create(CheckRequestSchema, { namespace }))
}

test("a mesh without a fault has none, and tells its clock", () => {
  const pods = [pod("db-1", "10.0.0.1"), pod("db-2", "10.0.0.2")]
  expect(asked([service("33"), ...pods])).toEqual({
    nowMs: NOW,
    trustAnchors: [],
    issuerChain: [],
    faults: [],
    leftOut: 0,
  })
})

test("opaque ports that both sides set and mean differently are told with their pods", () => {
  const pods = [1, 2, 3, 4].map(number => pod(`db-${number}`, `10.0.0.${number}`, { opaque: "25" }))
  expect(asked([service("33"), ...pods]).faults).toEqual([
    {
      kind: FaultKind.OPAQUE_PORT,
      where: "Service shop/db",
      message:
        "port 33 is opaque, and port 3306 of its pods is not (db-1, db-2, db-3 and 1 more): callers by name and by address are treated differently",
    },
  ])
  const other = asked([service("25"), pod("db-1", "10.0.0.1", { opaque: "3306" })]).faults?.[0]?.message
  expect(other).toStartWith("port 33 is not opaque, and port 3306 of its pods is (db-1)")
  expect(asked([service("33"), pod("db-1", "10.0.0.1", { opaque: "3306" })]).faults).toEqual([])
})

test("endpoints without a proxy beside others that have one are told; all alike are not", () => {
  const plain = pod("db-2", "10.0.0.2", { meshed: false })
  expect(asked([service(), plain]).faults).toEqual([])
  expect(asked([service(), pod("db-1", "10.0.0.1"), plain]).faults).toEqual([
    {
      kind: FaultKind.NO_IDENTITY,
      where: "Service shop/db",
      message: "port 33: 1 of 2 endpoints have no identity (db-2), so what is sent to them is not encrypted",
    },
  ])
})

test("faults of policies and of objects come with the object, in the order of their kinds", () => {
  const problems = () => [{ where: "HTTPRoute shop/a", message: "spec.rules is no list" }]
  const { faults = [] } = asked([pod("db-1", "10.0.0.1"), policy("nobody")], { problems })
  expect(faults.map(({ kind, where }) => ({ kind, where }))).toEqual([
    { kind: FaultKind.OBJECT, where: "HTTPRoute shop/a" },
    { kind: FaultKind.POLICY, where: "AuthorizationPolicy shop/for-nobody" },
  ])
  expect(faults[1]?.message).toContain('spec.target.name: there is no Deployment "nobody"')
  expect(asked([policy("nobody")], {}, "other").faults).toEqual([])
})

test("a route that conflicts, whose backend is not there or whose weights are all 0 is told, a sound one is not", () => {
  const route = (name: string, spec: object, kind = "HTTPRoute", namespace = "shop"): object => ({
    apiVersion: "gateway.networking.k8s.io/v1",
    kind,
    metadata: { name, namespace },
    spec: {
      parentRefs: [{ group: "", kind: "Service", name: "db", namespace: "shop" }],
      rules: [{ backendRefs: [{ name: "db", namespace: "shop", port: 33, ...spec }] }],
    },
  })
  expect(asked([service(), route("sound", {})]).faults).toEqual([])
  const objects = [
    ...[service(), route("gone", { name: "bd" }, "GRPCRoute"), route("loses", {})],
    route("idle", { weight: 0 }, "HTTPRoute", "far"),
  ]
  const { faults = [] } = asked(objects)
  expect(faults.every(({ kind }) => kind === FaultKind.ROUTE)).toBe(true)
  expect(faults.map(({ where, message }) => `${where}: ${message}`)).toEqual([
    'GRPCRoute shop/gone: BackendNotFound: spec.rules[0].backendRefs[0]: there is no Service "bd" in "shop".',
    'HTTPRoute shop/loses: Conflicted: Service "db" in namespace "shop" is bound by routes of a more specific kind, which count instead.',
    "HTTPRoute far/idle: UnsupportedValue: spec.rules[0].backendRefs: every weight is 0, so the rule answers 500.",
  ])
  expect(asked(objects, {}, "far").faults?.map(({ where }) => where)).toEqual(["HTTPRoute far/idle"])
})

test("more faults than anybody reads are counted", () => {
  const problems = () => Array.from({ length: MAX_FAULTS + 2 }, () => ({ where: "x", message: "y" }))
  const { faults, leftOut } = asked([], { problems })
  expect([faults?.length, leftOut]).toEqual([MAX_FAULTS, 2])
})

test("the issuer is the certificate above our own, or the anchor that signed it", async () => {
  const names = { trustDomain: "cluster.local", controlNamespace: "conduit" }
  const { anchor, issuer } = await makeAuthority({ ...names, nowMs: NOW })
  const der = (pem: string) => new Uint8Array(pemCertificates(pem)[0]?.raw ?? [])
  const certified = (chain: Uint8Array[]) => () => ({
    chain,
    trustAnchors: [der(anchor)],
    notBeforeMs: 0,
    notAfterMs: 0,
  })
  const told = asked([], { certified: certified([der(issuer), der(issuer)]) })
  expect(told.issuerChain?.[0]).toMatchObject({ subject: "CN=identity.conduit.cluster.local" })
  const endMs = new x509.X509Certificate(issuer).notAfter.getTime()
  expect(told.issuerChain?.[0]?.notAfterMs).toBe(endMs)
  // Here the issuer stands for a workload's certificate that the anchor itself has signed.
  const direct = asked([], { certified: certified([der(issuer)]) })
  expect(direct.issuerChain?.map(({ subject }) => subject)).toEqual(["CN=root.conduit.cluster.local"])
  expect(direct.trustAnchors?.[0]?.pem).toContain("BEGIN CERTIFICATE")
})
