// Profiles: routes that the Gateway API takes, from descriptions and from names of learned routes; and what is said of bad files.
import { expect, test } from "bun:test"
import { create, toBinary } from "@bufbuild/protobuf"
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt"
import { readRoute } from "../../deploy/gateway/mod.ts"
import { operationsOf } from "./live.ts"
import { readOpenApi } from "./open_api.ts"
import { readProtobuf } from "./protobuf.ts"
import { grpcRoutes, httpRoutes, MAX_RULES_PER_ROUTE, pathMatch } from "./routes_yaml.ts"

const WEB = { namespace: "shop", name: "web", port: 80 }
const LAX = { strict: false }

const API = `openapi: 3.0.3
servers: [{ url: "https://api.example.com/v1/" }]
paths:
  /users/{id}:
    parameters: []
    get: { operationId: getUserById }
    delete: {}
  /files/a.b:
    post: { operationId: getUserById }
`

interface Route {
  metadata: { name: string }
  spec: { rules: { name: string; matches?: unknown[] }[] }
}

test("an OpenAPI document gives a rule per operation, its parameters open, and a last one for the rest", () => {
  const [route] = httpRoutes(readOpenApi("api.yaml", API), WEB, LAX) as Route[]
  expect(route).toMatchObject({
    kind: "HTTPRoute",
    metadata: { name: "web", namespace: "shop" },
    spec: { parentRefs: [{ group: "", kind: "Service", name: "web", port: 80 }] },
  })
  expect(route?.spec.rules).toMatchObject([
    {
      name: "get-user-by-id",
      matches: [{ path: { type: "RegularExpression", value: "/v1/users/[^/]+" }, method: "GET" }],
      backendRefs: [{ name: "web", port: 80 }],
    },
    { name: "delete-v1-users-id", matches: [{ method: "DELETE" }] },
    {
      name: "get-user-by-id-2",
      matches: [{ path: { type: "Exact", value: "/v1/files/a.b" }, method: "POST" }],
    },
    { name: "other", matches: [{ path: { type: "PathPrefix", value: "/" } }] },
  ])
  expect(httpRoutes(readOpenApi("api.yaml", API), WEB, { strict: true })).toMatchObject([
    { spec: { rules: [{}, {}, {}] } },
  ])
})

test("signs of a path that expressions give a meaning to keep their own", () => {
  expect(pathMatch("/a.b/{id}+/{rest}").value).toBe("/a\\.b/[^/]+\\+/.+")
})

test("what does not fit one route is split, with names that each stand once", () => {
  const operations = Array.from({ length: 40 }, (_, i) => ({
    name: `op${i % 20}`,
    method: "GET",
    path: `/p${i}`,
  }))
  const objects = httpRoutes(operations, WEB, LAX) as Route[]
  expect(objects.map(({ metadata }) => metadata.name)).toEqual(["web", "web-2", "web-3"])
  expect(objects.map(({ spec }) => spec.rules.length)).toEqual([16, 16, 9])
  const names = objects.flatMap(({ spec }) => spec.rules.map(rule => rule.name))
  expect(new Set(names).size).toBe(41)
  expect(MAX_RULES_PER_ROUTE).toBe(16)
})

test("the mesh itself understands every route without a complaint", () => {
  const grpc = [{ service: "shop.v1.Cart", method: "Add" }]
  for (const object of [...httpRoutes(readOpenApi("api.yaml", API), WEB, LAX), ...grpcRoutes(grpc, WEB, LAX)])
    expect(readRoute(object as Parameters<typeof readRoute>[0])).toMatchObject({ complaints: [] })
})

const PROTO = `syntax = "proto3";
package shop.v1;
import "google/protobuf/empty.proto";
message Item {}
service Cart {
  rpc AddItem(Item) returns (google.protobuf.Empty);
  rpc Watch(Item) returns (stream Item) { option idempotency_level = NO_SIDE_EFFECTS; }
}
`

test("protobuf source and a descriptor set of it give the same GRPCRoute", async () => {
  const set = create(FileDescriptorSetSchema, {
    file: [
      { package: "shop.v1", service: [{ name: "Cart", method: [{ name: "AddItem" }, { name: "Watch" }] }] },
    ],
  })
  const fromSource = await readProtobuf("cart.proto", new TextEncoder().encode(PROTO))
  expect(await readProtobuf("cart.binpb", toBinary(FileDescriptorSetSchema, set))).toEqual(fromSource)
  expect(grpcRoutes(fromSource, WEB, LAX)).toMatchObject([
    {
      kind: "GRPCRoute",
      spec: {
        rules: [
          { name: "add-item", matches: [{ method: { service: "shop.v1.Cart", method: "AddItem" } }] },
          { name: "watch" },
          { name: "other" },
        ],
      },
    },
  ])
})

test("names of learned routes are operations, gRPC methods beside HTTP are POSTs, the rest is named", () => {
  const { http, grpc, rest } = operationsOf(["GET /users/{id}", "/shop.Cart/Add", "other", "checkout"])
  expect(http.map(({ method, path }) => `${method} ${path}`)).toEqual([
    "GET /users/{id}",
    "POST /shop.Cart/Add",
  ])
  expect({ grpc, rest }).toEqual({ grpc: [], rest: ["other", "checkout"] })
  expect(operationsOf(["/shop.Cart/Add"]).grpc).toEqual([{ service: "shop.Cart", method: "Add" }])
})

test("a bad file is told by place and what was expected there", async () => {
  for (const [text, sentence] of [
    ["a: [", "a.yaml, line 1: this is neither YAML nor JSON"],
    ["[]", "an OpenAPI document is a mapping"],
    ["info: {}", "there is no `openapi` field; expected `openapi: 3.x`"],
    ["openapi: 4.0.0", 'version "4.0.0" is not known'],
    ["openapi: 3.1.0\ninfo: {}", "`paths` is missing"],
    ["openapi: 3.1.0\npaths:\n  users: {}", 'a.yaml, line 3: path "users" must begin with "/"'],
    [
      "openapi: 3.1.0\npaths:\n  /a/{id: { get: {} }",
      'line 3: path "/a/{id" has a brace without its counterpart',
    ],
    ["openapi: 3.1.0\npaths:\n  /a: 1", 'path "/a" has no operations'],
    ["openapi: 3.1.0\npaths:\n  /a: {}", "no operation is described"],
  ] as const)
    expect(() => readOpenApi("a.yaml", text)).toThrow(sentence)
  const bad = PROTO.replace("service Cart {", "service Cart [")
  const read = (name: string, text: string) => readProtobuf(name, new TextEncoder().encode(text))
  expect(read("cart.proto", bad)).rejects.toThrow("profile: cart.proto, line 5: this is no protobuf source")
  expect(read("cart.proto", 'syntax = "proto3";')).rejects.toThrow("declares no service with methods")
  expect(read("cart.txt", "\xff\xff\xff")).rejects.toThrow(
    "neither protobuf source (NAME.proto) nor a descriptor set",
  )
})
