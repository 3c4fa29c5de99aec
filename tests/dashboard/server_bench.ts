// What fifty open pages cost the dashboard's server: anonymous memory and processor time of its process, before the API of
// a mesh of 200 Deployments, 1,000 edges and 5,000 pods. Run: bun tests/dashboard/server_bench.ts [SECONDS]
import { readFileSync, rmSync } from "node:fs"
import { join } from "node:path"
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf"
import { compressed, webFiles, writeFiles } from "../../deploy/web/mod.ts"
import { ApiService } from "../../protos/mod.ts"
import { PROJECT_ROOT } from "../lab/dev_mesh.ts"
import { tempFolder } from "../lab/temp_folder.ts"
import { PROMISED_SIZE, simulateApi } from "./simulated_mesh.ts"

/** Open pages. */
const VIEWERS = 50
/** What a page asks for, and how often, milliseconds: the overview, half of them a Deployment's page besides. */
const ASKED = [
  question(ApiService.method.stat, { target: { kind: "deployment" }, windowMs: 60_000 }, 2000),
  question(ApiService.method.stat, { target: { kind: "statefulset" }, windowMs: 60_000 }, 2000),
  question(ApiService.method.stat, { target: { kind: "daemonset" }, windowMs: 60_000 }, 2000),
  question(ApiService.method.edges, { target: { kind: "deployment" }, windowMs: 60_000 }, 2000),
  question(ApiService.method.timeSeries, { target: { kind: "namespace" }, rangeMs: 3_600_000 }, 30_000),
  // What sparklines begin with: a page asks once, and a person opens it again and again.
  question(
    ApiService.method.timeSeries,
    { target: { kind: "deployment" }, rangeMs: 300_000, stepMs: 10_000 },
    60_000,
  ),
  question(ApiService.method.events, { namespace: "", windowMs: 3_600_000 }, 10_000),
]

function question<Method extends (typeof ApiService.method)[keyof typeof ApiService.method]>(
  method: Method,
  init: MessageInitShape<Method["input"]>,
  everyMs: number,
) {
  const body = toBinary(method.input, create(method.input, init as never))
  return { path: `/${method.parent.typeName}/${method.name}`, body, everyMs }
}

const seconds = Number(process.argv[2] ?? 100)
const api = await simulateApi(PROMISED_SIZE)
const folder = tempFolder("dashboard-bench")
writeFiles(folder, compressed(await webFiles()))
const port = 18_084
const server = Bun.spawn({
  cmd: [
    process.execPath,
    ...(process.env.BENCH_BUN_ARGS ?? "").split(" ").filter(Boolean),
    join(PROJECT_ROOT, "control/main.ts"),
    "web",
    "--listen-host",
    "127.0.0.1",
  ],
  env: {
    ...process.env,
    ...{ CONDUIT_API_ADDR: api.address, CONDUIT_WEB_FILES: folder, CONDUIT_WEB_VIEWERS: "reachable" },
    ...{ CONDUIT_WEB_PORT: String(port), CONDUIT_ADMIN_PORT: "0" },
  },
  ...{ stdin: "ignore", stdout: "ignore", stderr: "inherit" },
})
const base = `http://127.0.0.1:${port}`
let failures = 0
let answers = 0
const timers: Timer[] = []
try {
  for (let tries = 0; tries < 200; tries++) {
    if (
      await fetch(base).then(
        answer => answer.ok,
        () => false,
      )
    )
      break
    await Bun.sleep(50)
  }
  await Bun.sleep(2000)
  console.log(`at rest ${anonymousMb()} MB`)
  const cpu = cpuSeconds()
  for (let viewer = 0; viewer < VIEWERS; viewer++)
    for (const { path, body, everyMs } of ASKED) {
      const ask = async (): Promise<void> => {
        const headers = { "content-type": "application/proto", "connect-protocol-version": "1" }
        const answer = await fetch(base + path, { method: "POST", body, headers }).catch(() => null)
        if (answer === null || !answer.ok) failures++
        else if ((await answer.bytes()).length >= 0) answers++
      }
      // Pages are opened at any time, not at once.
      timers.push(
        setTimeout(() => {
          void ask()
          timers.push(setInterval(() => void ask(), everyMs))
        }, Math.random() * everyMs),
      )
    }
  const seen: number[] = []
  for (let second = 1; second <= seconds; second++) {
    await Bun.sleep(1000)
    seen.push(anonymousMb())
  }
  const settled = seen.slice(5).sort((a, b) => a - b)
  const at = (share: number) => settled[Math.min(settled.length - 1, Math.floor(share * settled.length))]
  console.log(
    `${VIEWERS} viewers, ${seconds} s: anonymous MB least ${at(0)}, median ${at(0.5)}, most ${at(1)}, at the end ${seen.at(-1)}; ` +
      `${((100 * (cpuSeconds() - cpu)) / seconds).toFixed(0)} % of a core, ${(answers / seconds).toFixed(0)} answers/s, ` +
      `${(api.counts.calls / seconds).toFixed(1)} calls/s of the API, ${failures} failed`,
  )
} finally {
  for (const timer of timers) clearTimeout(timer)
  server.kill()
  await server.exited
  api.close()
  rmSync(folder, { recursive: true })
}
process.exit(failures > 0 ? 1 : 0)

function anonymousMb(): number {
  const text = readFileSync(`/proc/${server.pid}/status`, "utf8")
  return (Math.round(Number(/RssAnon:\s+(\d+)/.exec(text)?.[1]) * 1024) / 1e6) | 0
}

function cpuSeconds(): number {
  const fields = readFileSync(`/proc/${server.pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? []
  return (Number(fields[11]) + Number(fields[12])) / 100
}
