// `conduit check` against a real API server: before an installation, and after its objects were applied, where no node runs
// the control plane's pods.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { CheckLine, CheckReport } from "../../cli/check/print.ts"
import { makeAuthority } from "../../deploy/identity/mod.ts"
import { Cluster } from "./mod.ts"

const ROOT = join(import.meta.dir, "../..")
let cluster: Cluster
let folder = ""

beforeAll(async () => {
  cluster = await Cluster.up({ parts: "api" })
  folder = mkdtempSync(join(tmpdir(), "conduit-check-"))
}, 30 * 60_000)

afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
})

async function conduit(...args: string[]) {
  const child = Bun.spawn([process.execPath, "cli/main.ts", ...args], {
    cwd: ROOT,
    env: { ...process.env, CONDUIT_API_ADDR: "127.0.0.1:1" },
    stdout: "pipe",
    stderr: "pipe",
  })
  const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  return { stdout, stderr, code }
}

/** Checks that are not well, by their id, and the exit code. */
async function check(...flags: string[]): Promise<{ code: number; wrong: Map<string, CheckLine> }> {
  const { stdout, stderr, code } = await conduit("check", "--wait", "0s", "-o", "json", ...flags)
  expect(stderr).toBe("")
  const report = JSON.parse(stdout) as CheckReport
  const lines = report.sections.flatMap(({ checks }) => checks)
  expect(report.success).toBe(code === 0)
  const wrong = lines.filter(({ result }) => result === "failure" || result === "warning")
  return { code, wrong: new Map(wrong.map(line => [line.id, line])) }
}

/** A kubeconfig of a service account of the namespace `default`. */
async function kubeconfigOf(account: string): Promise<string> {
  const token = (await cluster.kubectl(["create", "token", account])).trim()
  const config = JSON.parse(await cluster.kubectl(["config", "view", "--raw", "--output=json"]))
  config.users[0].user = { token }
  const file = join(folder, account)
  writeFileSync(file, JSON.stringify(config))
  return file
}

test("a virgin cluster is fit for an installation", async () => {
  const { code, wrong } = await check("--pre", "--kubeconfig", cluster.kubeconfig)
  expect([...wrong.values()]).toEqual([])
  expect(code).toBe(0)
  const pods = await cluster.kubectl(["get", "pods", "-A", "--output=name"])
  expect(pods).not.toContain("conduit-check")
}, 60_000)

test("without an installation check names the namespace that is missing", async () => {
  const { code, wrong } = await check("--kubeconfig", cluster.kubeconfig)
  expect([...wrong.keys()]).toEqual(["control-plane-namespace"])
  expect(code).toBe(1)
}, 60_000)

test("who has no rights is told which ones an installation takes", async () => {
  await cluster.kubectl(["create", "serviceaccount", "nobody"])
  const { code, wrong } = await check("--pre", "--kubeconfig", await kubeconfigOf("nobody"))
  expect(code).toBe(1)
  expect(wrong.get("install-rights")?.why).toContain("create customresourcedefinitions.apiextensions.k8s.io")
  expect(wrong.get("install-leftovers")?.why).toStartWith("it refuses: ")
}, 60_000)

test("a namespace whose Pod Security refuses the redirect is warned of", async () => {
  const label = "pod-security.kubernetes.io/enforce=baseline"
  await cluster.kubectl(["create", "namespace", "strict"])
  await cluster.kubectl(["label", "namespace", "strict", label])
  await cluster.kubectl(["create", "serviceaccount", "default", "-n", "strict"]).catch(() => "")
  const { code, wrong } = await check("--pre", "-n", "strict", "--kubeconfig", cluster.kubeconfig)
  expect(wrong.get("install-pod-security")?.why).toContain('violates PodSecurity "baseline')
  expect(code).toBe(0)
}, 60_000)

test("after the objects are applied everything is well but the pods, which no node runs", async () => {
  const names = { trustDomain: "cluster.local", controlNamespace: "conduit" }
  const { anchor, issuer, issuerKey } = await makeAuthority({ ...names, nowMs: Date.now() })
  const files = { anchor, issuer, issuerKey }
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text, { mode: 0o600 })
  const installed = await conduit(
    "install",
    "--identity-trust-anchors-file",
    join(folder, "anchor"),
    "--identity-issuer-certificate-file",
    join(folder, "issuer"),
    "--identity-issuer-key-file",
    join(folder, "issuerKey"),
  )
  expect(installed.code).toBe(0)
  await cluster.kubectl(["apply", "--server-side", "-f", "-"], { input: installed.stdout })
  await cluster.kubectl(["wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"])
  const { code, wrong } = await check("--kubeconfig", cluster.kubeconfig)
  expect([...wrong.keys()]).toEqual(["control-plane-pods", "injector-webhook"])
  expect(wrong.get("control-plane-pods")?.why).toContain("conduit-api: 0 of 1 ready (")
  expect(code).toBe(1)
  const again = await check("--pre", "--kubeconfig", cluster.kubeconfig)
  expect([...again.wrong.keys()]).toEqual(["install-leftovers"])
}, 120_000)

test("what was deleted from an installation is named", async () => {
  await cluster.kubectl(["delete", "service", "conduit-policy", "-n", "conduit"])
  await cluster.kubectl(["delete", "crd", "authorizationpolicies.policy.conduit.io"])
  const { wrong } = await check("--kubeconfig", cluster.kubeconfig)
  expect([...wrong.keys()]).toEqual([
    "control-plane-crds",
    "control-plane-objects",
    "control-plane-pods",
    "injector-webhook",
  ])
  expect(wrong.get("control-plane-objects")?.why).toBe("missing:\nService conduit/conduit-policy")
}, 60_000)

test("the data plane of a cluster without meshed pods is nothing to fail for, but for the API", async () => {
  const { code, wrong } = await check("--proxy", "--kubeconfig", cluster.kubeconfig)
  expect([...wrong.keys()]).toEqual(["api-answers", "proxy-ready"])
  expect(wrong.get("proxy-ready")?.result).toBe("warning")
  expect(code).toBe(1)
}, 60_000)
