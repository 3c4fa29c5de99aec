// The dashboard in Debian's Chromium: on a local mesh with known load, by way of `conduit dashboard`; and before an API of
// the test's own for what no cluster would let in, or would show only once in a while.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { rmSync } from "node:fs"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { fromBinary, type MessageInitShape } from "@bufbuild/protobuf"
import { Code, ConnectError } from "@connectrpc/connect"
import { connectNodeAdapter, createConnectTransport } from "@connectrpc/connect-node"
import type { Browser, Page } from "playwright-core"
import { duration, percent, rate } from "../../control/web/app/mesh/format.ts"
import { serveWeb } from "../../control/web/mod.ts"
import { buildWeb, compressed, writeFiles } from "../../deploy/web/mod.ts"
import {
  ApiService,
  CallOutcome,
  EventKind,
  type StatResponse,
  StatResponseSchema,
  type StatRowSchema,
  TapService,
} from "../../protos/mod.ts"
import { launchBrowser, openPage, picture, violations } from "../lab/browser.ts"
import { DevMesh, PROJECT_ROOT } from "../lab/dev_mesh.ts"
import { tempFolder } from "../lab/temp_folder.ts"

/** Nothing that a page does takes this long, on the slowest machine. */
const PATIENCE_MS = 30_000
/** Calls that failed while pods came up have left the usual window after this. */
const SETTLED_MS = 75_000
/** What fails is shown within this time. */
const SHOWN_WITHIN_MS = 15_000
/** Script of the first page, compressed: what a person waits for. */
const MAX_SCRIPT_BYTES = 350 * 1024
const PAGES = [
  "/",
  "/deployments",
  "/deployments/shop/deployment/web",
  "/topology",
  "/routes",
  "/gateway",
  "/explain?from=shop/deploy/web&to=pay.shop:80&path=/charge",
  "/live?to=shop/deploy/pay",
  "/policies",
  "/certificates",
  "/health",
  "/plugins",
  "/settings",
]

/** Answers well until it is told otherwise, on the way that its probe would take. */
const SERVER = `
let bad = false
Bun.serve({ hostname: "0.0.0.0", port: 8080, fetch: request => {
  if (new URL(request.url).pathname === "/break") { bad = true; return new Response("broken") }
  return new Response("ok", { status: bad ? 500 : 200 })
} })
console.log("listening")`
const FRONT = `
Bun.serve({ hostname: "0.0.0.0", port: 8080, fetch: async () => {
  const { status } = await fetch("http://pay.shop/charge")
  return new Response("", { status })
} })
console.log("listening")`
const LOAD = `setInterval(() => fetch("http://web.shop/buy").then(r => r.text(), () => {}), 50)`

function workload(name: string, script: string): object[] {
  const metadata = { name, namespace: "shop" }
  return [
    {
      ...{ apiVersion: "v1", kind: "Service", metadata },
      spec: { selector: { app: name }, ports: [{ name: "http", port: 80, targetPort: 8080 }] },
    },
    {
      ...{ apiVersion: "apps/v1", kind: "Deployment", metadata },
      spec: {
        selector: { matchLabels: { app: name } },
        template: {
          metadata: { labels: { app: name } },
          spec: {
            containers: [
              {
                ...{ name: "app", image: "app", command: [process.execPath, "-e", script] },
                ports: [{ name: "http", containerPort: 8080 }],
              },
            ],
          },
        },
      },
    },
  ]
}

let browser: Browser
let mesh: DevMesh
let way: Bun.Subprocess<"ignore", "pipe", "ignore">
let base = ""

beforeAll(async () => {
  const objects = [
    { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } },
    ...workload("pay", SERVER),
    ...workload("web", FRONT),
    ...workload("load", LOAD),
  ]
  const [started, up] = await Promise.all([launchBrowser(), DevMesh.up({ name: "dashboard", objects })])
  browser = started
  mesh = up
  way = Bun.spawn({
    cmd: [process.execPath, "cli/main.ts", "dashboard", "--no-open", "--port", "0", "--mesh", mesh.name],
    ...{ cwd: PROJECT_ROOT, stdin: "ignore", stdout: "pipe", stderr: "ignore" },
  })
  const { value } = await way.stdout.getReader().read()
  base = /^http:\/\/127\.0\.0\.1:\d+(?=\/\n)/.exec(new TextDecoder().decode(value))?.[0] ?? ""
}, 180_000)

