// `conduit/client` holds whatever the public API has, and gives away no token.
import { expect, test } from "bun:test"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { createClient } from "../../protos/client/mod.ts"

const ROOT = join(import.meta.dir, "../..")

test("it exports the messages of every file of the API", () => {
  const files = readdirSync(join(ROOT, "protos/conduit/api/v1")).map(file => file.replace(/\.proto$/, ""))
  const exported = readFileSync(join(ROOT, "protos/api_v1.ts"), "utf8").matchAll(/api\/v1\/(\w+)_pb\.ts/g)
  expect([...exported].map(([, file = ""]) => file).sort()).toEqual(files.sort())
})

test("a token goes to another machine over TLS only", () => {
  const token = "secret"
  expect(() => createClient({ url: "http://10.0.0.1:8085", token })).toThrow(
    "others could read it; use https",
  )
  expect(() => createClient({ url: "http://127.0.0.1.evil.example", token })).toThrow("use https")
  for (const url of ["https://conduit-api.conduit:8085", "http://127.0.0.1:8085", "http://[::1]:8085"])
    expect(createClient({ url, token })).toBeDefined()
})
