// Trust anchors as people give them, made by the real openssl.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { trustAnchors } from "./trust_anchors.ts"

const NOW_MS = Date.now()
const YEARS_MS = 366 * 86_400_000 * 11
let folder = ""

function certificate(name: string, ca: boolean): string {
  const path = join(folder, name)
  const constraint = `basicConstraints=critical,CA:${ca ? "TRUE" : "FALSE"}`
  const made = Bun.spawnSync([
    ..."openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650".split(" "),
    ...["-subj", `/CN=${name}`, "-addext", constraint, "-keyout", `${path}.key`, "-out", path],
  ])
  expect(made.exitCode).toBe(0)
  return readFileSync(path, "utf8")
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "conduit-anchors-"))
})

afterAll(() => rmSync(folder, { recursive: true }))

test("certificates are taken, what stands between them is not", () => {
  const one = certificate("one", true)
  const two = certificate("two", true)
  expect(trustAnchors(`# mine\r\n${one.replaceAll("\n", "\r\n")}\n\nand\n${two}`, NOW_MS)).toBe(one + two)
})

test("what is no trust anchor is refused, a private key before all", () => {
  const anchor = certificate("anchor", true)
  const key = readFileSync(join(folder, "anchor.key"), "utf8")
  expect(() => trustAnchors(anchor + key, NOW_MS)).toThrow("a private key, which would end up in every pod")
  expect(() => trustAnchors("hello", NOW_MS)).toThrow("no PEM certificate")
  expect(() => trustAnchors(anchor + certificate("leaf", false), NOW_MS)).toThrow(
    "certificate 2 is not of a certificate authority",
  )
  expect(() => trustAnchors(anchor, NOW_MS + YEARS_MS)).toThrow("certificate 1 expired on")
  expect(() => trustAnchors(anchor.replace(/\n[A-Za-z0-9+/]{10}/, "\n!!!!!!!!!!"), NOW_MS)).toThrow(
    "cannot be read",
  )
  expect(() => trustAnchors(anchor.repeat(200), NOW_MS)).toThrow("larger than 64 KiB")
})