afterAll(async () => {
  await browser?.close()
  way?.kill("SIGINT")
  const code = await way?.exited
  await mesh?.[Symbol.asyncDispose]()
  expect(code).toBe(0)
}, 60_000)

async function visible(page: Page, text: string | RegExp, timeout = PATIENCE_MS): Promise<void> {
  await page.getByText(text).first().waitFor({ state: "visible", timeout })
}

test("figures on the page are the API's, and a link shows the same time", async () => {
  const { page, faults } = await openPage(browser, base, { width: 1920 })
  let latest: StatResponse | null = null
  page.on("response", async response => {
    if (!response.url().endsWith("/Stat")) return
    const answer = fromBinary(StatResponseSchema, await response.body())
    if (answer.rows.some(({ resource }) => resource?.name === "pay")) latest = answer
  })
  await page.goto(`${base}/deployments?w=30&sort=-rps`)
  await page.getByRole("row").filter({ hasText: "pay" }).getByText("100 %").waitFor({ timeout: PATIENCE_MS })
  await page.getByRole("button", { name: /Live/ }).click()
  await visible(page, "Paused")
  expect(page.url()).toContain("paused=true")
  expect(page.url()).toContain("w=30")
  await page.waitForTimeout(500)
  const rows =
    (latest as StatResponse | null)?.rows.filter(({ resource }) => resource?.namespace === "shop") ?? []
  expect(rows.map(({ resource }) => resource?.name).sort()).toEqual(["load", "pay", "web"])
  for (const { resource, http, meshedPods, totalPods } of rows) {
    const cells = page
      .getByRole("row")
      .filter({ hasText: resource?.name ?? "" })
      .getByRole("cell")
    const shown = await cells.allTextContents()
    const wanted = [
      ...[`${meshedPods}/${totalPods}`, percent(http?.success), rate(http?.rps)],
      ...[http?.latencyMs?.p50, http?.latencyMs?.p95, http?.latencyMs?.p99].map(duration),
    ]
    expect(shown).toEqual(expect.arrayContaining(wanted))
  }
  expect(faults).toEqual([])
  await page.context().close()
}, 120_000)

test("each page has no fault of level A or AA, light and dark, and fits small screens", async () => {
  rmSync(`${PROJECT_ROOT}/.build/test/dashboard`, { recursive: true, force: true })
  for (const scheme of ["light", "dark"] as const) {
    const { page, faults } = await openPage(browser, base, { scheme })
    for (const path of PAGES) {
      await page.setViewportSize({ width: 1024, height: 800 })
      await page.goto(base + path)
      await page.getByRole("heading", { level: 1 }).waitFor({ timeout: PATIENCE_MS })
      await page.locator(".loading, .graph-wait").first().waitFor({ state: "detached", timeout: PATIENCE_MS })
      expect({ path, scheme, found: await violations(page) }).toEqual({ path, scheme, found: [] })
      const name = `${path.replace(/\?.*/, "").replaceAll("/", "_")}-${scheme}`
      await picture(page, `${name}-1024`)
      await page.setViewportSize({ width: 360, height: 740 })
      const wide = await page.evaluate("document.documentElement.scrollWidth")
      expect({ path, wide }).toEqual({ path, wide: 360 })
      await picture(page, `${name}-360`)
    }
    expect(faults).toEqual([])
    await page.context().close()
  }
}, 180_000)

