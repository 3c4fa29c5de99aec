// What a proxy believes against what is served: differences by address, per Service and family.
import { expect, test } from "bun:test"
import { create } from "@bufbuild/protobuf"
import { EndpointsResponseSchema } from "../../protos/mod.ts"
import { compare, type ProxyDiscovery } from "./proxy_endpoints.ts"

const SERVED = create(EndpointsResponseSchema, {
  services: [
    {
      ...{ namespace: "shop", service: "cart", port: 80 },
      endpoints: [
        { ip: "10.0.0.1", port: 8080 },
        { ip: "10.0.0.2", port: 8080 },
        { ip: "fd00::1", port: 8080 },
      ],
    },
  ],
}).services

function proxy(address: string, endpoints: readonly string[]): ProxyDiscovery {
  const service = { namespace: "shop", name: "cart", port: 80 }
  const known = endpoints.map(one => ({ address: one, port: 8080, pod: "" }))
  const outside = { address: "1.1.1.1", port: 443, kind: "external", service: null, ageMs: 1, endpoints: [] }
  const destination = { address, port: 80, kind: "service", service, ageMs: 5000, endpoints: known }
  return { connected: true, destinations: [outside, destination] }
}

test("what a proxy knows and nobody serves is stale, what is served and not known is missing", () => {
  expect(compare("shop/web-1", proxy("10.96.0.1", ["10.0.0.1", "10.0.0.9"]), SERVED)).toEqual([
    {
      ...{ pod: "shop/web-1", service: "shop/cart:80", known: 2, served: 2, ageMs: 5000 },
      ...{ stale: ["10.0.0.9:8080"], missing: ["10.0.0.2:8080"] },
    },
  ])
})

test("addresses of another family belong to another address of the Service", () => {
  expect(compare("shop/web-1", proxy("fd00:96::1", ["fd00::1"]), SERVED)).toMatchObject([
    { known: 1, served: 1, stale: [], missing: [] },
  ])
})

test("all endpoints of a Service that is gone are stale", () => {
  expect(compare("shop/web-1", proxy("10.96.0.1", ["10.0.0.1"]), [])).toMatchObject([
    { served: 0, stale: ["10.0.0.1:8080"] },
  ])
})
