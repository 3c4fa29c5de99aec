// A known load between known Deployments of a local mesh: what people are told of it is who really called, at the rate
// at which they did; policies tried on it name exactly whom they would refuse, and learnt ones refuse nothing seen.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { DevMesh, type Ended, PROJECT_ROOT } from "../lab/dev_mesh.ts"
import { tempFolder } from "../lab/temp_folder.ts"

/** Requests a second of each caller. */
const RATES = { web: 40, batch: 20, legacy: 10 } as const
/** How far a rate may be off. */
const TOLERANCE = 0.05
const WINDOW = "10s"
/** The load runs for this long before it is looked at: the window, and what reports need. */
const WARM_MS = 14_000

const SERVER = `
Bun.serve({ hostname: "0.0.0.0", port: 8080, fetch: () => new Response("ok") })
console.log("listening")`

/** Requests at a rate, each at its time, whatever the ones before took. */
function load(perSecond: number, method: string, path: string): string {
  return `
const start = performance.now()
let sent = 0
setInterval(() => {
  const due = Math.floor(((performance.now() - start) * ${perSecond}) / 1000)
  for (; sent < due; sent++) {
    const path = "${path}".replace("ID", String(1000 + (sent % 500)))
    fetch("http://cart.shop" + path, { method: "${method}" }).then(r => r.text(), () => {})
  }
}, 5)`
}

function deployment(name: string, script: string, options: { port?: number; meshed?: boolean } = {}): object {
  const { port, meshed = true } = options
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace: "shop" },
    spec: {
      replicas: 1,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: {
          labels: { app: name },
          annotations: { "conduit.io/inject": meshed ? "enabled" : "disabled" },
        },
        spec: {
          serviceAccountName: name,
          containers: [
            {
              name: "app",
              image: "app",
              command: [process.execPath, "-e", script],
              ...(port === undefined ? {} : { ports: [{ name: "http", containerPort: port }] }),
            },
          ],
        },
      },
    },
  }
}

const OBJECTS = [
  { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } },
  deployment("cart", SERVER, { port: 8080 }),
  {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "cart", namespace: "shop" },
    spec: { selector: { app: "cart" }, ports: [{ name: "http", port: 80, targetPort: "http" }] },
  },
  deployment("web", load(RATES.web, "GET", "/items/ID")),
  deployment("batch", load(RATES.batch, "POST", "/orders")),
  deployment("legacy", load(RATES.legacy, "GET", "/health"), { meshed: false }),
]

let mesh: DevMesh
let folder = ""

beforeAll(async () => {
  folder = tempFolder("policy-views")
  mesh = await DevMesh.up({ name: "policyviews", objects: OBJECTS })
  await Bun.sleep(WARM_MS)
}, 180_000)