test("all of it is reached by the keyboard", async () => {
  const { page } = await openPage(browser, base)
  await page.goto(`${base}/`)
  await page.getByRole("heading", { level: 1 }).waitFor({ timeout: PATIENCE_MS })
  await page.keyboard.press("Tab")
  expect(await page.evaluate("document.activeElement.textContent")).toContain("Skip to the page")
  await page.keyboard.press("Control+k")
  await page.keyboard.type("pay")
  await visible(page, "deployment in shop")
  await page.keyboard.press("Enter")
  await page.waitForURL("**/deployments/shop/deployment/pay")
  await page.getByRole("link", { name: "Live calls" }).last().focus()
  await page.keyboard.press("Control+k")
  await page.keyboard.press("Escape")
  await page.locator("dialog").waitFor({ state: "detached" })
  expect(await page.evaluate("document.activeElement.textContent")).toContain("Live calls")
  await page.goto(`${base}/deployments`)
  await page.getByRole("row").filter({ hasText: "pay" }).waitFor({ timeout: PATIENCE_MS })
  await page.keyboard.press("/")
  await page.keyboard.type("web")
  await page.getByRole("row").filter({ hasText: "pay" }).waitFor({ state: "detached" })
  expect(page.url()).toContain("q=web")
  await page.goto(`${base}/topology`)
  await page.locator(".react-flow__node-workload").filter({ hasText: "pay" }).focus({ timeout: PATIENCE_MS })
  await page.keyboard.press("Enter")
  await page.waitForURL("**/deployments/shop/deployment/pay")
  await page.context().close()
}, 90_000)

test("a policy that is learnt denies nothing of what was seen; one that leaves a caller out names it before it holds", async () => {
  const { page, faults } = await openPage(browser, base)
  await page.goto(`${base}/policies`)
  await page.getByLabel("Workload").selectOption("shop/deployment/pay")
  await page.getByRole("button", { name: "Learn its policy" }).click()
  const editor = page.getByLabel("Policies (YAML)")
  // Not by a function in the page: its policy forbids to make one of text.
  const end = performance.now() + PATIENCE_MS
  while (!(await editor.inputValue()).includes("-learned") && performance.now() < end) await Bun.sleep(50)
  expect(await editor.inputValue()).toContain("- deployments: [shop/web]")
  await page.getByRole("button", { name: "Try on live traffic" }).click()
  await page.locator("[aria-live] .notice").waitFor({ timeout: PATIENCE_MS })
  expect(await page.locator("[aria-live] .notice").textContent()).toContain(
    "Nothing of the live traffic would be denied.",
  )
  await editor.fill((await editor.inputValue()).replace("shop/web", "shop/load"))
  await page.getByRole("button", { name: "Try on live traffic" }).click()
  await visible(page, /\d+\.\d\/s would be denied\./)
  await page.getByRole("row").filter({ hasText: "would be denied" }).filter({ hasText: "shop/web" }).waitFor()
  expect(await violations(page)).toEqual([])
  await editor.fill("kind: [")
  await page.getByRole("button", { name: "Try on live traffic" }).click()
  await visible(page, /policy\.yaml/)
  await picture(page, "what-if")
  expect(faults).toEqual([])
  await page.context().close()
}, 90_000)

test("a call is explained, live calls are shown in detail, and charts have history at once", async () => {
  const { page, faults } = await openPage(browser, base)
  await page.goto(`${base}/explain`)
  await page.getByLabel("From", { exact: true }).fill("shop/deploy/web")
  await page.getByLabel("To", { exact: true }).fill("pay.shop:80")
  await page.getByRole("button", { name: "Explain", exact: true }).click()
  await visible(page, "The call is answered")
  expect(new URL(page.url()).searchParams.get("to")).toBe("pay.shop:80")
  await visible(page, "conduit explain shop/deploy/web pay.shop:80")
  await page.goto(`${base}/live?to=shop/deploy/pay`)
  await page.getByRole("button", { name: "Listen", exact: true }).click()
  const call = page.getByRole("button", { name: "GET /charge" }).first()
  await call.waitFor({ timeout: PATIENCE_MS })
  await page.getByRole("button", { name: "Pause", exact: true }).click()
  await call.click()
  await page.getByRole("dialog").getByText("default.shop.serviceaccount").first().waitFor()
  await page.keyboard.press("Escape")
  await page.getByRole("button", { name: "Summed up" }).click()
  await page.getByRole("row").filter({ hasText: "shop/web" }).waitFor()
  expect(await violations(page)).toEqual([])
  // Points of ten seconds: those of an hour are minutes, and the mesh may be younger than one.
  await page.goto(`${base}/deployments/shop/deployment/pay?range=600`)
  await page.locator(".heat rect").first().waitFor({ timeout: PATIENCE_MS })
  expect(faults).toEqual([])
  await page.context().close()
}, 120_000)

