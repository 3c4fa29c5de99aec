// What of a head is made for one request, and what is kept for others.
import { expect, test } from "bun:test"
import { FieldTable } from "../wire/mod.ts"
import { GrpcTimeoutFields, MAX_GRPC_TIMEOUT_FIELDS } from "./fields.ts"

test("a route's timeout is one field for all its requests; what is left of one is that request's own", () => {
  const timeouts = new GrpcTimeoutFields(new FieldTable())
  const [whole] = timeouts.tell([], 5000)
  expect(whole?.value).toBe("5000000u")
  // Interned: HPACK sends it as an index from the second time on.
  expect(whole?.id).toBeGreaterThan(0)
  expect(timeouts.tell([], 5000)[0]).toBe(whole!)
  const [left] = timeouts.tell([], 4998.25)
  expect([left?.value, left?.id]).toEqual(["4998250u", 0])
})

test("the caller's own timeout gives way to the one that is told", () => {
  const table = new FieldTable()
  const fields = [table.field("te", "trailers"), table.field("grpc-timeout", "9S")]
  const told = new GrpcTimeoutFields(table).tell(fields, 10)
  expect(told.map(({ name, value }) => [name.text, value])).toEqual([
    ["te", "trailers"],
    ["grpc-timeout", "10000u"],
  ])
})

test("fields that are kept are bounded", () => {
  const timeouts = new GrpcTimeoutFields(new FieldTable())
  const [first] = timeouts.tell([], 1)
  for (let ms = 2; ms <= MAX_GRPC_TIMEOUT_FIELDS + 1; ms++) timeouts.tell([], ms)
  expect(timeouts.tell([], 1)[0]).not.toBe(first!)
})
