// A person asks a local mesh what is wrong with it, and why a request was refused: `conduit check` and `conduit explain`.
// And a pipeline asks it how a release does, as API.md shows.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { CheckReport } from "../../cli/check/print.ts"
import type { RefusalLine } from "../../cli/inspect/explain.ts"
import { runningMeshes } from "../../deploy/mod.ts"
import { conduit, DevMesh, PROJECT_ROOT, run } from "../lab/dev_mesh.ts"

const SERVER = `
Bun.serve({ hostname: "0.0.0.0", port: 8080, fetch: () => new Response("ok") })
Bun.listen({ hostname: "0.0.0.0", port: 9000, socket: { data() {}, open(s) { s.write("hello\\n") } } })`

function deployment(name: string, script: string): object {
  const ports = [
    { name: "http", containerPort: 8080 },
    { name: "raw", containerPort: 9000 },
  ]
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace: "shop" },
    spec: {
      replicas: 1,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: {
          serviceAccountName: name,
          containers: [{ name: "app", image: "app", command: [process.execPath, "-e", script], ports }],
        },
      },
    },
  }
}

function policy(name: string, spec: object): object {
  return {
    apiVersion: "policy.conduit.io/v1alpha1",
    kind: "AuthorizationPolicy",
    metadata: { name, namespace: "shop" },
    spec,
  }
}

const OBJECTS = [
  { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } },
  deployment("cart", SERVER),
  deployment("web", "setInterval(() => {}, 1000)"),
  {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "cart", namespace: "shop" },
    spec: {
      selector: { app: "cart" },
      ports: [
        { name: "http", port: 80, targetPort: "http" },
        { name: "raw", port: 9000, targetPort: "raw" },
      ],
    },
  },
  {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "nobody", namespace: "shop" },
    spec: { selector: { app: "nobody" }, ports: [{ port: 80 }] },
  },
  policy("no-admin", {
    target: { kind: "Deployment", name: "cart", ports: ["http"] },
    action: "Deny",
    rules: [
      { from: [{ deployments: ["shop/web"] }], to: [{ methods: ["DELETE"] }] },
      { from: [{ deployments: ["shop/web"] }], to: [{ paths: ["/admin/*"] }] },
    ],
  }),
  policy("no-raw", {
    target: { kind: "Deployment", name: "cart", ports: ["raw"] },
    action: "Deny",
    rules: [{ from: [{ deployments: ["shop/web"] }] }],
  }),
]

let mesh: DevMesh
let folder = ""

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "conduit-check-"))
  mesh = await DevMesh.up({ name: "check", objects: OBJECTS })
}, 180_000)