test("an open page outlives the control plane: it says how old its figures are, and goes on when it is back", async () => {
  const { page, faults } = await openPage(browser, base)
  await page.goto(`${base}/?w=10`)
  await visible(page, "All is well", SETTLED_MS)
  const { pid } = await mesh.pod("conduit", "conduit-api")
  process.kill(pid, "SIGSTOP")
  await visible(page, /These figures are \d+ s old/)
  // The last figures are still there.
  await visible(page, "All is well")
  process.kill(pid, "SIGKILL")
  await page.locator(".banner").waitFor({ state: "detached", timeout: 60_000 })
  await visible(page, "All is well")
  expect(faults).toEqual([])
  await page.context().close()
}, 150_000)

test("what fails is shown where it begins, with whom it hurts, within seconds", async () => {
  const { page, faults } = await openPage(browser, base)
  await page.goto(`${base}/`)
  await visible(page, "All is well", SETTLED_MS)
  const begin = performance.now()
  const broken = await mesh.exec("shop", "pay", ["curl", "-sS", "http://127.0.0.1:8080/break"])
  expect(broken.stdout).toBe("broken")
  await visible(page, /workloads? failing/, SHOWN_WITHIN_MS)
  console.log(`  shown after ${((performance.now() - begin) / 1000).toFixed(1)} s`)
  const first = page.locator(".troubles li").first()
  await first
    .filter({ hasText: "shop/pay" })
    .filter({ hasText: "It begins here" })
    .waitFor({ timeout: PATIENCE_MS })
  await first.filter({ hasText: "It hurts shop/web, shop/load" }).waitFor({ timeout: PATIENCE_MS })
  expect(await page.title()).toMatch(/^\(\d\) Conduit$/)
  await picture(page, "failing")
  expect(faults).toEqual([])
  await page.context().close()
}, 180_000)

test("a foreign Host or Origin is refused through the local port, too", async () => {
  const call = { method: "POST", body: "{}" }
  const ask = async (headers: Record<string, string>) => {
    const url = `${base}/conduit.api.v1.ApiService/Version`
    return (await fetch(url, { ...call, headers: { "content-type": "application/json", ...headers } })).status
  }
  expect([
    await ask({}),
    await ask({ host: "evil.example" }),
    await ask({ origin: "http://evil.example" }),
  ]).toEqual([200, 403, 403])
})

/** An API that answers what it is told to. */
class FakeMesh implements AsyncDisposable {
  rows: MessageInitShape<typeof StatRowSchema>[] = []
  fails: ConnectError | null = null
  /** Whether it has figures over time. */
  remembers = false
  readonly url: string
  private readonly end: () => void

  private constructor(end: () => void, port: number) {
    this.end = end
    this.url = `http://127.0.0.1:${port}`
  }

