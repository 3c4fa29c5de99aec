// Each page in each of its states: it is loading, there is nothing, the API fails, what is shown is old, nobody may see it,
// half of it fails, and all is there. CONDUIT_PICTURES=all keeps a picture of each, light and dark, at 360, 1024 and 1920
// pixels, in .build/test/dashboard, and holds each to levels A and AA of WCAG.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { rmSync } from "node:fs"
import { createConnectTransport } from "@connectrpc/connect-node"
import type { Browser, Page, Route } from "playwright-core"
import { serveWeb } from "../../control/web/mod.ts"
import { compressed, webFiles, writeFiles } from "../../deploy/web/mod.ts"
import { launchBrowser, openPage, picture, violations } from "../lab/browser.ts"
import { tempFolder } from "../lab/temp_folder.ts"
import { type SimulatedApi, simulateApi } from "./simulated_mesh.ts"
import { HOSTILE, PANELS } from "./simulated_panels.ts"

const PAGES = [
  "/",
  "/deployments",
  "/deployments/team-0/deployment/app-0",
  "/deployments/team-0/deployment/app-3",
  "/topology",
  "/routes",
  "/gateway",
  "/explain?from=team-0/deploy/app-0&to=app-1.team-1:80&path=/charge",
  "/live?to=team-0/deploy/app-0",
  "/policies",
  "/certificates",
  "/health",
  "/plugins",
  "/settings",
]
/** An answer that is not there yet at this time never comes: CALL_TIMEOUT_MS, and a second more. */
const GIVEN_UP_MS = 11_000
const LOOKS =
  process.env.CONDUIT_PICTURES === "all"
    ? (["light", "dark"] as const).flatMap(scheme => [360, 1024, 1920].map(width => ({ scheme, width })))
    : [{ scheme: "light" as const, width: 1024 }]
const SIZE = { namespaces: 3, deployments: 12, edges: 24, pods: 36 }
const CALLS = "**/conduit.api.v1.ApiService/*"

/** What is done to calls of a page before it is opened, and what it must say afterwards. */
interface State {
  readonly name: string
  readonly calls: (route: Route) => Promise<void>
  /** What is done once it is open. */
  readonly once?: (page: Page, path: string) => Promise<void>
  /** What is done at last. */
  readonly afterwards?: (page: Page, path: string) => Promise<void>
  /** What one of its parts says, of pages that ask for something. */
  readonly says?: RegExp
  /** Default: all. */
  readonly pages?: readonly string[]
}

const refused = (status: number, code: string, message: string) => async (route: Route) =>
  await route.fulfill({ status, contentType: "application/json", body: JSON.stringify({ code, message }) })
const away = refused(503, "unavailable", "the API cannot be reached: connection refused")

const STATES: readonly State[] = [
  {
    name: "full",
    calls: async route => await route.continue(),
    once: async (page, path) => {
      if (!path.startsWith("/live")) return
      await page.getByLabel(/^Token/).fill("token")
      await page.getByRole("button", { name: "Listen", exact: true }).click()
      await page.locator("tbody tr").nth(30).waitFor()
      await page.getByRole("button", { name: "Pause", exact: true }).click()
    },
  },
  {
    name: "never answered",
    calls: async () => {},
    once: async (page, path) => {
      await awaited(page, path)
      await picture(page, nameOf(path, "loading", page.viewportSize()?.width ?? 0))
      await page.clock.fastForward(GIVEN_UP_MS)
    },
    says: /No .+ to show/,
    // What was too slow and is so no longer is shown without anybody asking for it.
    afterwards: async page => {
      await page.unrouteAll({ behavior: "ignoreErrors" })
      await page.clock.fastForward(SLOWEST_MS)
      await page.locator(":is(.failed, .loading)").first().waitFor({ state: "detached" })
    },
  },
  {
    name: "trickling",
    calls: async route => {
      const { pathname } = new URL(route.request().url())
      await route.continue({ url: `http://127.0.0.1:${trickle.port}${pathname}` })
    },
    once: async (page, path) => {
      await awaited(page, path)
      await page.clock.fastForward(GIVEN_UP_MS)
    },
    says: /No .+ to show/,
  },
  {
    name: "empty",
    // A message without fields, and a stream that ends at once.
    calls: async route =>
      route.request().url().endsWith("/Identities")
        ? await route.fulfill({
            contentType: "application/connect+proto",
            body: Buffer.from([2, 0, 0, 0, 2, 0x7b, 0x7d]),
          })
        : await route.fulfill({ contentType: "application/proto", body: "" }),
  },
  { name: "error", calls: away, says: /No .+ to show/ },
  {
    name: "no permission",
    calls: refused(403, "permission_denied", "service account conduit/conduit-web may not get it"),
    says: /may not get it/,
  },
  {
    name: "half fails",
    calls: async route =>
      /\/(Stat|Edges)$/.test(route.request().url()) ? await route.continue() : await away(route),
  },
  {
    name: "stale",
    // What says how old figures are stands around pages.
    pages: PAGES.filter(path => /^\/($|deployments|topology|policies)/.test(path)),
    calls: async route => await route.continue(),
    once: async page => {
      await page.route(CALLS, away)
      await page.clock.fastForward(GIVEN_UP_MS)
      await page.getByText(/These figures are \d+ s old/).waitFor()
    },
  },
  {
    name: "cut",
    calls: async route => await route.abort("connectionrefused"),
    says: /is conduit dashboard still running/,
  },
]
/** What is asked for least often is asked for again after this time. */
const SLOWEST_MS = 31_000

