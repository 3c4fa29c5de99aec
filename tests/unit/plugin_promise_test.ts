// That the gate of the plugin API's promise shuts: it needs no history of git, so that it does in any clone.
import { afterAll, expect, test } from "bun:test"
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { tempFolder } from "../lab/temp_folder.ts"
import { brokenPromises } from "../runner/promise.ts"

const PROTOS = join(import.meta.dir, "../../protos")

const made: string[] = []

afterAll(() => {
  for (const folder of made) rmSync(folder, { recursive: true })
})

/** The protos with a change to the plugin API. */
function changed(file: string, from: string, to: string): string {
  const temporary = tempFolder("promise")
  made.push(temporary)
  const folder = join(temporary, "protos")
  cpSync(join(PROTOS, "conduit/plugin"), join(folder, "conduit/plugin"), { recursive: true })
  const path = join(folder, "conduit/plugin/v1", file)
  const text = readFileSync(path, "utf8")
  expect(text).toContain(from)
  writeFileSync(path, text.replace(from, to))
  return folder
}

test("a field of the plugin API that goes, or gets another number, breaks the promise", () => {
  expect(brokenPromises(changed("plugin.proto", "  string trust_domain = 4;\n", ""))).toContain(
    "trust_domain",
  )
  expect(brokenPromises(changed("policy.proto", "uint32 cache_ms = 3", "uint32 cache_ms = 9"))).toContain(
    "cache_ms",
  )
})

test("a field, a method and a hook that are added break nothing", () => {
  const field = "  string trust_domain = 4;\n"
  expect(brokenPromises(changed("plugin.proto", field, `${field}  string cluster = 99;\n`))).toBe("")
  const method = "rpc Describe(DescribeRequest) returns (DescribeResponse);"
  expect(
    brokenPromises(
      changed("plugin.proto", method, `${method}\n  rpc Ping(DescribeRequest) returns (DescribeResponse);`),
    ),
  ).toBe("")
  expect(brokenPromises(changed("plugin.proto", "HOOK_API = 8;", "HOOK_API = 8;\n  HOOK_LATER = 99;"))).toBe(
    "",
  )
})
