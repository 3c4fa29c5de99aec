// The OpenAPI document: valid, whole, and served where the calls are.
import { expect, test } from "bun:test"
import { Validator } from "@seriousme/openapi-schema-validator"
import { ApiService, TapService } from "../../protos/mod.ts"
import { OPENAPI_JSON } from "../../protos/openapi/mod.ts"
import { serveApi } from "../api/mod.ts"
import { ClusterStore } from "../cluster/mod.ts"
import { localQueries, TelemetryStore } from "../telemetry/mod.ts"

interface Document {
  readonly paths: Record<string, { get?: object; post?: { description: string } }>
  readonly components: { readonly schemas: Record<string, object> }
}

const document = JSON.parse(OPENAPI_JSON) as Document

test("it is valid OpenAPI 3.1", async () => {
  const validator = new Validator()
  expect(await validator.validate(JSON.parse(OPENAPI_JSON))).toEqual({ valid: true })
  expect(validator.version).toBe("3.1")
})

test("every call is in it, described, and every schema that is referred to", () => {
  expect(Object.keys(document.paths)).toEqual(
    [ApiService, TapService].flatMap(({ typeName, methods }) =>
      methods.map(({ name }) => `/${typeName}/${name}`),
    ),
  )
  for (const { post } of Object.values(document.paths)) expect(post?.description).not.toBe("")
  const refs = [...OPENAPI_JSON.matchAll(/"#\/components\/schemas\/(\w+)"/g)].map(match => match[1] ?? "")
  expect(refs.filter(name => !(name in document.components.schemas))).toEqual([])
})

test("the API's port serves it, and says what it serves elsewhere", async () => {
  const queries = localQueries(new TelemetryStore(0), () => 0)
  const server = await serveApi(new ClusterStore(), queries, { host: "127.0.0.1", port: 0, version: "1" })
  try {
    const got = await fetch(`http://127.0.0.1:${server.port}/openapi.json`)
    expect(got.headers.get("content-type")).toBe("application/json")
    expect(await got.text()).toBe(OPENAPI_JSON)
    const wrong = await fetch(`http://127.0.0.1:${server.port}/stat`)
    expect(wrong.status).toBe(404)
    expect(await wrong.json()).toMatchObject({
      code: "unimplemented",
      message: expect.stringContaining("/openapi.json"),
    })
  } finally {
    server.close()
  }
})