  static async open(): Promise<FakeMesh> {
    let fake: FakeMesh | null = null
    const answer = <T>(value: T): T => {
      if (fake?.fails) throw fake.fails
      return value
    }
    const api: Server = createServer(
      connectNodeAdapter({
        routes: router => {
          router.service(TapService, {
            async *tap() {
              const events = (fake?.rows ?? []).map(({ resource }, index) => ({
                id: `shop/pod/${index}`,
                moment: {
                  case: "begun" as const,
                  value: { method: "GET", path: resource?.name ?? "", authority: resource?.name ?? "" },
                },
              }))
              yield answer({ events })
            },
          })
          router.service(ApiService, {
            events: () =>
              answer({
                events: (fake?.rows ?? []).map(({ resource }) => ({
                  ...{ timeMs: Date.now(), kind: EventKind.ROLLOUT, what: resource?.name ?? "" },
                  resource: resource ?? {},
                })),
              }),
            explainCall: () =>
              answer({
                steps: (fake?.rows ?? []).map(({ resource }, index) => ({
                  ...{ name: `${index}`, outcome: CallOutcome.FAIL, decision: resource?.name ?? "" },
                  ...{ reason: resource?.name ?? "", change: resource?.name ?? "" },
                })),
              }),
            gatewayRoutes: () =>
              answer({
                routes: (fake?.rows ?? []).map(({ resource }) => {
                  const [one, name] = [resource ?? {}, resource?.name ?? ""]
                  return {
                    ...{ resource: one, parents: [one] },
                    conditions: [{ parent: name, type: name, reason: name, message: name }],
                    rules: [{ name, matches: [name], backends: [{ service: one, weight: 1, wanted: 1 }] }],
                  }
                }),
              }),
            timeSeries: () => {
              if (fake?.remembers !== true) throw new ConnectError("there is no history", Code.Unimplemented)
              return answer({
                ...{ startMs: Date.now() - 600_000, stepMs: 10_000, points: 60, histogramEdgesMs: [1, 10] },
                series: (fake?.rows ?? []).map(({ resource }) => ({
                  ...{
                    resource: resource ?? {},
                    points: [{ index: 1, rps: 1, latencyCounts: [1n, 2n, 0n] }],
                  },
                })),
              })
            },
            stat: ({ target }) => answer({ rows: target?.kind === "deployment" ? (fake?.rows ?? []) : [] }),
            edges: () => {
              const all = fake?.rows ?? []
              return answer({
                edges: all.flatMap(({ resource, http }, index) => {
                  const to = all[(index * 7 + 1) % all.length]?.resource
                  const known = resource !== undefined && to !== undefined && http !== undefined
                  return known
                    ? [{ from: resource, to, http, secured: index % 2 === 0, reason: "<b>why</b>" }]
                    : []
                }),
              })
            },
          })
        },
      }),
    )
    await new Promise<void>(resolve => api.listen(0, "127.0.0.1", resolve))
    const folder = tempFolder("dashboard")
    writeFiles(folder, compressed((await buildWeb()).files))
    const address = `127.0.0.1:${(api.address() as AddressInfo).port}`
    const transport = createConnectTransport({ baseUrl: `http://${address}`, httpVersion: "1.1" })
    const web = await serveWeb({
      ...{ files: folder, apiAddress: address, viewers: "forwarded", hosts: new Set<string>() },
      ...{ host: "127.0.0.1", port: 0, transport: () => transport },
    })
    fake = new FakeMesh(() => {
      web.close()
      api.close()
      api.closeAllConnections()
      rmSync(folder, { recursive: true })
    }, web.port)
    return fake
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.end()
  }
}

function row(namespace: string, name: string, success = 1, rps = 10): MessageInitShape<typeof StatRowSchema> {
  const http = { success, rps, responses: 600n, failures: BigInt(Math.round(600 * (1 - success))) }
  const resource = { namespace, kind: "deployment", name }
  return { resource, meshedPods: 1, totalPods: 1, http: { ...http, latencyMs: { p50: 1, p95: 2, p99: 3 } } }
}

test("names that are markup, turn text around or never end stay text, on every page", async () => {
  await using fake = await FakeMesh.open()
  fake.remembers = true
  const hostile = [
    `<img src=x onerror="alert(1)">`,
    "</script><script>alert(2)</script>",
    "javascript:alert(3)",
    "gpj.\u202egro.live",
    "x".repeat(10_000),
    "a/../../b?c#d%2f",
    "{{7*7}}",
  ]
  fake.rows = hostile.map((name, index) =>
    row(index % 2 === 0 ? "shop" : `ns<i>${index}</i>`, name, index === 0 ? 0.5 : 1),
  )
  const { page, faults } = await openPage(browser, fake.url)
  // A mark of a change on a chart says the names of what changed, too.
  for (const path of ["/", "/deployments", "/topology", "/policies", "/gateway"]) {
    await page.goto(fake.url + path)
    await page.getByRole("heading", { level: 1 }).waitFor({ timeout: PATIENCE_MS })
    await page.locator(".graph-wait").waitFor({ state: "detached", timeout: PATIENCE_MS })
    await visible(page, "<img src=x")
    expect(await page.locator("main img, main script, main i, main b").count()).toBe(0)
  }
  await page.goto(`${fake.url}/explain?from=a&to=b&headers=<b>:1`)
  await visible(page, "<img src=x")
  await page.goto(`${fake.url}/live?to=shop/deploy/web`)
  await page.getByLabel(/^Token/).fill("of a person")
  await page.getByRole("button", { name: "Listen", exact: true }).click()
  await page.getByRole("button", { name: "<img src=x" }).click()
  await page.getByRole("dialog").getByText("<img src=x").first().waitFor()
  expect(await page.locator("main img, main script, main b").count()).toBe(0)
  await page.goto(`${fake.url}/deployments`)
  await visible(page, "gpj.⟨U+202E⟩gro.live")
  for (const [index, name] of hostile.entries()) {
    if (name.length > 1000) continue
    await page.goto(`${fake.url}/deployments`)
    await page.getByRole("row").nth(1).waitFor({ timeout: PATIENCE_MS })
    const start = name.replace("\u202e", "⟨U+202E⟩").slice(0, 30)
    await page.getByRole("link").filter({ hasText: start }).first().click()
    await page.getByRole("heading", { level: 1 }).filter({ hasText: start }).waitFor({ timeout: PATIENCE_MS })
    expect({ index, path: new URL(page.url()).pathname.split("/").length }).toEqual({ index, path: 5 })
  }
  await page.goto(`${fake.url}/deployments?q=<script>alert(4)</script>&ns="><svg/onload=alert(5)>`)
  await visible(page, "Nothing passes the filters")
  expect(faults).toEqual([])
  await page.context().close()
}, 120_000)

