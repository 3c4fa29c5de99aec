// What `conduit dev up` takes for trust anchors and issuer, and how it says what is wrong with them.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type AuthorityPem, MAX_PEM_BYTES, makeAuthority } from "../identity/mod.ts"
import { type IdentityFiles, readGivenIdentity } from "./given_identity.ts"

const ANCHORS = "identity-trust-anchors-file"
const ISSUER = "identity-issuer-certificate-file"
const KEY = "identity-issuer-key-file"
const NOW_MS = Date.now()
const DAY_MS = 86_400_000

let folder = ""
let own: AuthorityPem
let other: AuthorityPem

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "conduit-given-identity-"))
  const names = { trustDomain: "cluster.local", controlNamespace: "conduit", nowMs: NOW_MS }
  own = await makeAuthority(names)
  other = await makeAuthority({ ...names, issuerLifetimeMs: DAY_MS })
})
afterAll(() => rmSync(folder, { recursive: true }))

/** Writes what is given as text to files of its own. */
function files(texts: Partial<IdentityFiles>): Partial<IdentityFiles> {
  return Object.fromEntries(
    Object.entries(texts).map(([flag, text]) => {
      const path = join(folder, crypto.randomUUID())
      writeFileSync(path, text)
      return [flag, path]
    }),
  )
}

function whole(change: Partial<IdentityFiles> = {}): Partial<IdentityFiles> {
  return files({ [ANCHORS]: own.anchor, [ISSUER]: own.issuer, [KEY]: own.issuerKey, ...change })
}

/** What is said of files that are not taken. */
function refusal(given: Partial<IdentityFiles>, nowMs = NOW_MS): string {
  try {
    readGivenIdentity(given, nowMs)
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
  throw new Error("it was taken")
}

test("anchors, issuer and key that belong together are taken as they are, and none at all too", () => {
  expect(readGivenIdentity(whole(), NOW_MS)).toEqual(own)
  const anchors = other.anchor + own.anchor
  expect(readGivenIdentity(whole({ [ANCHORS]: anchors }), NOW_MS)?.anchor).toBe(anchors)
  expect(readGivenIdentity({}, NOW_MS)).toBeUndefined()
})

test("one or two of the three are refused with those that are missing", () => {
  const { [ANCHORS]: anchors, [ISSUER]: issuer, [KEY]: key } = whole() as IdentityFiles
  expect(refusal({ [ANCHORS]: anchors })).toBe(
    `--${ISSUER} and --${KEY} must stand beside --${ANCHORS}: anchors, issuer and key belong together`,
  )
  expect(refusal({ [ISSUER]: issuer, [KEY]: key })).toContain(
    `--${ANCHORS} must stand beside --${ISSUER} and --${KEY}`,
  )
})

test("what cannot be used is refused with its flag and the reason, and nothing of the files is told", () => {
  const corrupt = own.issuer.replace(/[A-Za-z0-9]{40}\n/, `${"A".repeat(40)}\n`)
  const cases: readonly (readonly [Partial<IdentityFiles>, string, string])[] = [
    [{ [ANCHORS]: "no certificate" }, ANCHORS, "holds no PEM certificate"],
    [{ [ANCHORS]: "" }, ANCHORS, "holds no PEM certificate"],
    [{ [ANCHORS]: "x".repeat(MAX_PEM_BYTES + 1) }, ANCHORS, `more than ${MAX_PEM_BYTES} bytes`],
    [{ [ISSUER]: own.issuer.slice(0, 200) }, ISSUER, "holds no PEM certificate"],
    [{ [ISSUER]: corrupt }, ISSUER, "holds something that is no certificate (number 1)"],
    [{ [KEY]: "no key" }, KEY, "holds no private key in PEM"],
    [{ [KEY]: own.issuer }, KEY, "holds no private key in PEM"],
    [{ [KEY]: other.issuerKey }, KEY, `does not belong to the certificate in --${ISSUER}`],
    [{ [ANCHORS]: other.anchor }, ISSUER, "chains to none of the"],
  ]
  for (const [change, flag, reason] of cases) {
    const said = refusal(whole(change))
    expect(said).toContain(`--${flag}`)
    expect(said).toContain(reason)
    expect(said).not.toContain("tls.")
    for (const secret of own.issuerKey.split("\n").slice(1, -2)) expect(said).not.toContain(secret)
  }
})

test("an issuer or anchors that have ended, or are to begin, are refused", () => {
  const given = whole({ [ANCHORS]: other.anchor, [ISSUER]: other.issuer, [KEY]: other.issuerKey })
  expect(readGivenIdentity(given, NOW_MS)).toEqual(other)
  expect(refusal(given, NOW_MS + 2 * DAY_MS)).toMatch(/^--identity-issuer-certificate-file.* expired on /)
  expect(refusal(given, NOW_MS - 2 * DAY_MS)).toContain("is not valid before")
  expect(refusal(given, NOW_MS + 11 * 365 * DAY_MS)).toContain("every certificate has expired")
})

test("a file that cannot be read is named with its path", () => {
  const missing = join(folder, "missing")
  expect(refusal({ ...whole(), [KEY]: missing })).toBe(
    `--${KEY} ${missing} cannot be read: it does not exist`,
  )
  const directory = join(folder, "directory")
  mkdirSync(directory)
  expect(refusal({ ...whole(), [ISSUER]: directory })).toContain("cannot be read: EISDIR")
})
