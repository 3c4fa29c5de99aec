// Helm's answer for the chart equals conduit's for the same values: both come from one description.
import { beforeAll, expect, test } from "bun:test"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseAllDocuments } from "yaml"
import { type AuthorityPem, makeAuthority } from "../../deploy/identity/mod.ts"
import { ensureTool } from "./go_tools.ts"

const ROOT = join(import.meta.dir, "../..")
let helm = ""
let authority: AuthorityPem

beforeAll(async () => {
  helm = await ensureTool("helm")
  const names = { trustDomain: "example.test", controlNamespace: "mesh" }
  authority = await makeAuthority({ ...names, nowMs: Date.now() })
}, 30 * 60_000)

interface Named {
  readonly kind: string
  readonly metadata: { readonly name: string }
}

async function objectsOf(command: readonly string[]): Promise<Named[]> {
  const child = Bun.spawn([...command], { cwd: ROOT, stdout: "pipe", stderr: "pipe" })
  const [text, said, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  if (code !== 0) throw new Error(said)
  const objects = parseAllDocuments(text).map(document => ("toJS" in document ? document.toJS() : null))
  const key = ({ kind, metadata }: Named): string => `${kind}/${metadata.name}`
  return objects.filter(object => object !== null).sort((a, b) => (key(a) < key(b) ? -1 : 1))
}

test.each([
  ["defaults of the chart", { installNamespace: false }],
  ["defaults of conduit", { installNamespace: true }],
  ["another's issuer", { installNamespace: true, identityExternalIssuer: true }],
  ["no injector", { ha: true, installNamespace: true, injector: { enabled: false } }],
  [
    "everything set",
    {
      installNamespace: true,
      ha: true,
      networkPolicies: true,
      cni: { enabled: true, binDir: "/usr/libexec/cni", confDir: "/etc/cni/x", netnsDir: "/run/netns" },
      clusterDomain: "example.test",
      identityTrustDomain: "example.test",
      identityIssuanceLifetime: "12h",
      image: { registry: "registry.example:5000/mesh", version: "9.9", pullPolicy: "Never" },
      imagePullSecrets: [{ name: "pull" }],
      policy: { defaultInboundPolicy: "deny", clusterNetworks: "10.0.0.0/8" },
      injector: { failurePolicy: "Fail", namespaceLabels: { "example.test/mesh": "yes" } },
      logFormat: "json",
      tolerations: [{ key: "only", operator: "Exists", effect: "NoSchedule" }],
      nodeSelector: { "example.test/pool": "mesh" },
      priorityClassName: "system-cluster-critical",
      podAnnotations: { "example.test/team": "yes", odd: "a: b # c" },
    },
  ],
])("helm template equals conduit install: %s", async (_, values) => {
  const folder = mkdtempSync(join(tmpdir(), "conduit-chart-"))
  try {
    const file = join(folder, "values.yaml")
    const { anchor, issuer, issuerKey } = authority
    const external = "identityExternalIssuer" in values
    const identity = external ? {} : { identity: { issuer: { crtPEM: issuer, keyPEM: issuerKey } } }
    writeFileSync(file, JSON.stringify({ ...values, ...identity, identityTrustAnchorsPEM: anchor }))
    const ours = await objectsOf([process.execPath, "cli/main.ts", "install", "-c", "mesh", "-f", file])
    const chart = ["template", "x", "deploy/install/chart", "--include-crds", "-n", "mesh", "-f", file]
    const theirs = await objectsOf([helm, ...chart, "--kube-version", "1.34.0"])
    expect(ours.length).toBeGreaterThan(10)
    expect(theirs).toEqual(ours)
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test("without trust anchors the chart says what to give, as Helm would make new ones with each upgrade", async () => {
  const chart = [helm, "template", "x", "deploy/install/chart", "-n", "mesh", "--kube-version", "1.34.0"]
  expect(objectsOf(chart)).rejects.toThrow(
    "identityTrustAnchorsPEM is missing: give the mesh's trust anchors",
  )
})