/** A page that asks for something says so. */
async function awaited(page: Page, path: string): Promise<void> {
  if (ASKS_NOTHING.test(path)) return
  await page
    .locator("main")
    .getByText(/Asking for/)
    .first()
    .waitFor()
}

/** They ask for nothing before somebody wants it, or say what they know without. */
const ASKS_NOTHING = /^\/(live|settings|explain)/

function nameOf(path: string, state: string, width: number, scheme = "light"): string {
  const place = path.replace(/\?.*/, "").replaceAll("/", "_")
  return `${place}-${state.replaceAll(" ", "-")}-${scheme}-${width}`
}

let browser: Browser
let api: SimulatedApi
let web: Awaited<ReturnType<typeof serveWeb>>
let trickle: Bun.Server<undefined>
let base = ""
const folder = tempFolder("dashboard-states")

beforeAll(async () => {
  api = await simulateApi(SIZE)
  writeFiles(folder, compressed(await webFiles()))
  const transport = createConnectTransport({ baseUrl: `http://${api.address}`, httpVersion: "2" })
  web = await serveWeb({
    ...{ files: folder, apiAddress: api.address, viewers: "forwarded", hosts: new Set<string>() },
    ...{ host: "127.0.0.1", port: 0, transport: () => transport },
  })
  // Of each answer half comes, and never the rest.
  trickle = Bun.serve({
    ...{ hostname: "127.0.0.1", port: 0 },
    fetch: async request => {
      const { pathname } = new URL(request.url)
      const { method, headers } = request
      const body = await request.arrayBuffer()
      const answer = await fetch(`http://${api.address}${pathname}`, { method, headers, body })
      const bytes = await answer.bytes()
      const half = new ReadableStream({
        start: stream => stream.enqueue(bytes.subarray(0, Math.ceil(bytes.length / 2))),
      })
      return new Response(half, { headers: { "content-type": answer.headers.get("content-type") ?? "" } })
    },
  })
  base = `http://127.0.0.1:${web.port}`
  browser = await launchBrowser()
}, 60_000)

afterAll(async () => {
  await browser?.close()
  void trickle?.stop(true)
  web?.close()
  api?.close()
  rmSync(folder, { recursive: true, force: true })
})

for (const state of STATES)
  test(
    `every page has something to say: ${state.name}`,
    async () => {
      for (const { scheme, width } of LOOKS) {
        const { page, faults } = await openPage(browser, base, { scheme, width })
        await page.clock.install()
        for (const path of state.pages ?? PAGES) {
          await page.unrouteAll({ behavior: "ignoreErrors" })
          await page.route(CALLS, state.calls)
          await page.goto(base + path)
          await page.locator("main :is(h1, .state)").first().waitFor()
          if (state.name === "full" || state.name === "stale" || state.name === "half fails")
            await page.locator(".loading, .graph-wait").first().waitFor({ state: "detached" })
          await state.once?.(page, path)
          if (state.says !== undefined && !ASKS_NOTHING.test(path))
            await page.locator("main").getByText(state.says).first().waitFor()
          const words = ((await page.locator("main").textContent()) ?? "").trim()
          expect({ path, words: words.length > 20 }).toEqual({ path, words: true })
          // Nothing waits for an answer that does not come.
          await page.locator(".loading").first().waitFor({ state: "detached" })
          const name = nameOf(path, state.name, width, scheme)
          await picture(page, name)
          if (LOOKS.length > 1) expect({ name, found: await violations(page) }).toEqual({ name, found: [] })
          await state.afterwards?.(page, path)
        }
        expect(faults).toEqual([])
        await page.context().close()
      }
    },
    LOOKS.length * 120_000,
  )

test("panels of plugins are drawn as data: whatever their texts hold is text", async () => {
  const { page, faults } = await openPage(browser, base, { scheme: "dark", width: 1024 })
  await page.goto(`${base}/plugins`)
  const panel = page.locator(".panel")
  await panel.nth(PANELS.length - 1).waitFor()
  const shown = HOSTILE.replace("\u202e", "⟨U+202E⟩")
  expect(await panel.nth(3).locator("h2").textContent()).toBe(shown)
  expect(await panel.nth(3).locator("li strong").first().textContent()).toBe(shown)
  expect(await page.locator(".panel :is(img, b, u, script, a)").count()).toBe(0)
  expect(await page.title()).not.toBe("owned")
  expect(await panel.nth(0).locator("dd").allTextContents()).toEqual(["1,234.57 EUR", "8,123,456", "61.2 %"])
  expect(await panel.nth(1).locator("tbody tr").nth(2).locator("td").allTextContents()).toEqual([
    ...["team-2/app-2", "–", "1E-12 EUR"],
  ])
  expect(await panel.nth(1).textContent()).toContain("17 more rows not shown")
  expect(await panel.nth(2).locator("figure").count()).toBe(2)
  expect(await panel.nth(4).textContent()).toContain("registry: it did not answer within 500 ms")
  for (const { scheme, width } of [
    { scheme: "dark" as const, width: 1024 },
    { scheme: "light" as const, width: 360 },
  ]) {
    const look = await openPage(browser, base, { scheme, width })
    await look.page.goto(`${base}/plugins`)
    await look.page
      .locator(".panel")
      .nth(PANELS.length - 1)
      .waitFor()
    const name = nameOf("/plugins", "panels", width, scheme)
    await picture(look.page, name)
    expect({ name, found: await violations(look.page) }).toEqual({ name, found: [] })
    expect(look.faults).toEqual([])
    await look.page.context().close()
  }
  expect(faults).toEqual([])
  await page.context().close()
}, 120_000)
