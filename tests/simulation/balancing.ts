// Ten servers behind a balancer in simulated time: open load, each server a queue with a few workers, one of them in
// trouble. The balancer is the proxy's own, or one of the two that it is compared with.
import { type Endpoint, EndpointSet, NONE_TRIED, UNKNOWN_ENDPOINT } from "../../proxy/balance/mod.ts"
import { exponential, percentile, SimulatedTime, seeded } from "./time.ts"

/** How the endpoint of a request is chosen. */
export type Balancer = "peak-ewma" | "round-robin" | "least-requests"
/** What is wrong with one server of ten. */
export type Trouble = "slow" | "dead" | "flapping"

const SERVERS = 10
const WORKERS = 4
const SERVICE_MS = 10
const SLOW_FACTOR = 10
/** Half of what ten sound servers can do. */
const LOAD_PER_SECOND = (SERVERS * WORKERS * 1000) / SERVICE_MS / 2
const FLAP_MS = 2000
const CONNECT_TIMEOUT_MS = 1000
const WARMUP_MS = 5000
const RUN_MS = 25_000

/** One server: requests wait for a worker in the order in which they came. */
class Server {
  private readonly freeAtMs = new Array<number>(WORKERS).fill(0)

  serve(nowMs: number, serviceMs: number): number {
    const worker = this.freeAtMs.indexOf(Math.min(...this.freeAtMs))
    const done = Math.max(nowMs, this.freeAtMs[worker] ?? 0) + serviceMs
    this.freeAtMs[worker] = done
    return done - nowMs
  }
}

/** p99 of latencies, milliseconds. A server that is dead takes no connection: those who meet it try another after a second. */
export function p99Of(balancer: Balancer, trouble: Trouble, seed: number): number {
  const time = new SimulatedTime()
  const random = seeded(seed)
  const set = new EndpointSet(random)
  set.replace(
    Array.from({ length: SERVERS }, (_, i) => ({
      address: `10.0.0.${i}`,
      port: 80,
      info: { ...UNKNOWN_ENDPOINT, pod: `p${i}` },
    })),
    0,
  )
  const endpoints = [...set.endpoints()]
  const servers = new Map(endpoints.map(endpoint => [endpoint, new Server()]))
  const latencies: number[] = []
  const unanswered = new Set<{ readonly bornMs: number }>()
  let turn = 0

  const choose = (tried: readonly Endpoint[]): Endpoint | null => {
    if (balancer === "peak-ewma") return set.pick(tried, time.nowMs)
    const left = tried.length === 0 ? endpoints : endpoints.filter(endpoint => !tried.includes(endpoint))
    if (balancer === "round-robin") return left[turn++ % left.length] ?? null
    const a = left[Math.floor(random() * left.length)] ?? null
    const b = left[Math.floor(random() * left.length)] ?? null
    return a !== null && b !== null && b.pending < a.pending ? b : a
  }

  const send = (request: { readonly bornMs: number }, tried: readonly Endpoint[]): void => {
    const endpoint = choose(tried)
    if (endpoint === null) return
    const troubled = endpoint === endpoints[0]
    endpoint.pending++
    const pickedMs = time.nowMs
    if (troubled && trouble === "dead" && pickedMs > WARMUP_MS / 2) {
      time.after(CONNECT_TIMEOUT_MS, () => {
        endpoint.pending--
        if (balancer === "peak-ewma") endpoint.connectFailed(time.nowMs, random())
        send(request, [...tried, endpoint])
      })
      return
    }
    const slow =
      troubled && (trouble === "slow" || (trouble === "flapping" && Math.floor(pickedMs / FLAP_MS) % 2 === 1))
    const serviceMs = exponential(SERVICE_MS * (slow ? SLOW_FACTOR : 1), random)
    time.after(servers.get(endpoint)?.serve(pickedMs, serviceMs) ?? 0, () => {
      endpoint.pending--
      endpoint.latency.observe(time.nowMs - pickedMs, time.nowMs)
      if (endpoint.connectFailures > 0) endpoint.connected()
      unanswered.delete(request)
      if (request.bornMs > WARMUP_MS) latencies.push(time.nowMs - request.bornMs)
    })
  }

  const arrive = (): void => {
    const request = { bornMs: time.nowMs }
    unanswered.add(request)
    send(request, NONE_TRIED)
    time.after(exponential(1000 / LOAD_PER_SECOND, random), arrive)
  }
  arrive()
  time.run(RUN_MS)
  // What still waits has waited so long at least: to leave it out would praise whoever never answers.
  for (const { bornMs } of unanswered) if (bornMs > WARMUP_MS) latencies.push(RUN_MS - bornMs)
  return percentile(latencies, 0.99)
}
