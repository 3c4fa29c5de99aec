// The load of balancing_test.ts, in a pod: all choosers at the same time, each at the same rate, so that whatever the machine
// does besides meets all of them alike. usage: bun balancing_load.ts PLAN; prints the figures by chooser as JSON.
import {
  CLIENT_TIMEOUT_MS,
  type Chooser,
  DIRECT_PORT,
  type LoadFigures,
  type LoadPlan,
} from "./balancing_world.ts"

const plan = JSON.parse(process.argv[2] ?? "") as LoadPlan
const underWay = plan.servers.map(() => 0)
let turn = 0

/** Index of the server that a request by the client itself goes to. */
function choose(chooser: Chooser): number {
  const count = plan.servers.length
  if (chooser === "round-robin") return turn++ % count
  const a = Math.floor(Math.random() * count)
  const b = Math.floor(Math.random() * count)
  return (underWay[b] ?? 0) < (underWay[a] ?? 0) ? b : a
}

async function ask(url: string): Promise<boolean> {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(CLIENT_TIMEOUT_MS) })
    await answer.arrayBuffer()
    return answer.ok
  } catch {
    return false
  }
}

async function send(chooser: Chooser): Promise<boolean> {
  if (chooser === "mesh") return ask(plan.service)
  const server = choose(chooser)
  if (chooser === "round-robin") return ask(`http://${plan.servers[server]}:${DIRECT_PORT}/`)
  underWay[server] = (underWay[server] ?? 0) + 1
  const ok = await ask(`http://${plan.servers[server]}:${DIRECT_PORT}/`)
  underWay[server] = (underWay[server] ?? 0) - 1
  return ok
}

async function run(chooser: Chooser): Promise<LoadFigures> {
  const times: number[] = []
  let failed = 0
  const started = performance.now()
  const all: Promise<void>[] = []
  const count = Math.floor(((plan.warmupMs + plan.measuredMs) * plan.perSecond) / 1000)
  for (let i = 0; i < count; i++) {
    const due = started + (i * 1000) / plan.perSecond
    if (due > performance.now()) await Bun.sleep(due - performance.now())
    const begun = performance.now()
    all.push(
      send(chooser).then(ok => {
        if (begun - started < plan.warmupMs) return
        times.push(performance.now() - begun)
        if (!ok) failed++
      }),
    )
  }
  await Promise.all(all)
  times.sort((a, b) => a - b)
  const at = (share: number): number => times[Math.floor(times.length * share)] ?? 0
  return { sent: times.length, failed, p50: at(0.5), p99: at(0.99) }
}

const figures = await Promise.all(plan.choosers.map(async chooser => [chooser, await run(chooser)]))
console.log(JSON.stringify(Object.fromEntries(figures)))
process.exit(0)
