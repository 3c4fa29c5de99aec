// Debian's Chromium for tests of the dashboard. Whatever a page does that it must not is kept: errors of its code, what its
// content security policy refused, and requests to other hosts.
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { type Browser, chromium, type Page } from "playwright-core"
import { PROJECT_ROOT } from "./dev_mesh.ts"

/** Where Debian has it. */
const CHROMIUM = "/usr/bin/chromium"
/** Rules of WCAG 2.2, levels A and AA. */
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]

/** Starts it. In a container it has no sandbox of its own. @throws Error when it is not installed */
export async function launchBrowser(): Promise<Browser> {
  return await chromium.launch({
    executablePath: CHROMIUM,
    args: ["--no-sandbox", "--disable-dev-shm-usage"],
  })
}

/** How a page is looked at. */
export interface Look {
  /** Default 1024. */
  readonly width?: number
  /** Default `light`. */
  readonly scheme?: "light" | "dark"
}

/** A page, and what it did that it must not. */
export interface WatchedPage {
  readonly page: Page
  /** A line for each; empty for a page that behaves. */
  readonly faults: readonly string[]
}

/** Opens a page of the dashboard at `base`. */
export async function openPage(browser: Browser, base: string, look: Look = {}): Promise<WatchedPage> {
  const { width = 1024, scheme = "light" } = look
  const context = await browser.newContext({ viewport: { width, height: 800 }, colorScheme: scheme })
  const page = await context.newPage()
  const faults: string[] = []
  page.on("pageerror", error => faults.push(`error: ${error.message}`))
  page.on("console", message => {
    if (/content security policy/i.test(message.text())) faults.push(message.text())
  })
  page.on("dialog", dialog => {
    faults.push(`a dialog: ${dialog.message()}`)
    void dialog.dismiss()
  })
  page.on("request", request => {
    const { origin } = new URL(request.url())
    if (origin !== new URL(base).origin && !request.url().startsWith("data:"))
      faults.push(`asked ${request.url()}`)
  })
  return { page, faults }
}

let axe = ""

/** What axe finds against levels A and AA, a line each. */
export async function violations(page: Page): Promise<string[]> {
  axe ||= readFileSync(join(PROJECT_ROOT, "node_modules/axe-core/axe.min.js"), "utf8")
  await page.evaluate(axe)
  return await page.evaluate<string[]>(
    `axe.run({ runOnly: ${JSON.stringify(RULES)} }).then(({ violations }) =>
      violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => id + ": " + html.slice(0, 200))))`,
  )
}

/** Keeps a picture of the whole page beside the output of the checks, `.build/test/dashboard/NAME.png`. */
export async function picture(page: Page, name: string): Promise<void> {
  await page.screenshot({ path: join(PROJECT_ROOT, ".build/test/dashboard", `${name}.png`), fullPage: true })
}
