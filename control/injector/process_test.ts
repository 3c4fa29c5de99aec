// What pods are given: read anew for each, so that it follows the installation.
import { afterEach, beforeEach, expect, test } from "bun:test"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { makeAuthority } from "../../deploy/identity/mod.ts"
import { defaultsOf } from "./process.ts"
import { injectorSettings } from "./settings.ts"

let folder = ""
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "conduit-injector-"))
})
afterEach(() => rmSync(folder, { recursive: true }))

function defaults(env: Record<string, string> = {}) {
  const settings = injectorSettings({ CONDUIT_TRUST_ANCHORS_FILE: join(folder, "anchors"), ...env }, "1.2.3")
  if (typeof settings === "string") throw new Error(settings)
  return defaultsOf(settings, "1.2.3")
}

test("the installation's names and images are what inject is called with", () => {
  const env = { CONDUIT_NAMESPACE: "mesh", CONDUIT_CLUSTER_DOMAIN: "c.test", CONDUIT_TRUST_DOMAIN: "t.test" }
  expect(defaults({ ...env, CONDUIT_PROXY_IMAGE_REGISTRY: "r" })).toEqual({
    conduitNamespace: "mesh",
    clusterDomain: "c.test",
    trustDomain: "t.test",
    version: "1.2.3",
    cni: false,
    images: { registry: "r", tag: "1.2.3", pullPolicy: "IfNotPresent" },
  })
})

test("trust anchors are those that are mounted at the moment, and none before there are some", async () => {
  expect(defaults().trustAnchors).toBeUndefined()
  const names = { trustDomain: "cluster.local", controlNamespace: "conduit", nowMs: Date.now() }
  for (let n = 0; n < 2; n++) {
    const { anchor } = await makeAuthority(names)
    writeFileSync(join(folder, "anchors"), anchor)
    expect(defaults().trustAnchors).toBe(anchor)
  }
})

test("anchors that cannot be used are an error, not a proxy without identity", () => {
  writeFileSync(join(folder, "anchors"), "nothing")
  expect(() => defaults()).toThrow(
    /the trust anchors in .*anchors cannot be used: it holds no PEM certificate/,
  )
})
