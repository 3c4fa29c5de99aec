// Tokens of pods, on a clock that the test drives: the same one for as long as a kubelet would keep it, then another.
import { afterEach, beforeEach, expect, test } from "bun:test"
import { createPublicKey, verify } from "node:crypto"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { TokenIssuer } from "../identity/mod.ts"
import type { KubeObject } from "./objects/kube_object.ts"
import { prepareVolumes, refreshVolumes } from "./pod/volumes.ts"
import { PodSources, TOKEN_RENEW_AT } from "./pod_sources.ts"

const AUDIENCE = "identity.conduit.io"
const LIFETIME_S = 3_600

let nowMs = 0
let issuer: TokenIssuer
let sources: PodSources
let folder = ""
beforeEach(() => {
  nowMs = Date.parse("2030-01-01T00:00:00Z")
  issuer = new TokenIssuer("https://lab", () => nowMs)
  folder = mkdtempSync(join(tmpdir(), "conduit-pod-sources-"))
  sources = new PodSources(new Map(), folder, issuer, () => nowMs)
})
afterEach(() => rmSync(folder, { recursive: true }))

function pod(name: string, serviceAccountName?: string): KubeObject {
  const metadata = { name, namespace: "shop", uid: `uid-${name}` }
  return { apiVersion: "v1", kind: "Pod", metadata, spec: { serviceAccountName } }
}

/** Claims of a token that the issuer's published key verifies. */
function claims(token: string): Record<string, unknown> {
  const [head = "", body = "", signature = ""] = token.split(".")
  const { keys } = JSON.parse(issuer.jwks) as { keys: Record<string, string>[] }
  const key = createPublicKey({ key: keys[0] ?? {}, format: "jwk" })
  const bytes = Buffer.from(signature, "base64url")
  const proven = verify("sha256", Buffer.from(`${head}.${body}`), { key, dsaEncoding: "ieee-p1363" }, bytes)
  if (!proven) throw new Error("not signed by the issuer")
  return JSON.parse(Buffer.from(body, "base64url").toString())
}

test("a token says whose it is, for whom, and until when", () => {
  expect(claims(sources.of(pod("web-1", "web")).serviceAccountToken(AUDIENCE, LIFETIME_S))).toMatchObject({
    iss: "https://lab",
    aud: [AUDIENCE],
    sub: "system:serviceaccount:shop:web",
    iat: nowMs / 1000,
    exp: nowMs / 1000 + LIFETIME_S,
    "kubernetes.io": { namespace: "shop", pod: { name: "web-1", uid: "uid-web-1" } },
  })
  expect(claims(sources.of(pod("bare")).serviceAccountToken(AUDIENCE, LIFETIME_S)).sub).toBe(
    "system:serviceaccount:shop:default",
  )
})

test("a pod keeps its token for 80 % of its life, and has another for each audience", () => {
  const [web, other] = [pod("web-1", "web"), pod("web-2", "web")]
  const token = (of: KubeObject, audience = AUDIENCE) =>
    sources.of(of).serviceAccountToken(audience, LIFETIME_S)
  const first = token(web)
  expect(token(web, "api")).not.toBe(first)
  expect(token(other)).not.toBe(first)
  nowMs += LIFETIME_S * 1_000 * TOKEN_RENEW_AT - 1
  expect(token(web)).toBe(first)
  nowMs += 1
  const second = token(web)
  expect(second).not.toBe(first)
  // It is replaced while it still holds: what has read it a moment ago is not refused.
  expect(Number(claims(first).exp)).toBeGreaterThan(nowMs / 1000)
  expect(claims(second).exp).toBe(nowMs / 1000 + LIFETIME_S)
})

test("the file that a container sees is replaced with its token", () => {
  const web = pod("web-1", "web")
  const token = { audience: AUDIENCE, expirationSeconds: LIFETIME_S, path: "token" }
  const volumes = [{ name: "identity", projected: { sources: [{ serviceAccountToken: token }] } }]
  const spec = { containers: [], volumes }
  const file = join(prepareVolumes(spec, folder, sources.of(web)).get("identity") ?? "", "token")
  const first = readFileSync(file, "utf8")
  refreshVolumes(spec, folder, sources.of(web))
  expect(readFileSync(file, "utf8")).toBe(first)
  nowMs += LIFETIME_S * 1_000 * TOKEN_RENEW_AT
  refreshVolumes(spec, folder, sources.of(web))
  expect(readFileSync(file, "utf8")).not.toBe(first)
})
