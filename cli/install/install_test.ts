// `conduit install` as a process: without a cluster, with what it is given, and what it makes where it is given nothing.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { makeAuthority } from "../../deploy/identity/mod.ts"

const MAIN = fileURLToPath(new URL("../main.ts", import.meta.url))
const FILES = [
  "--identity-trust-anchors-file=ca.crt",
  "--identity-issuer-certificate-file=issuer.crt",
  "--identity-issuer-key-file=issuer.key",
]
let folder = ""

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "conduit-install-"))
  const names = { trustDomain: "cluster.local", controlNamespace: "conduit" }
  const { anchor, issuer, issuerKey } = await makeAuthority({ ...names, nowMs: Date.now() })
  const other = await makeAuthority({ ...names, nowMs: Date.now() })
  writeFileSync(join(folder, "ca.crt"), anchor)
  writeFileSync(join(folder, "issuer.crt"), issuer)
  writeFileSync(join(folder, "issuer.key"), issuerKey)
  writeFileSync(join(folder, "other.crt"), other.anchor)
})

afterAll(() => rmSync(folder, { recursive: true }))

async function install(...words: string[]) {
  const child = Bun.spawn([process.execPath, MAIN, "install", ...words], {
    cwd: folder,
    env: { PATH: process.env.PATH ?? "", HOME: folder, CONDUIT_DEV_USERNS: "65533" },
    stdout: "pipe",
    stderr: "pipe",
  })
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  return { out, err, code }
}

test("what is given is printed, the same bytes each time", async () => {
  const [one, two] = await Promise.all([install(...FILES), install(...FILES, "--ignore-cluster")])
  expect({ err: one.err, code: one.code }).toEqual({ err: "", code: 0 })
  expect(two.out).toBe(one.out)
})

test("where nothing is given there are new trust anchors each time", async () => {
  const [one, two] = await Promise.all([install(), install()])
  expect([one.code, two.code]).toEqual([0, 0])
  expect(one.out).toContain("tls.key:")
  expect(two.out).not.toBe(one.out)
})

test("what does not belong together is wrong usage, in a sentence, and nothing is printed", async () => {
  const foreign = await install(...FILES.slice(1), "--identity-trust-anchors-file=other.crt")
  expect({ out: foreign.out, code: foreign.code }).toEqual({ out: "", code: 2 })
  expect(foreign.err).toContain("chains to none of the trust anchors")
  const half = await install("--identity-trust-anchors-file=ca.crt")
  expect({ out: half.out, code: half.code }).toEqual({ out: "", code: 2 })
  expect(half.err).toContain("go together")
})