test("no mesh, no right and no answer each say what to do; what was shown stays", async () => {
  await using fake = await FakeMesh.open()
  const { page, faults } = await openPage(browser, fake.url)
  await page.goto(fake.url)
  await visible(page, "Nothing runs in this mesh yet")
  await visible(page, "conduit inject -")
  fake.rows = [row("shop", "web")]
  await visible(page, "All is well")
  fake.fails = new ConnectError("service account conduit/conduit-web may not get it", Code.PermissionDenied)
  await visible(page, /These figures are \d+ s old/)
  await visible(page, /may not get it/)
  await visible(page, "All is well")
  await page.goto(`${fake.url}/deployments`)
  await visible(page, "No Deployments to show")
  // What the fake does not answer at all is told where it would stand, and the rest is shown.
  fake.fails = null
  await page.goto(`${fake.url}/deployments/shop/deployment/web`)
  await visible(page, "No routes to show")
  await visible(page, "No figures over time to show")
  await visible(page, "Called by")
  await page.goto(`${fake.url}/deployments/shop/deployment/gone`)
  await visible(page, "It is not there")
  await page.goto(`${fake.url}/live?to=shop/deploy/web`)
  await page.getByRole("button", { name: "Listen", exact: true }).click()
  await visible(page, "You may not see live calls")
  await visible(page, "kubectl create token conduit-tapper")
  expect(await violations(page)).toEqual([])
  await page.goto(`${fake.url}/nowhere`)
  await visible(page, "There is no such page")
  expect(faults).toEqual([])
  await page.context().close()
}, 120_000)

test("two hundred Deployments are drawn, and the first page's script is small", async () => {
  await using fake = await FakeMesh.open()
  fake.rows = Array.from({ length: 200 }, (_, index) => row(`ns${index % 8}`, `app-${index}`))
  const { page, faults } = await openPage(browser, fake.url)
  let bytes = 0
  page.on("response", async response => {
    if (response.url().endsWith(".js")) bytes += (await response.request().sizes()).responseBodySize
  })
  await page.goto(`${fake.url}/deployments`)
  await page.getByRole("row").nth(200).waitFor({ timeout: PATIENCE_MS })
  console.log(`  ${(bytes / 1024).toFixed(0)} KiB of script`)
  expect(bytes).toBeGreaterThan(0)
  expect(bytes).toBeLessThan(MAX_SCRIPT_BYTES)
  // Rows that are off the screen are drawn less often; one that is scrolled to shows figures of the moment.
  fake.rows = Array.from({ length: 200 }, (_, index) => row(`ns${index % 8}`, `app-${index}`, 1, 77))
  await page.getByRole("row").nth(1).getByText("77.0/s").waitFor({ timeout: PATIENCE_MS })
  const last = page.getByRole("row").nth(200)
  await last.scrollIntoViewIfNeeded()
  // Its turn alone would come within half a minute.
  await last.getByText("77.0/s").waitFor({ timeout: PATIENCE_MS / 3 })
  await page.goto(`${fake.url}/topology`)
  await page.locator(".node.collapsed").nth(7).waitFor({ timeout: PATIENCE_MS })
  await page.goto(`${fake.url}/topology?collapsed=-`)
  await page.locator(".node").nth(100).waitFor({ timeout: PATIENCE_MS })
  expect(faults).toEqual([])
  await page.context().close()
}, 120_000)
