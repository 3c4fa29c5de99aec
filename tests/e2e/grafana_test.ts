// What a Grafana and an alert manager would get of a real mesh: every query of every dashboard, every choice at the top
// of one, and every alert rule, asked of a real Prometheus that scrapes the mesh's proxies and its control plane.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { parse } from "yaml"
import { DASHBOARDS, type Panel, type Target } from "../../deploy/grafana/mod.ts"
import { DevMesh, PROJECT_ROOT } from "../lab/dev_mesh.ts"
import { tempFolder } from "../lab/temp_folder.ts"

const ALERTS = join(PROJECT_ROOT, "deploy/grafana/alerts")
/** What Grafana would put in: four scrapes, and what is chosen. */
const CHOSEN: Readonly<Record<string, string>> = {
  __rate_interval: "20s",
  namespace: "shop",
  deployment: "cart",
  service: "cart",
  route: ".*",
}

const CART = `
Bun.serve({ hostname: "0.0.0.0", port: 8080, fetch(request) {
  const { pathname } = new URL(request.url)
  return new Response("ok", { status: pathname === "/fails" ? 500 : 200 }) } })
setInterval(() => { fetch("http://prices/").catch(() => {}); fetch("http://nobody/").catch(() => {}) }, 100)`

const WEB = `
const call = (path, method) => fetch("http://cart" + path, { method }).catch(() => {})
setInterval(() => { call("/", "GET"); call("/fails", "GET"); call("/", "DELETE") }, 100)`

const PRICES = `Bun.serve({ hostname: "0.0.0.0", port: 8080, fetch: () => new Response("1") })`

function deployment(name: string, namespace: string, command: readonly string[], annotations = {}): object {
  const container = { name: "app", image: "app", command, ports: [{ name: "http", containerPort: 8080 }] }
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace },
    spec: {
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name }, annotations },
        spec: { serviceAccountName: name, containers: [container] },
      },
    },
  }
}

function service(name: string): object {
  const spec = { selector: { app: name }, ports: [{ name: "http", port: 80, targetPort: "http" }] }
  return { apiVersion: "v1", kind: "Service", metadata: { name, namespace: "shop" }, spec }
}

function objects(folder: string): object[] {
  const run = (script: string) => [process.execPath, "-e", script]
  const prometheus = [
    "prometheus",
    `--config.file=${folder}/prometheus.yml`,
    `--storage.tsdb.path=${folder}/data`,
    "--web.listen-address=0.0.0.0:9090",
  ]
  return [
    ...["shop", "monitoring"].map(name => ({ apiVersion: "v1", kind: "Namespace", metadata: { name } })),
    deployment("cart", "shop", run(CART), {
      "config.conduit.io/access-log": "json",
      // Nobody is there: its proxy serves all the same.
      "config.conduit.io/trace-collector": "127.0.0.1:4318",
      "config.conduit.io/trace-sampling": "0.5",
    }),
    deployment("web", "shop", run(WEB)),
    deployment("prices", "shop", run(PRICES)),
    deployment("prometheus", "monitoring", prometheus, { "conduit.io/inject": "disabled" }),
    ...["cart", "prices", "nobody"].map(service),
    {
      apiVersion: "gateway.networking.k8s.io/v1",
      kind: "HTTPRoute",
      metadata: { name: "cart", namespace: "shop" },
      spec: {
        parentRefs: [{ group: "", kind: "Service", name: "cart", port: 80 }],
        rules: [{ name: "all", backendRefs: [{ name: "cart", port: 80 }] }],
      },
    },
    {
      apiVersion: "policy.conduit.io/v1alpha1",
      kind: "AuthorizationPolicy",
      metadata: { name: "no-delete", namespace: "shop" },
      spec: {
        target: { kind: "Deployment", name: "cart" },
        action: "Deny",
        rules: [{ from: [{ deployments: ["shop/web"] }], to: [{ methods: ["DELETE"] }] }],
      },
    },
  ]
}

/** The labels of targets are those of the scrape configuration for Kubernetes. */
function scrapeConfig(folder: string): object {
  const job = (name: string) => ({
    job_name: name,
    file_sd_configs: [{ files: [`${folder}/${name}.json`], refresh_interval: "1s" }],
  })
  return {
    global: { scrape_interval: "1s", scrape_timeout: "1s" },
    scrape_configs: [job("conduit-proxy"), job("conduit-controller")],
  }
}

let mesh: DevMesh
let folder = ""

