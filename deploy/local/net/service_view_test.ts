// From Services and pods to packet rules and names.
import { expect, test } from "bun:test"
import type { KubeObject } from "../objects/kube_object.ts"
import { baseRules, serviceRules } from "./service_rules.ts"
import { type BackendPod, reverseName, rulesOf, zoneOf } from "./service_view.ts"

function service(name: string, spec: Record<string, unknown>): KubeObject {
  return { apiVersion: "v1", kind: "Service", metadata: { name, namespace: "shop" }, spec }
}

function pod(name: string, ip: string, more: Partial<BackendPod> = {}): BackendPod {
  return {
    namespace: "shop",
    name,
    labels: { app: "web" },
    ips: [ip, `fd00::${ip.split(".")[3]}`],
    ready: true,
    present: true,
    hostname: undefined,
    subdomain: undefined,
    portNamed: port => (port === "http" ? 8080 : null),
    ...more,
  }
}

const WEB = service("web", {
  clusterIPs: ["10.96.1.1"],
  clusterIP: "10.96.1.1",
  selector: { app: "web" },
  ports: [{ name: "http", port: 80, targetPort: "http", protocol: "TCP" }],
})

test("only ready pods of the namespace with the labels are endpoints, at their named port", () => {
  const pods = [
    pod("a", "10.244.0.1"),
    pod("b", "10.244.0.2", { ready: false }),
    pod("c", "10.244.0.3", { namespace: "other" }),
    pod("d", "10.244.0.4", { labels: { app: "api" } }),
    pod("e", "10.244.0.5", { present: false }),
    pod("f", "10.244.0.6", { portNamed: () => null }),
  ]
  const [rules] = rulesOf([WEB], pods, [])
  expect([rules?.address, rules?.protocol, rules?.port]).toEqual(["10.96.1.1", "tcp", 80])
  expect(rules?.endpoints.map(({ address, port }) => [address, port])).toEqual([["10.244.0.1", 8080]])
})

test("a Service without selector has the endpoints of its slices", () => {
  const slice: KubeObject = {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: "s", namespace: "shop", labels: { "kubernetes.io/service-name": "ext" } },
    ports: [{ name: "", port: 99 }],
    endpoints: [{ addresses: ["10.9.9.9"] }, { addresses: ["10.9.9.8"], conditions: { ready: false } }],
  }
  const ext = service("ext", { clusterIPs: ["10.96.1.2"], ports: [{ port: 1 }] })
  expect(
    rulesOf([ext], [], [slice])[0]?.endpoints.map(endpoint => [endpoint.address, endpoint.port]),
  ).toEqual([["10.9.9.9", 99]])
})

test("each endpoint gets an equal share of new connections, and itself is masked", () => {
  const rules = serviceRules(
    rulesOf(
      [WEB],
      ["1", "2", "3"].map(last => pod(last, `10.244.0.${last}`)),
      [],
    ),
    "v4",
  )
  expect([...rules.matchAll(/--probability (\S+)/g)].map(match => Number(match[1]))).toEqual([
    0.3333333333, 0.5,
  ])
  expect(rules).toContain("-A CONDUIT_HAIRPIN -s 10.244.0.2 -d 10.244.0.2 -j MASQUERADE")
  expect(serviceRules(rulesOf([WEB], [pod("a", "10.244.0.1")], []), "v6")).not.toContain("DNAT")
})

test("a Service's address without endpoints is refused, not silent", () => {
  expect(baseRules("v4")).toContain("-A FORWARD -d 10.96.0.0/16 -p tcp -j REJECT --reject-with tcp-reset")
  // Not so the name server, which is the router's own.
  expect(baseRules("v4")).toContain(
    "-A OUTPUT -d 10.96.0.10 -j ACCEPT\n-A OUTPUT -d 10.96.0.0/16 -p tcp -j REJECT --reject-with tcp-reset",
  )
})

test("a headless Service is its pods, each by its own name", () => {
  const db = service("db", {
    clusterIP: "None",
    clusterIPs: ["None"],
    selector: { app: "web" },
    ports: [{ name: "sql", port: 5432 }],
  })
  const zone = zoneOf(
    [db],
    [pod("db-0", "10.244.0.1", { hostname: "db-0", subdomain: "db" }), pod("x", "10.244.0.2")],
    [],
  )
  expect(zone.addresses).toEqual({
    "db.shop.svc.cluster.local": ["10.244.0.1", "10.244.0.2"],
    "db-0.db.shop.svc.cluster.local": ["10.244.0.1"],
    "10-244-0-2.db.shop.svc.cluster.local": ["10.244.0.2"],
  })
  expect(zone.services["_sql._tcp.db.shop.svc.cluster.local"]).toEqual([
    { target: "db-0.db.shop.svc.cluster.local", port: 5432 },
    { target: "10-244-0-2.db.shop.svc.cluster.local", port: 5432 },
  ])
})

test("reverse names of both families", () => {
  expect(reverseName("10.96.1.2")).toBe("2.1.96.10.in-addr.arpa")
  expect(reverseName("fd00:10:96::a")).toBe(`a.${"0.".repeat(19)}6.9.0.0.0.1.0.0.0.0.d.f.ip6.arpa`)
})
