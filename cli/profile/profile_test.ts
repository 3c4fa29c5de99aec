import { expect, test } from "bun:test"
import { create, toBinary } from "@bufbuild/protobuf"
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt"
import fc from "fast-check"
import { parseAllDocuments } from "yaml"
import { readRoute } from "../../deploy/gateway/mod.ts"
import { Failure } from "../failure.ts"
import { readOpenApi } from "./open_api.ts"
import type { Operation } from "./operation.ts"
import { readProtobuf } from "./protobuf.ts"
import { type Route, RULES_PER_ROUTE, routesOf, routesYaml } from "./route_yaml.ts"

const WEB = { namespace: "shop", service: "web", port: 80 }

interface Spec {
  readonly rules: readonly { readonly name: string; readonly matches?: readonly unknown[] }[]
}

const rulesOf = (route: Route | undefined) => (route?.spec as Spec | undefined)?.rules ?? []

function complaint(read: () => unknown): string {
  try {
    read()
  } catch (error) {
    if (error instanceof Failure) return error.message
    throw error
  }
  return "none"
}

test("operations of OpenAPI bear their ids and stand below the server's path", () => {
  const text = `
openapi: 3.1.0
servers: [{ url: "https://api.example.com/v1/" }]
paths:
  /users:
    parameters: []
    get: { operationId: listUsers }
    post: {}
  /users/{id}: { delete: { operationId: removeUser } }
  x-vendor: { get: {} }
`
  expect(readOpenApi("api.yaml", text)).toEqual([
    { kind: "http", method: "GET", path: "/v1/users", name: "listUsers" },
    { kind: "http", method: "POST", path: "/v1/users", name: "" },
    { kind: "http", method: "DELETE", path: "/v1/users/{id}", name: "removeUser" },
  ])
  const swagger = { swagger: "2.0", basePath: "/old", paths: { "/a": { get: {} } } }
  expect(readOpenApi("api.json", JSON.stringify(swagger))).toMatchObject([{ path: "/old/a" }])
})

test.each([
  ["paths: {", /^api\.yaml: .*line 1/],
  ["- a", 'api.yaml:1: an OpenAPI document is a mapping with "openapi" and "paths"'],
  ["paths: {}", "api.yaml: it has no field openapi; OpenAPI 3 and Swagger 2.0 can be read"],
  ["openapi: 4.0.0", "api.yaml: it says version 4.0.0; OpenAPI 3 and Swagger 2.0 can be read"],
  ["openapi: 3.1.0\npaths: []", "api.yaml:2: paths must be a mapping from paths to what can be asked there"],
  ["openapi: 3.1.0\npaths:\n  users: {}", 'api.yaml:3: the path "users" must begin with /'],
  ["openapi: 3.1.0\npaths:\n  /a:\n    get: yes", 'api.yaml:4: get of "/a" must be a mapping'],
  ["openapi: 3.1.0\npaths:\n  /a: { $ref: b.yaml }", /^api\.yaml:3: "\/a" refers to another document/],
])("what is wrong with %j is said with file and line", (text, sentence) => {
  expect(complaint(() => readOpenApi("api.yaml", text))).toMatch(sentence)
})

test("methods of protobuf are read from a source, whose imports need not be there, and from descriptors", async () => {
  const source = `syntax = "proto3"; package shop.v1; import "nowhere.proto";
    service Cart { rpc Add (Item) returns (nowhere.Empty); rpc Watch (stream Item) returns (stream Item); }
    message Item { string id = 1; }`
  const expected = [
    { kind: "grpc", service: "shop.v1.Cart", method: "Add" },
    { kind: "grpc", service: "shop.v1.Cart", method: "Watch" },
  ] as const
  expect(await readProtobuf("cart.proto", new TextEncoder().encode(source))).toEqual([...expected])
  const file = {
    package: "shop.v1",
    service: [{ name: "Cart", method: [{ name: "Add" }, { name: "Watch" }] }],
  }
  const descriptors = toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file: [file] }))
  expect(await readProtobuf("cart.binpb", descriptors)).toEqual([...expected])
  const broken = readProtobuf("cart.proto", new TextEncoder().encode('syntax = "proto3";\nservice {'))
  await expect(broken).rejects.toThrow("cart.proto: illegal service name '{' (line 2)")
  const neither = readProtobuf("cart.bin", Uint8Array.of(1, 2, 3))
  await expect(neither).rejects.toThrow('as "buf build -o FILE" writes it')
})

test("forty operations are three routes of at most sixteen rules, and what else is asked has a rule too", () => {
  const operations = Array.from({ length: 40 }, (_, at): Operation => {
    return { kind: "http", method: "GET", path: `/${at}`, name: "" }
  })
  const routes = routesOf(WEB, operations)
  expect(routes.map(route => rulesOf(route).length)).toEqual([RULES_PER_ROUTE, RULES_PER_ROUTE, 9])
  expect(routes.map(({ metadata }) => metadata)).toEqual([
    { name: "web", namespace: "shop" },
    { name: "web-2", namespace: "shop" },
    { name: "web-3", namespace: "shop" },
  ])
  expect(rulesOf(routes[2]).at(-1)).toMatchObject({
    name: "other",
    matches: [{ path: { type: "PathPrefix", value: "/" } }],
  })
})

test("the same operation twice is one rule, and no two rules have one name", () => {
  const http = (path: string, name = ""): Operation => ({ kind: "http", method: "GET", path, name })
  const routes = routesOf(WEB, [
    http("/a/{x}"),
    http("/a/{y}"),
    http("/a-b"),
    http("/a/b"),
    http("/ü", "other"),
  ])
  expect(rulesOf(routes[0]).map(({ name }) => name)).toEqual([
    "get-a-x",
    "get-a-b",
    "get-a-b-2",
    "other-2",
    "other",
  ])
})

test("whatever the operations, the routes are ones that the control plane takes whole", () => {
  const segment = fc.oneof(fc.stringMatching(/^[a-zA-Z0-9._~$+()*-]{1,12}$/), fc.constant("{id}"))
  const http = fc.record({
    kind: fc.constant("http" as const),
    method: fc.constantFrom("GET", "POST", "DELETE"),
    path: fc.array(segment, { minLength: 1, maxLength: 5 }).map(parts => `/${parts.join("/")}`),
    name: fc.string({ maxLength: 20 }),
  })
  const grpc = fc.record({
    kind: fc.constant("grpc" as const),
    service: fc.constantFrom("shop.v1.Cart", "Health"),
    method: fc.stringMatching(/^[A-Z][a-zA-Z0-9]{0,9}$/),
  })
  fc.assert(
    fc.property(fc.array(fc.oneof(http, grpc), { maxLength: 40 }), operations => {
      const routes = routesOf(WEB, operations)
      const texts = parseAllDocuments(routesYaml(routes)).map(document => document.toJS())
      expect(texts).toEqual(routes)
      for (const route of routes)
        expect(readRoute(route)).toMatchObject({ route: { name: expect.any(String) }, complaints: [] })
    }),
  )
})
