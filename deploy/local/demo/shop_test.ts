// The demo shop without a mesh: its services and its load generator, on 127.0.0.1.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { type Call, shopCalls } from "./calls.ts"
import { startCart } from "./cart.ts"
import { startCatalog } from "./catalog.ts"
import { startLedger } from "./ledger.ts"
import { LedgerClient } from "./ledger_client.ts"
import { LoadGenerator, summary } from "./load.ts"
import { startNotify } from "./notify.ts"
import { startOrders } from "./orders.ts"
import { startPayments } from "./payments.ts"
import type { Service, ShopAddresses } from "./service.ts"
import { startStorefront } from "./storefront.ts"

const listen = { host: "127.0.0.1", port: 0 }
const services: Service[] = []
let addresses: ShopAddresses

beforeAll(async () => {
  const started = <S extends Service>(service: S): S => {
    services.push(service)
    return service
  }
  const ledger = `127.0.0.1:${started(startLedger(listen)).port}`
  const base = {
    ledger,
    catalog: `http://127.0.0.1:${started(startCatalog(listen)).port}`,
    cart: `http://127.0.0.1:${started(await startCart(listen)).port}`,
    orders: `http://127.0.0.1:${started(await startOrders(listen, ledger)).port}`,
    notify: `ws://127.0.0.1:${started(startNotify(listen)).port}`,
    payments: `http://127.0.0.1:${started(startPayments(listen, ledger)).port}`,
  }
  const storefront = started(startStorefront(listen, base)).port
  addresses = { ...base, storefront: `http://127.0.0.1:${storefront}` }
})

afterAll(async () => {
  for (const service of services.reverse()) service.stop()
})

test("each kind of call succeeds, but for every twentieth checkout", async () => {
  for (const call of shopCalls(addresses)) {
    const failures: string[] = []
    for (let n = 0; n < 40; n++) {
      const failure = await call.run(n)
      if (failure !== null) failures.push(failure)
    }
    expect({ name: call.name, failures }).toEqual({
      name: call.name,
      failures: call.name === "checkout" ? ["502", "502"] : [],
    })
  }
}, 30_000)

test("the ledger speaks first and counts every entry", async () => {
  const client = await LedgerClient.connect(addresses.ledger)
  const before = await client.command("COUNT")
  expect(await client.command("APPEND 250")).toBe(before + 1)
  expect(client.command("DROP TABLE")).rejects.toThrow("unknown command")
  expect(await client.command("COUNT")).toBe(before + 1)
  client.close()
  expect(client.command("COUNT")).rejects.toThrow("closed")
})

function fakeCall(perSecond: number, run: (n: number) => Promise<string | null>): Call {
  return { name: "fake", target: "nobody", perSecond, reaches: [], failsAt: [], run }
}

test("the generator sends at its rate, whatever the answers take, and counts why calls fail", async () => {
  let nowMs = 0
  const answers: ((failure: string | null) => void)[] = []
  const generator = new LoadGenerator(
    [
      fakeCall(10, n => {
        if (n === 0) throw new Error("refused")
        return new Promise(resolve => answers.push(resolve))
      }),
    ],
    () => nowMs,
  )
  generator.resume()
  nowMs = 1000
  generator.tick()
  await Promise.resolve()
  nowMs = 1040
  answers[0]?.(null)
  answers[1]?.("503")
  await Bun.sleep(0)
  const [counts] = generator.counts().calls
  expect(counts).toMatchObject({ sent: 10, succeeded: 1, failed: 2, inFlight: 7 })
  expect(counts?.failures).toEqual({ "503": 1, "connection: refused": 1 })
  const paused = generator.pause()
  for (const answer of answers.slice(2)) answer(null)
  await paused
  expect(generator.counts()).toMatchObject({ running: false, runningMs: 1040 })
  expect(generator.counts().calls[0]).toMatchObject({ sent: 10, succeeded: 8, failed: 2, inFlight: 0 })
  expect(summary(generator.counts())).toContain("total: 10 sent, 2 failed")
})

test("a service that hangs does not make calls pile up without bound, and what is held back is counted", async () => {
  let nowMs = 0
  const generator = new LoadGenerator([fakeCall(1000, () => new Promise(() => {}))], () => nowMs)
  generator.resume()
  nowMs = 1000
  generator.tick()
  generator.pause()
  expect(generator.counts().calls[0]).toMatchObject({ sent: 200, inFlight: 200, heldBack: 800 })
})

test("quantiles of latency are within two per cent", async () => {
  const { Latencies } = await import("./latency.ts")
  const latencies = new Latencies()
  expect(latencies.quantile(0.5)).toBeNull()
  for (let ms = 1; ms <= 1000; ms++) latencies.add(ms)
  for (const [share, truth] of [
    [0.5, 500],
    [0.95, 950],
    [0.99, 990],
    [1, 1000],
  ] as const)
    expect(Math.abs((latencies.quantile(share) ?? 0) / truth - 1)).toBeLessThanOrEqual(0.02)
})