afterAll(async () => {
  await mesh?.[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
}, 60_000)

async function check(...flags: string[]) {
  const { status, stdout, stderr } = await mesh.cli("check", "--wait", "0s", "-o", "json", ...flags)
  expect(stderr).toBe("")
  const { sections } = JSON.parse(stdout) as CheckReport
  const all = sections.flatMap(({ checks }) => checks)
  const wrong = all.filter(({ result }) => result !== "success")
  return {
    status,
    ids: all.map(({ id }) => id),
    wrong: wrong.map(({ id, result, why }) => ({ id, result, why })),
  }
}

/** The id of what a request from web is refused with. */
async function refusedId(...curl: string[]): Promise<string> {
  const { stdout } = await mesh.exec("shop", "web", ["curl", "-sSi", ...curl])
  const id = /conduit-proxy-error: \S+; id=(\S+)/i.exec(stdout)?.[1]
  if (id === undefined) throw new Error(`no id in ${stdout}`)
  return id
}

async function explained(id: string): Promise<RefusalLine> {
  const { status, stdout, stderr } = await mesh.cli("explain", "--id", id, "-o", "json")
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" })
  return (JSON.parse(stdout) as RefusalLine[])[0] as RefusalLine
}

test("everything is well with a mesh that was just started, its certificates and its data plane", async () => {
  const installed = await check()
  expect(installed).toMatchObject({ status: 0, wrong: [] })
  expect(installed.ids).toContain("identity-expiry")
  expect(installed.ids).toContain("machine-redirect")
  const proxy = await check("--proxy", "-n", "shop")
  expect(proxy).toMatchObject({ status: 0, wrong: [] })
  expect(proxy.ids).toContain("proxy-certificates")
}, 60_000)

test("a denied request's id leads to the policy and the rule, client and request", async () => {
  const id = await refusedId("-X", "POST", "http://cart.shop/admin/users?x=1")
  const line = await explained(id)
  const cart = { namespace: "shop", kind: "deployment", name: "cart" }
  expect(line).toMatchObject({
    id,
    proxy: { namespace: "shop", workload: cart },
    direction: "inbound",
    reason: "denied",
    status: 403,
    method: "POST",
    authority: "cart.shop",
    path: "/admin/users?x=1",
    from: { identity: expect.stringContaining("web.shop."), workload: { ...cart, name: "web" } },
    decision: { cause: "policy", policy: "shop/no-admin", rule: 1, defaultPolicy: null },
  })
  const { stdout } = await mesh.cli("explain", "--id", `denied; id=${id}`)
  expect(stdout).toContain("Decided by: AuthorizationPolicy shop/no-admin, rule 1 (spec.rules[1])\n")
}, 60_000)

test("what the caller's own proxy refuses is told from its side", async () => {
  const line = await explained(await refusedId("http://nobody.shop/"))
  expect(line).toMatchObject({
    direction: "outbound",
    reason: "no-endpoint",
    status: 503,
    from: { workload: { name: "web" } },
    decision: null,
  })
}, 60_000)

test("a denied connection's id stands in the log of the proxy that closed it", async () => {
  await mesh.exec("shop", "web", ["sh", "-c", "curl -sS --max-time 5 telnet://cart.shop:9000 </dev/null"])
  const id = /a connection is refused: denied.*?\bid=(\w+)/.exec(
    await mesh.logs("shop", "cart", "conduit-proxy"),
  )?.[1]
  expect(await explained(id ?? "none")).toMatchObject({
    reason: "denied",
    status: null,
    method: null,
    decision: { policy: "shop/no-raw", rule: 0 },
  })
}, 60_000)

test("an id that no proxy knows says what is kept", async () => {
  const { status, stderr } = await mesh.cli("explain", "--id", "00000000")
  expect(status).toBe(1)
  expect(stderr).toContain('knows a refusal "00000000": each keeps its latest 256')
}, 60_000)

/** A block of code of API.md. */
function blockOf(language: string): string {
  const page = readFileSync(join(PROJECT_ROOT, "API.md"), "utf8")
  return new RegExp(`\n\`\`\`${language}\n([^]*?)\n\`\`\`\n`).exec(page)?.[1] ?? ""
}

test("API.md's pipeline runs as written: by curl, in Bun, and in Node.js with the package as it is published", async () => {
  const url = (await runningMeshes()).find(({ name }) => name === mesh.name)?.apiAddr
  const asking = (...cmd: string[]) => run(["env", `CONDUIT_API=http://${url}`, ...cmd])
  const calls = "for i in $(seq 20); do curl -sS -o /dev/null http://cart.shop/; done"
  expect((await mesh.exec("shop", "web", ["sh", "-c", calls])).status).toBe(0)
  const end = performance.now() + 30_000
  let shell = await asking("sh", "-c", blockOf("sh"))
  while (shell.status !== 0 && performance.now() < end) shell = await asking("sh", "-c", blockOf("sh"))
  expect(shell).toMatchObject({
    status: 0,
    stdout: expect.stringMatching(/^cart: 0 of \d+ responses failed$/m),
  })

  const packed = await run(["npm", "pack", "--silent", `--pack-destination=${folder}`])
  expect(packed).toMatchObject({ status: 0 })
  const modules = join(folder, "node_modules")
  mkdirSync(join(modules, "conduit"), { recursive: true })
  const tarball = join(folder, packed.stdout.trim().split("\n").at(-1) ?? "")
  await run([
    "tar",
    "--extract",
    `--file=${tarball}`,
    "--strip-components=1",
    `--directory=${join(modules, "conduit")}`,
  ])
  // A package has the dashboard as it is served, and none of what it is built from.
  const built = [".build/web/index.html", "control/web/app"].map(path =>
    existsSync(join(modules, "conduit", path)),
  )
  expect(built).toEqual([true, false])
  for (const name of ["@bufbuild", "@connectrpc", "@types", "undici-types"])
    symlinkSync(join(PROJECT_ROOT, "node_modules", name), join(modules, name))
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }')
  writeFileSync(join(folder, "release.ts"), blockOf("ts"))
  // The example bears no types of its own, so that what a compiler makes of it is itself.
  writeFileSync(join(folder, "release.mjs"), blockOf("ts"))
  const said = {
    status: 0,
    stdout: expect.stringMatching(
      /^cart: 0 of \d+ responses failed, p99 [\d.]+ ms\nweb calls cart, secured$/m,
    ),
  }
  expect(await asking(process.execPath, join(folder, "release.ts"))).toMatchObject(said)
  expect(await asking("node", join(folder, "release.mjs"))).toMatchObject(said)
  const strict = [
    "--ignoreConfig",
    "--strict",
    "--noEmit",
    "--module",
    "nodenext",
    "--target",
    "es2022",
    "--types",
    "node",
  ]
  const types = await run([
    join(PROJECT_ROOT, "node_modules/.bin/tsc"),
    ...strict,
    join(folder, "release.ts"),
  ])
  expect(types).toMatchObject({ status: 0, stdout: "" })
}, 120_000)

test("a policy that names nobody and a route that leads nowhere are warned of, and a pod that never gets ready fails", async () => {
  const file = join(folder, "wrong.json")
  const broken = deployment("broken", "process.exit(3)")
  const lost = policy("lost", {
    target: { kind: "Deployment", name: "crt" },
    action: "Deny",
    rules: [{ from: [{ deployments: ["shop/web"] }] }],
  })
  const astray = {
    apiVersion: "gateway.networking.k8s.io/v1",
    kind: "HTTPRoute",
    metadata: { name: "astray", namespace: "shop" },
    spec: {
      parentRefs: [{ group: "", kind: "Service", name: "nobody" }],
      rules: [{ backendRefs: [{ name: "crt", port: 80 }] }],
    },
  }
  writeFileSync(file, JSON.stringify({ apiVersion: "v1", kind: "List", items: [broken, lost, astray] }))
  const applied = await conduit(["dev", "apply", "--name", mesh.name, "-f", file])
  expect(applied.stderr).not.toContain("conduit: ")
  const end = performance.now() + 20_000
  let found = await check()
  while (found.wrong.length < 3 && performance.now() < end) found = await check()
  expect(found.status).toBe(1)
  expect(found.wrong).toEqual([
    {
      id: "mesh-policies",
      result: "warning",
      why: expect.stringContaining(
        'AuthorizationPolicy shop/lost: spec.target.name: there is no Deployment "crt"',
      ),
    },
    {
      id: "mesh-routes",
      result: "warning",
      why: expect.stringContaining(
        "HTTPRoute shop/astray: BackendNotFound: spec.rules[0].backendRefs[0]: there is",
      ),
    },
    { id: "proxy-ready", result: "failure", why: expect.stringContaining("pod shop/broken-") },
  ])
}, 120_000)
