// How fast the page is before a mesh of 200 Deployments, 1,000 edges and 5,000 pods whose figures all change with each
// answer, in Debian's Chromium: until it can be used, its script, frames while it updates each second, and its memory over
// an hour of live mode, whose 1,800 updates are made in a few minutes. Run: bun tests/dashboard/page_bench.ts
// [UPDATES [PATH]], with a path only the hour of that page, with 0 updates only frames
import { rmSync } from "node:fs"
import { createConnectTransport } from "@connectrpc/connect-node"
import type { Browser, CDPSession, Page } from "playwright-core"
import { serveWeb } from "../../control/web/mod.ts"
import { compressed, webFiles, writeFiles } from "../../deploy/web/mod.ts"
import { launchBrowser } from "../lab/browser.ts"
import { tempFolder } from "../lab/temp_folder.ts"
import { PROMISED_SIZE, simulateApi } from "./simulated_mesh.ts"

/** How often figures are asked for while frames are counted, milliseconds. */
const UPDATE_MS = 1000
/** How often they are while an hour goes by; that hour has one each two seconds. */
const HASTY_MS = 60
/** Live calls told of each second: an hour's at the page's 50 a second, in the minutes that its updates take. */
const HASTY_TAP_RPS = 1000
/** Pages whose frames are counted, and something that says that they show the mesh. */
const PAGES = [
  ["/", "main .tiles"],
  ["/deployments", "tbody tr:nth-child(200)"],
  ["/deployments/team-0/deployment/app-0", "main .tiles"],
  ["/topology", ".react-flow__node"],
  ["/topology?collapsed=-", ".react-flow__node:nth-child(150)"],
  ["/policies", ".matrix tbody tr"],
  ["/routes", "tbody tr"],
  ["/live?to=team-0/deploy/app-0", "main form"],
] as const
/** A page that shows nothing that changes: as many frames a second as this machine has for one that does nothing. */
const AT_REST = "/settings?paused=true"
/** Pages that an hour goes by on, unless one is named. */
const HOURS: ReadonlySet<string> = new Set(["/", "/deployments", "/topology?collapsed=-"])

const updates = Number(process.argv[2] ?? 1800)
const [only] = process.argv.slice(3)
const api = await simulateApi(PROMISED_SIZE, only === undefined || updates === 0 ? undefined : HASTY_TAP_RPS)
const folder = tempFolder("dashboard-bench")
writeFiles(folder, compressed(await webFiles()))
const transport = createConnectTransport({ baseUrl: `http://${api.address}`, httpVersion: "2" })
const web = await serveWeb({
  ...{ files: folder, apiAddress: api.address, viewers: "reachable", hosts: new Set<string>() },
  ...{ host: "127.0.0.1", port: 0, transport: () => transport },
})
const base = `http://127.0.0.1:${web.port}`
const browser = await launchBrowser()
try {
  if (only === undefined) await opening(browser)
  if (only === undefined || updates === 0) {
    await frames(browser, AT_REST, "main")
    for (const [path, shown] of PAGES)
      if (only === undefined || path === only) await frames(browser, path, shown)
    await frames(browser, AT_REST, "main")
  }
  if (updates > 0) await anHour(browser)
} finally {
  await browser.close()
  web.close()
  api.close()
  rmSync(folder, { recursive: true })
}
process.exit(0)

/** Until the overview shows the mesh and can be used: its first answer is drawn, and a key is heard. */
async function opening(of: Browser): Promise<void> {
  const times: number[] = []
  let script = 0
  for (let round = 0; round < 5; round++) {
    const page = await (await of.newContext({ viewport: { width: 1280, height: 800 } })).newPage()
    if (round === 0)
      page.on("response", async answer => {
        if (answer.url().endsWith(".js")) script += (await answer.request().sizes()).responseBodySize
      })
    await page.addInitScript(`
      new MutationObserver(() => {
        if (window.usableMs === undefined && document.querySelector("main .tiles") !== null)
          requestAnimationFrame(() => setTimeout(() => { window.usableMs ??= performance.now() }))
      }).observe(document, { childList: true, subtree: true })`)
    await page.goto(`${base}/`)
    await page.waitForSelector("main .tiles")
    await Bun.sleep(300)
    times.push(await page.evaluate<number>("window.usableMs"))
    await page.context().close()
  }
  times.sort((a, b) => a - b)
  console.log(
    `usable after ${times[2]?.toFixed(0)} ms, median of 5 (${times.map(ms => ms.toFixed(0)).join(" ")}); ${(script / 1024).toFixed(0)} KiB of script`,
  )
}