beforeAll(async () => {
  folder = tempFolder("grafana")
  writeFileSync(join(folder, "prometheus.yml"), JSON.stringify(scrapeConfig(folder)))
  mesh = await DevMesh.up({ name: "grafana", objects: objects(folder) })
  const pods = await mesh.pods()
  const target = (address: string, labels: object) => ({ targets: [address], labels })
  const proxies = pods
    .filter(({ meshed }) => meshed)
    .map(({ ip, namespace, pod, deployment }) => target(`${ip}:4191`, { namespace, pod, deployment }))
  const control = pods
    .filter(({ namespace }) => namespace === "conduit")
    .map(({ ip, namespace, pod, deployment }) =>
      target(`${ip}:9990`, { namespace, pod, component: deployment.replace(/^conduit-/, "") }),
    )
  for (const [name, targets] of [
    ["conduit-proxy", proxies],
    ["conduit-controller", control],
  ] as const) {
    writeFileSync(join(folder, "targets"), JSON.stringify(targets))
    renameSync(join(folder, "targets"), join(folder, `${name}.json`))
  }
}, 180_000)

afterAll(async () => {
  await mesh?.[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
}, 60_000)

/** One series of an answer. */
interface Row {
  readonly metric: Readonly<Record<string, string>>
  readonly value: readonly [time: number, value: string]
}

/** Answer of Prometheus. */
interface Answer {
  readonly status: string
  readonly error?: string
  readonly data?: { readonly result: readonly Row[] } | readonly unknown[]
}

/**
 * Asks paths of Prometheus' API, from within the mesh's network. Asked again for up to 40 s while the answer to one of
 * `wanted` is empty: rates need two scrapes, and the mesh has just begun.
 */
async function ask(paths: readonly string[], wanted: readonly string[]): Promise<Map<string, Answer>> {
  const file = join(folder, `${crypto.randomUUID()}.json`)
  writeFileSync(file, JSON.stringify({ paths, wanted }))
  const script = `
    const { paths, wanted } = JSON.parse(await Bun.file(${JSON.stringify(file)}).text())
    const deadline = Date.now() + 40_000
    const get = async path => (await fetch("http://127.0.0.1:9090" + path)).json()
    const isEmpty = ({ data }) => (Array.isArray(data) ? data : (data?.result ?? [])).length === 0
    let open = wanted
    while (open.length > 0 && Date.now() < deadline) {
      const answers = await Promise.all(open.map(get))
      open = open.filter((_path, i) => isEmpty(answers[i]))
      if (open.length > 0) await Bun.sleep(500)
    }
    console.log(JSON.stringify(await Promise.all(paths.map(async path => [path, await get(path)]))))`
  const { status, stdout, stderr } = await mesh.exec("monitoring", "prometheus", [
    process.execPath,
    "-e",
    script,
  ])
  if (status !== 0) throw new Error(`the script in Prometheus' pod ended with ${status}: ${stderr}`)
  return new Map(JSON.parse(stdout) as [string, Answer][])
}

async function callApi(until: { readonly over: boolean }): Promise<void> {
  while (!until.over) await mesh.cli("stat", "deploy", "-A")
}

function filledIn(expr: string): string {
  return expr.replace(/\$(\w+)/g, (_all, name: string) => CHOSEN[name] ?? "")
}

function queryPath(expr: string): string {
  return `/api/v1/query?query=${encodeURIComponent(filledIn(expr))}`
}

/** What is wrong with the answer to a query of a panel; "" for nothing. */
function complaint(panel: Panel, { expr, legend }: Target, answer: Answer | undefined): string {
  const where = `${panel.title}, ${legend}: ${filledIn(expr)}`
  if (answer?.status !== "success") return `${where}: ${answer?.error}`
  const rows = (answer.data as { result: readonly Row[] }).result
  if (panel.onlyOnKubernetes !== undefined) return rows.length === 0 ? "" : `${where}: has figures after all`
  if (rows.length === 0) return `${where}: no figures`
  const labels = [...legend.matchAll(/\{\{(\w+)\}\}/g)].map(([, label = ""]) => label)
  for (const { metric, value } of rows) {
    const number = Number(value[1])
    // An expiry may lie in the past; nothing else is negative, and no share is above 1.
    const least = panel.unit === "s" ? Number.NEGATIVE_INFINITY : 0
    const most = panel.unit === "percentunit" || legend.startsWith("success") ? 1 : Number.POSITIVE_INFINITY
    if (!Number.isFinite(number) || number < least || number > most) return `${where}: is ${value[1]}`
    const names = Object.keys(metric)
    for (const label of labels) if (!names.includes(label)) return `${where}: ${label} is missing`
    for (const name of names) if (!labels.includes(name)) return `${where}: ${name} is not in the legend`
  }
  if (labels.length === 0 && rows.length > 1) return `${where}: ${rows.length} series without a name`
  return ""
}

test("every query of every dashboard gives figures of the shape that its panel shows", async () => {
  const panels = DASHBOARDS.flatMap(({ rows }) => rows.flatMap(({ panels }) => panels))
  const asked = panels.flatMap(panel => panel.targets.map(target => ({ panel, target })))
  const paths = asked.map(({ target }) => queryPath(target.expr))
  const wanted = paths.filter((_path, i) => asked[i]?.panel.onlyOnKubernetes === undefined)
  // The API is called meanwhile, so that it has rates too.
  const asking = { over: false }
  const calls = callApi(asking)
  const answers = await ask(paths, wanted)
  asking.over = true
  await calls
  const complaints = asked.map(({ panel, target }) =>
    complaint(panel, target, answers.get(queryPath(target.expr))),
  )
  expect(complaints.filter(text => text !== "")).toEqual([])
  expect(asked.length).toBeGreaterThan(80)
}, 90_000)

test("every choice at the top of a dashboard offers what there is", async () => {
  for (const { variables } of DASHBOARDS) {
    for (const { name, of, values } of variables) {
      const path = `/api/v1/label/${values}/values?match[]=${encodeURIComponent(filledIn(of))}`
      const offered = (await ask([path], [])).get(path)?.data as string[]
      expect(offered).toContain(name === "route" ? "all" : (CHOSEN[name] ?? ""))
    }
  }
}, 60_000)

test("the figures are those that the mesh makes: what fails, what is denied, what is secured", async () => {
  const share =
    'sum(rate(response_total{direction="inbound", deployment="cart", classification="failure"}[20s])) / sum(rate(response_total{direction="inbound", deployment="cart"}[20s]))'
  const [top] = DASHBOARDS
  const secured = top?.rows[0]?.panels.find(({ title }) => title === "Secured")?.targets[0]?.expr ?? ""
  const pods = top?.rows[0]?.panels.find(({ title }) => title === "Meshed pods")?.targets[0]?.expr ?? ""
  const answers = await ask([share, secured, pods].map(queryPath), [])
  const value = (expr: string) => {
    const data = answers.get(queryPath(expr))?.data as { result: readonly Row[] }
    return Number(data.result[0]?.value[1])
  }
  // One of three calls of web fails; those that are denied are no failures.
  expect(value(share)).toBeGreaterThan(0.2)
  expect(value(share)).toBeLessThan(0.5)
  // All but what was called before there were certificates.
  expect(value(secured)).toBeGreaterThan(0.5)
  expect(value(secured)).toBeLessThanOrEqual(1)
  expect(value(pods)).toBe(3)
}, 60_000)

test("alert rules hold in promtool's tests, and name figures that the mesh has", async () => {
  const tested = Bun.spawnSync(["promtool", "test", "rules", "conduit_test.yml"], { cwd: ALERTS })
  expect(`${tested.stdout}${tested.stderr}`).toContain("SUCCESS")
  expect(tested.exitCode).toBe(0)
  const { groups } = parse(readFileSync(join(ALERTS, "conduit.yml"), "utf8")) as {
    groups: { rules: { alert: string; expr: string }[] }[]
  }
  const rules = groups.flatMap(group => group.rules)
  const names = "/api/v1/label/__name__/values"
  const answers = await ask([names, ...rules.map(({ expr }) => queryPath(expr))], [])
  for (const { alert, expr } of rules) {
    expect({ alert, status: answers.get(queryPath(expr))?.status }).toEqual({ alert, status: "success" })
  }
  // A local mesh has no webhook.
  const absent = /^injector_/
  const known = new Set(answers.get(names)?.data as string[])
  const named = rules.flatMap(({ expr }) => [...expr.matchAll(/\b([a-z]+_[a-z_]+)(?=[{[ )]|$)/gm)])
  const metrics = named
    .map(([name]) => name)
    .filter(name => /_(total|seconds|fds|connected|problems)$/.test(name))
  expect(metrics.length).toBeGreaterThan(20)
  expect(metrics.filter(name => !absent.test(name) && !known.has(name))).toEqual([])
}, 60_000)

test("the access log that an annotation asks for is in the proxy's log, with who called", async () => {
  const lines = (await mesh.logs("shop", "cart", "conduit-proxy")).split("\n")
  const logged = lines.filter(line => line.startsWith('{"client.addr"')).map(line => JSON.parse(line))
  // The last ones: the first may have come before certificates, or before the control plane knew of all Services.
  const failed = logged.findLast(({ uri, direction }) => uri === "/fails" && direction === "inbound")
  expect(failed).toMatchObject({ host: "cart", method: "GET", status: 500, version: "HTTP/1.1" })
  expect(failed["client.id"]).toStartWith("web.shop.serviceaccount.")
  const denied = logged.findLast(({ method }) => method === "DELETE")
  expect(denied).toMatchObject({ status: 403, error: "denied" })
  const unreached = logged.findLast(({ host }) => host === "nobody")
  expect(unreached).toMatchObject({ direction: "outbound", status: 503, error: "no-endpoint" })
  expect(logged.some(({ trace_id }) => /^[0-9a-f]{32}$/.test(trace_id))).toBe(true)
}, 30_000)
