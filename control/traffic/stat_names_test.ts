// Figures of names that requests bear, authorities and routes, and what was sent again.
import { expect, test } from "bun:test"
import { create } from "@bufbuild/protobuf"
import { ConnectError } from "@connectrpc/connect"
import { ErrorDetailSchema, StatRequestSchema, telemetryV1 } from "../../protos/mod.ts"
import { ClusterStore, readManifestFile } from "../cluster/mod.ts"
import { localQueries, TelemetryStore } from "../telemetry/mod.ts"
import { stat } from "./stat.ts"

const NOW = 1_750_000_060_000
const START = NOW - 30_000

function workload(name: string, service = name): string {
  return `
apiVersion: apps/v1
kind: Deployment
metadata: { name: ${name}, namespace: shop }
spec: { template: {} }
---
apiVersion: v1
kind: Pod
metadata:
  name: ${name}-1
  namespace: shop
  labels: { app: ${service} }
  ownerReferences: [{ apiVersion: apps/v1, kind: Deployment, name: ${name}, controller: true }]
spec: { containers: [{ name: app }] }
---
`
}

const NAMESPACES = ["shop", "desk"]
  .map(name => `apiVersion: v1\nkind: Namespace\nmetadata: { name: ${name} }\n---\n`)
  .join("")

const CLUSTER = `${NAMESPACES}${workload("web")}${workload("batch")}${workload("cart")}${workload("cart-next", "cart")}
apiVersion: v1
kind: Service
metadata: { name: cart, namespace: shop }
spec: { clusterIP: 10.96.0.1, selector: { app: cart }, ports: [{ port: 80 }] }
---
apiVersion: v1
kind: Service
metadata: { name: quiet, namespace: shop }
spec: { clusterIP: 10.96.0.2, ports: [{ port: 80 }] }
`

function cluster(): ClusterStore {
  const { objects, problems } = readManifestFile("shop.yaml", CLUSTER)
  expect(problems).toEqual([])
  const store = new ClusterStore()
  store.apply([...objects.values()].map(put => ({ put })))
  store.markSynced()
  return store
}

type Labels = Record<string, string>

const CART = { direction: "outbound", dst_service: "cart", dst_namespace: "shop" }

function answered(labels: Labels, count: number): [string, Labels, number] {
  return ["response_total", { ...labels, classification: "success" }, count]
}

function routed(route: string, begun: number, sent: number): [string, Labels, number][] {
  const labels = { ...CART, rt_route: route }
  return [
    ["route_response_total", { ...labels, classification: "success" }, begun],
    ["route_request_total", labels, begun],
    ["route_actual_request_total", labels, sent],
  ]
}

/** What each Deployment's proxy counted in 30 s. */
const COUNTED: Record<string, [string, Labels, number][]> = {
  web: [
    answered({ ...CART, authority: "cart", dst_deployment: "cart", dst_pod: "cart-1" }, 45),
    answered({ ...CART, authority: "cart", dst_deployment: "cart-next", dst_pod: "cart-next-1" }, 15),
    answered({ direction: "outbound", tls: "no_identity", authority: "api.example.org" }, 30),
    ["tcp_write_bytes_total", { direction: "outbound", peer: "dst", authority: "db.example.org" }, 300],
    ...routed("GET /cart/{id}", 60, 90),
  ],
  batch: [
    answered({ ...CART, authority: "cart.shop:80", dst_deployment: "cart", dst_pod: "cart-1" }, 3),
    ...routed("GET /cart/{id}", 3, 3),
  ],
  cart: [
    answered({ direction: "inbound", authority: "cart" }, 45),
    answered({ direction: "inbound", authority: "cart.shop:80" }, 3),
    ["tcp_write_bytes_total", { direction: "inbound", peer: "src" }, 3000],
  ],
  "cart-next": [answered({ direction: "inbound", authority: "cart" }, 15)],
}

function telemetry(): TelemetryStore {
  const store = new TelemetryStore(START - 1)
  for (const [name, series] of Object.entries(COUNTED)) {
    const about = { namespace: "shop", pod: `${name}-1`, workloadKind: "deployment", workload: name }
    const stream = store.openStream(
      create(telemetryV1.ReporterSchema, { ...about, startedAtMs: BigInt(START) }),
    )
    const report = create(telemetryV1.ReportRequestSchema, {
      series: series.map(([metric, labels], id) => ({ id, metric, labels })),
      samples: series.map(([, , value], seriesId) => ({ seriesId, value })),
    })
    stream?.take(report, NOW)
  }
  return store
}

type End = readonly [kind: string, name: string]

async function ask(target: End, ends: { from?: End; to?: End; labels?: string; namespace?: string } = {}) {
  const selector = (end: End | undefined) =>
    end === undefined ? undefined : { namespace: "shop", kind: end[0], name: end[1] }
  const request = create(StatRequestSchema, {
    target: {
      namespace: ends.namespace ?? "shop",
      kind: target[0],
      name: target[1],
      labelSelector: ends.labels ?? "",
    },
    retries: true,
    ...(ends.from === undefined ? {} : { from: selector(ends.from) as never }),
    ...(ends.to === undefined ? {} : { to: selector(ends.to) as never }),
  })
  const { rows = [] } = await stat(
    cluster(),
    localQueries(telemetry(), () => NOW),
    request,
  )
  return rows
}