/** Opens a page, and waits until it shows the mesh. */
async function show(page: Page, path: string, shown: string): Promise<void> {
  await page.goto(base + path)
  await page.waitForSelector(shown, { state: "attached", timeout: 60_000 })
  if (path.startsWith("/live")) await page.getByRole("button", { name: "Listen", exact: true }).click()
}

/** Frames, long tasks and script time of ten seconds of a page that updates each second. */
async function frames(of: Browser, path: string, shown: string): Promise<void> {
  const page = await live(of, UPDATE_MS)
  await show(page, path, shown)
  await Bun.sleep(4000)
  const cdp = await page.context().newCDPSession(page)
  await cdp.send("Performance.enable")
  const before = await figures(cdp)
  const calls = api.counts.calls
  const { gaps, tasks } = await page.evaluate<{ gaps: number[]; tasks: number[] }>(`new Promise(resolve => {
    const gaps = [], tasks = []
    const observer = new PerformanceObserver(list => tasks.push(...list.getEntries().map(one => one.duration)))
    observer.observe({ entryTypes: ["longtask"] })
    let last = performance.now()
    const end = last + 10000
    const frame = now => {
      gaps.push(now - last)
      last = now
      if (now < end) requestAnimationFrame(frame)
      else { observer.disconnect(); resolve({ gaps, tasks }) }
    }
    requestAnimationFrame(now => { last = now; requestAnimationFrame(frame) })
  })`)
  const after = await figures(cdp)
  const seconds = gaps.reduce((sum, one) => sum + one, 0) / 1000
  const per = (name: string) => ((1000 * ((after[name] ?? 0) - (before[name] ?? 0))) / seconds).toFixed(0)
  gaps.sort((a, b) => a - b)
  console.log(
    `${(path === AT_REST ? "nothing that changes" : path).padEnd(40)} ${(gaps.length / seconds).toFixed(1)} frames/s, longest pause ${gaps.at(-1)?.toFixed(0)} ms, ` +
      `long tasks ${tasks.length} (longest ${Math.max(0, ...tasks).toFixed(0)} ms); each second ${per("ScriptDuration")} ms script, ` +
      `${per("LayoutDuration")} layout, ${per("RecalcStyleDuration")} style; ${((api.counts.calls - calls) / seconds).toFixed(1)} calls/s`,
  )
  await page.context().close()
}

/** JavaScript heap, nodes and listeners at the start and the end of an hour's updates. */
async function anHour(of: Browser): Promise<void> {
  for (const [path, shown] of PAGES) {
    if (only === undefined ? !HOURS.has(path) : path !== only) continue
    const page = await live(of, HASTY_MS)
    let answers = 0
    page.on("response", answer => {
      if (answer.url().endsWith("/Edges")) answers++
    })
    await show(page, path, shown)
    const cdp = await page.context().newCDPSession(page)
    await cdp.send("Performance.enable")
    // Sparklines fill within five minutes of updates; what is kept of them is no leak.
    const marks = [150, updates / 2, updates]
    const seen: string[] = []
    for (const mark of marks) {
      while (answers < mark) await Bun.sleep(100)
      await cdp.send("HeapProfiler.collectGarbage")
      const { JSHeapUsedSize = 0, Nodes = 0, JSEventListeners = 0 } = await figures(cdp)
      seen.push(
        `${mark}: ${(JSHeapUsedSize / 1e6).toFixed(1)} MB, ${Nodes} nodes, ${JSEventListeners} listeners`,
      )
    }
    console.log(`${path.padEnd(40)} after updates ${seen.join("; ")}`)
    await page.context().close()
  }
}

/** A page that asks for figures so often, whatever it means to: its timers of seconds are shortened. */
async function live(of: Browser, everyMs: number): Promise<Page> {
  const context = await of.newContext({ viewport: { width: 1280, height: 800 } })
  const page = await context.newPage()
  // Straight to the API where updates are hasty: the dashboard's server gives the same answer for a second.
  if (everyMs < UPDATE_MS)
    await page.route("**/conduit.api.v1.ApiService/*", async route => {
      const { pathname } = new URL(route.request().url())
      await route.continue({ url: `http://${api.address}${pathname}` })
    })
  await page.addInitScript(`
    const later = window.setInterval
    window.setInterval = (call, ms, ...rest) => later(call, ms >= 1000 ? ms * ${everyMs / 2000} : ms, ...rest)`)
  return page
}

async function figures(cdp: CDPSession): Promise<Record<string, number>> {
  const { metrics } = await cdp.send("Performance.getMetrics")
  return Object.fromEntries(metrics.map(({ name, value }) => [name, value]))
}
