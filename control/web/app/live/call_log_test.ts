// What a page keeps of live requests.
import { expect, test } from "bun:test"
import { create } from "@bufbuild/protobuf"
import { TapEventSchema } from "../../../../protos/mod.ts"
import { CallLog, KEPT_CALLS, KEPT_SUMS } from "./call_log.ts"

function begun(id: string, path: string) {
  const value = {
    ...{ method: "GET", path, client: { namespace: "shop", name: "web" } },
    server: { namespace: "shop", name: "pay" },
  }
  return create(TapEventSchema, { id, moment: { case: "begun", value } })
}

function ended(id: string, afterMs: number, failed = false) {
  return create(TapEventSchema, { id, moment: { case: "ended", value: { afterMs, failed, status: 200 } } })
}

test("requests of one kind are summed up, whatever their query", () => {
  const log = new CallLog()
  for (const event of [
    begun("1", "/a?x=1"),
    ended("1", 5),
    begun("2", "/a"),
    ended("2", 9, true),
    begun("3", "/a"),
  ])
    log.take(event)
  expect(log.sums()).toEqual([
    {
      ...{ key: "shop/web shop/pay GET /a", from: "shop/web", to: "shop/pay", method: "GET", path: "/a" },
      ...{ count: 2, failed: 1, best: 5, worst: 9, last: 9 },
    },
  ])
  expect(log.calls().map(({ id, ended }) => [id, ended?.afterMs])).toEqual([
    ["3", undefined],
    ["2", 9],
    ["1", 5],
  ])
})

test("a raw connection stands among requests by its protocol, with the bytes of both ends, and in no sum", () => {
  const log = new CallLog()
  const opened = { protocol: "tcp", client: { namespace: "shop", name: "orders" }, tls: "true", timeMs: 1 }
  log.take(create(TapEventSchema, { id: "1", moment: { case: "opened", value: opened } }))
  expect(log.calls().map(({ begun, ended, clientBytes }) => [begun.method, ended, clientBytes])).toEqual([
    ["TCP", null, 0n],
  ])
  const closed = { afterMs: 90, clientBytes: 12n, serverBytes: 34n, error: "ECONNRESET" }
  log.take(create(TapEventSchema, { id: "1", moment: { case: "closed", value: closed } }))
  const [call] = log.calls()
  expect([call?.ended?.failed, call?.ended?.responseBytes, call?.clientBytes]).toEqual([true, 34n, 12n])
  expect(log.sums()).toEqual([])
})

test("however many pass, a page keeps so many", () => {
  const log = new CallLog()
  for (let n = 0; n < 2000; n++)
    for (const event of [begun(`${n}`, `/${n}`), ended(`${n}`, 1)]) log.take(event)
  expect(log.calls().length).toBe(KEPT_CALLS)
  expect(log.calls()[0]?.id).toBe("1999")
  expect(log.sums().length).toBe(KEPT_SUMS)
  // The end of a request that is forgotten says nothing.
  log.take(ended("0", 1))
  expect(log.calls().length).toBe(KEPT_CALLS)
})