async function counts(target: End, ends: Parameters<typeof ask>[1] = {}) {
  return (await ask(target, ends)).map(({ resource, http }) => [
    resource?.namespace,
    resource?.name,
    http === undefined ? null : Number(http.responses),
  ])
}

const ALL_AUTHORITIES = ["authority", ""] as const
const ALL_ROUTES = ["route", ""] as const

test("authorities are those that a namespace's pods were called by, as they were called", async () => {
  const called = [
    ["shop", "cart", 60],
    ["shop", "cart.shop:80", 3],
  ]
  expect(await counts(ALL_AUTHORITIES)).toEqual(called)
  expect(await counts(ALL_AUTHORITIES, { namespace: "" })).toEqual(called)
  expect(await counts(ALL_AUTHORITIES, { namespace: "other" })).toEqual([])
  expect(await counts(["authority", "cart.shop:80"])).toEqual([["shop", "cart.shop:80", 3]])
  const [cart] = await ask(["authority", "cart"])
  expect(cart?.http?.rps).toBeCloseTo(2, 6)
  // Its connections are of no name.
  expect(cart?.tcp).toBeUndefined()
})

test("of a caller, authorities are what it calls, outside of the cluster too", async () => {
  expect(await counts(ALL_AUTHORITIES, { from: ["deployment", "web"] })).toEqual([
    ["", "api.example.org", 30],
    ["", "db.example.org", null],
    ["shop", "cart", 60],
  ])
  const rows = await ask(["authority", "db.example.org"], { from: ["deployment", "web"] })
  expect(rows[0]?.tcp?.writeBytesPerSec).toBeCloseTo(10, 6)
})

test("of a called side, authorities are the names that it is called by", async () => {
  expect(await counts(ALL_AUTHORITIES, { to: ["deployment", "cart-next"] })).toEqual([["shop", "cart", 15]])
  expect(await counts(ALL_AUTHORITIES, { to: ["service", "cart"] })).toEqual([
    ["shop", "cart", 60],
    ["shop", "cart.shop:80", 3],
  ])
  const both = { from: ["deployment", "batch"], to: ["service", "cart"] } as const
  expect(await counts(ALL_AUTHORITIES, both)).toEqual([["shop", "cart.shop:80", 3]])
})

test("routes are those of a namespace's Services, of one with to, and of one caller with from", async () => {
  expect(await counts(ALL_ROUTES)).toEqual([
    ["shop", "GET /cart/{id}", 63],
    ["shop", "default", null],
  ])
  const [cart, ...others] = await ask(ALL_ROUTES, { to: ["deployment", "cart"], from: ["deployment", "web"] })
  expect(others).toEqual([])
  expect(cart?.service).toMatchObject({ namespace: "shop", name: "cart" })
  expect(cart?.http?.rps).toBeCloseTo(2, 6)
  expect(cart?.retriesRps).toBeCloseTo(1, 6)
})

test("what nothing bore, and labels, are refused with a sentence", async () => {
  expect(await ask(["authority", "nope"]).catch(String)).toContain(
    'authority "nope" was not seen within the window in namespace "shop"',
  )
  expect(await ask(["route", "GET /"]).catch(String)).toContain("was not seen within the window")
  expect(await ask(ALL_ROUTES, { labels: "app=web" }).catch(String)).toContain(
    "names such as routes have none",
  )
})

test("what was sent again is told of a Service, shared among what stands behind it, and of who sent it", async () => {
  const again = async (target: End, ends: Parameters<typeof ask>[1] = {}) =>
    (await ask(target, ends)).map(({ resource, retriesRps = 0 }) => [
      resource?.name,
      Number(retriesRps.toFixed(6)),
    ])
  expect(await again(["service", ""])).toEqual([
    ["cart", 1],
    ["quiet", 0],
  ])
  expect(await again(["deployment", ""])).toEqual([
    ["batch", 0],
    ["cart", 0.75],
    ["cart-next", 0.25],
    ["web", 0],
  ])
  expect(await again(["deployment", ""], { to: ["service", "cart"] })).toEqual([
    ["batch", 0],
    ["cart", 0],
    ["cart-next", 0],
    ["web", 1],
  ])
  expect(await again(["service", "cart"], { from: ["deployment", "batch"] })).toEqual([["cart", 0]])
})

test("a name that nothing has comes with what was meant: one nearly like it, another namespace, or the namespace itself", async () => {
  const hint = async (target: End, namespace = "shop") => {
    const error = await ask(target, { namespace }).catch((one: unknown) => one)
    return error instanceof ConnectError ? error.findDetails(ErrorDetailSchema)[0]?.hint : error
  }
  expect(await hint(["deployment", "crat"])).toBe('did you mean "cart"?')
  expect(await hint(["deployment", "else"])).toBe("")
  expect(await hint(["deployment", "cart"], "desk")).toBe("there is one in namespace shop")
  expect(await hint(["deployment", "cart"], "shpo")).toBe(
    'there is no namespace "shpo" (did you mean "shop"?)',
  )
  const request = create(StatRequestSchema, { target: { namespace: "shpo", kind: "deployment", name: "" } })
  const { warnings } = await stat(
    cluster(),
    localQueries(telemetry(), () => NOW),
    request,
  )
  expect(warnings).toEqual(['there is no namespace "shpo" (did you mean "shop"?)'])
})