afterAll(async () => {
  await mesh?.[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
}, 60_000)

function file(name: string, text: string): string {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

/** `[from] -> [rate]`, checked against what is known. */
function expectRates(
  rows: readonly { readonly name: string; readonly rps: number | null }[],
  callers: readonly (keyof typeof RATES)[],
): void {
  expect(rows.map(row => row.name).sort()).toEqual([...callers].sort())
  for (const { name, rps } of rows) {
    const wanted = RATES[name as keyof typeof RATES]
    const off = Math.abs((rps ?? 0) - wanted) / wanted
    console.log(`  ${name}: ${rps?.toFixed(2)} a second, ${(off * 100).toFixed(1)} % off`)
    expect({ name, rps, near: off <= TOLERANCE }).toMatchObject({ near: true })
  }
}

function parsed<T>(ended: Ended): T {
  try {
    return JSON.parse(ended.stdout) as T
  } catch {
    throw new Error(`no JSON, status ${ended.status}: ${ended.stdout}${ended.stderr}`)
  }
}

interface EdgeRow {
  readonly from: { readonly name: string }
  readonly to: { readonly name: string }
  readonly secured: boolean
  readonly reason?: string
  readonly rps: number | null
}

interface WhatIfRow {
  readonly change: string
  readonly from: { readonly name: string } | null
  readonly to: { readonly name: string }
  readonly port: number
  readonly method: string | null
  readonly path: string | null
  readonly rps: number
  readonly after: { readonly reason: string; readonly policy: string | null }
}

test("edges name exactly who calls, with their rates, and why what is not secured is not", async () => {
  const rows = parsed<EdgeRow[]>(
    await mesh.cli("edges", "deploy/cart", "-n", "shop", "-t", WINDOW, "-o", "json"),
  )
  expectRates(
    rows.map(row => ({ name: row.from.name, rps: row.rps })),
    ["web", "batch", "legacy"],
  )
  expect(rows.every(row => row.to.name === "cart")).toBe(true)
  const legacy = rows.find(row => row.from.name === "legacy")
  expect(legacy).toMatchObject({ secured: false, reason: "the caller is not meshed" })
  for (const row of rows.filter(row => row !== legacy)) expect(row.secured).toBe(true)
})

test("profile --live writes a rule per kind of request that meshed callers sent to one Service", async () => {
  const { stdout, status } = await mesh.cli("profile", "cart", "-n", "shop", "--live", "-o", "json")
  expect(status).toBe(0)
  const { items } = JSON.parse(stdout)
  expect(items).toHaveLength(1)
  expect(items[0].spec.parentRefs).toEqual([{ group: "", kind: "Service", name: "cart", port: 80 }])
  const matches = items[0].spec.rules.map((rule: { matches: object[] }) => rule.matches[0])
  expect(matches).toEqual([
    // legacy, which asks /health, proves no identity.
    { path: { type: "RegularExpression", value: "/items/[^/]+" }, method: "GET" },
    { path: { type: "Exact", value: "/orders" }, method: "POST" },
    { path: { type: "PathPrefix", value: "/" } },
  ])
  const none = await mesh.cli("profile", "nothing", "-n", "shop", "--live")
  expect(none).toMatchObject({
    status: 1,
    stderr: 'conduit: service "nothing" is not known in namespace "shop"\n',
  })
})

test("what-if names exactly whom proposed policies would refuse, on which route, at which rate", async () => {
  const { ip } = await mesh.pod("shop", "web")
  const proposed = file(
    "proposed.yaml",
    `apiVersion: policy.conduit.io/v1alpha1
kind: AuthorizationPolicy
metadata: { name: cart-clients, namespace: shop }
spec:
  target: { kind: Deployment, name: cart, ports: [http] }
  action: Allow
  rules:
    - from: [{ networks: ["${ip}/32"] }]
      to: [{ methods: [GET], paths: ["/items/*"] }]
`,
  )
  const ended = await mesh.cli("policy", "what-if", proposed, "-t", WINDOW, "-o", "json")
  const rows = parsed<WhatIfRow[]>(ended)
  const changed = (change: string) => rows.filter(row => row.change === change)
  expectRates(
    changed("denied").map(row => ({ name: row.from?.name ?? "", rps: row.rps })),
    ["batch", "legacy"],
  )
  expectRates(
    changed("unchanged").map(row => ({ name: row.from?.name ?? "", rps: row.rps })),
    ["web"],
  )
  expect(changed("denied").find(row => row.from?.name === "batch")).toMatchObject({
    to: { name: "cart" },
    port: 8080,
    method: "POST",
    path: "/orders",
    after: { policy: "shop/cart-clients", reason: "shop/cart-clients has no rule for this caller" },
  })
  expect(changed("unchanged")[0]?.path).toBe("/items/{id}")
  expect(ended.status).toBe(1)
  expect(ended.stderr).toContain("live traffic would be denied")
})

test("what-if that refuses nobody succeeds, and a bad file is told by place and field", async () => {
  const text = (ports: string) => `apiVersion: policy.conduit.io/v1alpha1
kind: AuthorizationPolicy
metadata: { name: everybody, namespace: shop }
spec:
  target: { kind: Deployment, name: cart, ports: [${ports}] }
  action: Allow
  rules:
    - from: [{ networks: ["0.0.0.0/0", "::/0"] }]
`
  const good = await mesh.cli("policy", "what-if", file("good.yaml", text("http")), "-t", WINDOW)
  expect(good).toMatchObject({ status: 0, stdout: "" })
  const bad = file("bad.yaml", text("htpp"))
  const { status, stderr } = await mesh.cli("policy", "what-if", bad, "-t", WINDOW)
  expect(status).toBe(1)
  expect(stderr).toContain(`${bad}, document 1, line 5: spec.target.ports[0]`)
})

test("policy list shows the default where it holds, and what it let through", async () => {
  const rows = parsed<
    readonly {
      readonly workload: { readonly name: string }
      readonly defaultPolicy: string
      readonly byDefault: { readonly allowedRps: number }
    }[]
  >(await mesh.cli("policy", "list", "deploy/cart", "-n", "shop", "-t", WINDOW, "-o", "json"))
  expect(rows).toMatchObject([{ workload: { name: "cart" }, defaultPolicy: "all-unauthenticated" }])
  const all = RATES.web + RATES.batch + RATES.legacy
  expect(Math.abs((rows[0]?.byDefault.allowedRps ?? 0) - all) / all).toBeLessThan(TOLERANCE)
})

test("learn says who proved no identity, and so cannot be allowed by name", async () => {
  const { status, stderr } = await mesh.cli("policy", "learn", "deploy/cart", "-n", "shop", "--for", "5s")
  expect(status).toBe(0)
  expect(stderr).toContain("shop/deploy/legacy (")
  expect(stderr).toContain("is not authenticated (its pod is not meshed)")
})

test("certificates in use are listed", async () => {
  const rows = parsed<readonly { readonly pod: string; readonly state: string; readonly spiffeId: string }[]>(
    await mesh.cli("identity", "deploy", "-n", "shop", "-o", "json"),
  )
  expect(rows.map(row => row.state)).toEqual(["valid", "valid", "valid"])
  expect(rows.map(row => row.spiffeId).sort()).toEqual(
    ["batch", "cart", "web"].map(name => `spiffe://cluster.local/ns/shop/sa/${name}`),
  )
})

test("learnt policies refuse nothing that was seen, and one call that was not", async () => {
  const learn = () => mesh.cli("policy", "learn", "deploy/cart", "-n", "shop", "--for", "8s")
  const learnt = await learn()
  expect(learnt.stdout).toContain("- deployments: [shop/web]")
  expect(learnt.stdout).toContain("/items/{id}: GET")
  expect(learnt.stdout).toContain("- deployments: [shop/batch]")
  const path = file("learnt.yaml", learnt.stdout)
  const tried = parsed<WhatIfRow[]>(await mesh.cli("policy", "what-if", path, "-t", WINDOW, "-o", "json"))
  // Whoever proved nothing cannot be allowed by name; all others are.
  expect([...new Set(tried.filter(row => row.change === "denied").map(row => row.from?.name))]).toEqual([
    "legacy",
  ])
  const apply = Bun.spawnSync({
    cmd: [
      process.execPath,
      join(PROJECT_ROOT, "cli/main.ts"),
      "dev",
      "apply",
      "--name",
      mesh.name,
      "-f",
      path,
    ],
  })
  expect({
    out: apply.stdout.toString(),
    err: apply.stderr.toString(),
    code: apply.exitCode,
  }).toMatchObject({ code: 0 })
  const status = (deploy: string, method: string, route: string) =>
    mesh.exec("shop", deploy, [
      "curl",
      "-s",
      "-o",
      "/dev/null",
      "-w",
      "%{http_code}",
      "-X",
      method,
      `http://cart${route}`,
    ])
  const refused = async () => (await status("batch", "POST", "/admin")).stdout === "403"
  for (let tries = 0; tries < 50 && !(await refused()); tries++) await Bun.sleep(100)
  expect((await status("batch", "POST", "/admin")).stdout).toBe("403")
  expect((await status("web", "POST", "/orders")).stdout).toBe("403")
  expect((await status("web", "GET", "/items/77")).stdout).toBe("200")
  expect((await status("batch", "POST", "/orders")).stdout).toBe("200")
  await Bun.sleep(WARM_MS)
  const rows = parsed<readonly EdgeRow[]>(
    await mesh.cli("edges", "deploy/cart", "-n", "shop", "-t", "8s", "-o", "json"),
  )
  for (const name of ["web", "batch"]) {
    expect(rows.find(row => row.from.name === name)).toMatchObject({ success: 1 })
  }
}, 120_000)
