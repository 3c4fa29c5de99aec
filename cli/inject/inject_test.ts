// `conduit inject` and `uninject` as people and pipes meet them: a process, its two outputs and its exit code.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { SETTING_NAMES } from "../../deploy/inject/mod.ts"
import { SETTING_FLAGS } from "./inject.ts"

const MAIN = fileURLToPath(new URL("../main.ts", import.meta.url))
const WEB = `# the shop's face
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  template:
    spec:
      containers:
      - name: web
        image: web:1   # pinned
---
apiVersion: v1
kind: Service
metadata: {name: web}
`
let folder = ""

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "conduit-inject-"))
  writeFileSync(join(folder, "web.yml"), WEB)
})

afterAll(() => rmSync(folder, { recursive: true }))

interface Ended {
  readonly out: string
  readonly err: string
  readonly code: number
}

async function conduit(words: readonly string[], stdin = ""): Promise<Ended> {
  const child = Bun.spawn([process.execPath, MAIN, ...words], {
    cwd: folder,
    env: { PATH: process.env.PATH ?? "" },
    stdin: new Blob([stdin]),
    stdout: "pipe",
    stderr: "pipe",
  })
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  return { out, err, code }
}

test("manifests go to standard output, the report to standard error, and uninject gives them back", async () => {
  const injected = await conduit(["inject", "web.yml"])
  expect(injected.code).toBe(0)
  expect(injected.err.split("\n").slice(0, 2)).toEqual(['deployment "web" injected', 'service "web" skipped'])
  expect(injected.err).toContain("no trust anchors given")
  expect(injected.out).toContain("name: conduit-proxy")
  const again = await conduit(["inject", "-"], injected.out)
  expect(again.out).toBe(injected.out)
  expect(again.err).toContain('deployment "web" skipped: already injected')
  const back = await conduit(["uninject", "-"], injected.out)
  expect(back.out).toBe(WEB)
  expect(back.err).toContain('deployment "web" uninjected')
  expect(back.code).toBe(0)
})

test("flags become annotations and reach the proxy", async () => {
  const words =
    "inject --opaque-ports 25 --native-sidecar --proxy-cpu-limit=500m -n shop -c mesh web.yml".split(" ")
  const { out, code } = await conduit(words)
  expect(code).toBe(0)
  for (const line of [
    'config.conduit.io/opaque-ports: "25"',
    "config.conduit.io/native-sidecar: enabled",
    "conduit.io/workload-ns: shop",
    "conduit.io/control-plane-ns: mesh",
    "restartPolicy: Always",
    "cpu: 500m",
  ])
    expect(out).toContain(line)
  expect((await conduit(["uninject", "-"], out)).out).toBe(WEB)
})

test("--manual=false leaves the injecting to the webhook", async () => {
  const { out, err } = await conduit(["inject", "--manual=false", "web.yml"])
  expect(err.split("\n")).toEqual(['deployment "web" annotated', 'service "web" skipped', ""])
  expect(out).toContain("conduit.io/inject: enabled")
  expect(out).not.toContain("conduit-proxy")
})

test("trust anchors give proxies an identity", async () => {
  const key = join(folder, "ca.key")
  const made = Bun.spawnSync(
    `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=ca -keyout ${key} -out ${folder}/ca.crt`.split(
      " ",
    ),
  )
  expect(made.exitCode).toBe(0)
  const words = [
    "inject",
    "--identity-trust-anchors-file",
    "ca.crt",
    "--trust-domain",
    "example.org",
    "web.yml",
  ]
  const { out, err, code } = await conduit(words)
  expect({ code, told: err.includes("no trust anchors") }).toEqual({ code: 0, told: false })
  expect(out).toContain("-----BEGIN CERTIFICATE-----")
  expect(out).toContain("value: example.org")
  const wrong = await conduit(["inject", "--identity-trust-anchors-file", "ca.key", "web.yml"])
  expect(wrong).toMatchObject({ out: "", code: 1 })
  expect(wrong.err).toContain("private key")
})

test.each([
  [["inject"], 2, "FILE|DIR|URL|- is missing"],
  [["inject", "--opaque-port", "25", "web.yml"], 2, 'did you mean "--opaque-ports"?'],
  [["inject", "--opaque-ports", "x", "web.yml"], 2, '--opaque-ports cannot be "x"'],
  [["inject", "-o", "json", "web.yml"], 2, "takes no -o"],
  [["inject", "-n", "Shop!", "web.yml"], 2, '--namespace cannot be "Shop!"'],
  [["inject", "none.yml"], 1, "none.yml: cannot be read: no such file or folder"],
  [["inject", "-"], 1, "standard input is empty"],
  [["uninject", "-"], 1, "standard input is empty"],
])("%p ends with %i and a sentence", async (words, code, sentence) => {
  const ended = await conduit(words)
  expect(ended).toMatchObject({ out: "", code })
  expect(ended.err).toContain(sentence)
})

test("with an error in one document nothing at all is printed", async () => {
  const { out, err, code } = await conduit(
    ["inject", "web.yml", "-"],
    "kind: Deployment\napiVersion: apps/v1\nmetadata: {name: b}\n",
  )
  expect({ out, code }).toEqual({ out: "", code: 1 })
  expect(err).toBe(
    'conduit: standard input, document 1, line 1: spec.template is missing in Deployment "b"; it needs a pod template (is this a kustomize patch?)\n',
  )
})

test("an input of comments only is an error: kubectl would have nothing to apply", async () => {
  const { out, err, code } = await conduit(["inject", "-"], "# nothing\n")
  expect({ out, code }).toEqual({ out: "", code: 1 })
  expect(err).toContain("no object is in standard input")
})

test("megabytes reach a slow reader whole", async () => {
  const large = Array.from({ length: 400 }, () => WEB).join("---\n")
  const { out, code } = await conduit(["inject", "-"], large)
  expect(code).toBe(0)
  expect(out.length).toBeGreaterThan(1_000_000)
  expect(out.endsWith("metadata: {name: web}\n")).toBe(true)
})

test("every setting has its flag", () => {
  expect(Object.keys(SETTING_FLAGS)).toEqual([...SETTING_NAMES])
})
