// The proxy's own answers.
import { expect, test } from "bun:test"
import {
  ERROR_ID_LENGTH,
  neverReached,
  newErrorId,
  proxyErrorValue,
  REFUSAL_CONNECT_FAILED,
  REFUSAL_NO_ENDPOINT,
  REFUSALS,
} from "./refusal.ts"

test("reasons are unique, short, and safe in a header field", () => {
  expect(new Set(REFUSALS.map(refusal => refusal.reason)).size).toBe(REFUSALS.length)
  for (const { reason } of REFUSALS) expect(reason).toMatch(/^[a-z][a-z-]{2,30}$/)
})

test("gRPC statuses follow the contract", () => {
  const grpc: Record<number, number> = { 403: 7, 404: 12, 408: 4, 429: 8, 500: 14, 502: 14, 503: 14, 504: 4 }
  for (const { status, grpcStatus } of REFUSALS)
    expect([status, grpcStatus]).toEqual([status, grpc[status] ?? 13])
})

test("ids are short, speakable and hardly ever alike", () => {
  const ids = new Set<string>()
  for (let i = 0; i < 10_000; i++) ids.add(newErrorId())
  expect(ids.size).toBeGreaterThan(9990)
  for (const id of ids) expect(id).toMatch(new RegExp(`^[0-9a-hjkmnp-tv-z]{${ERROR_ID_LENGTH}}$`))
})

test("the field names reason and id", () => {
  expect(proxyErrorValue(REFUSAL_NO_ENDPOINT, "abc")).toBe("no-endpoint; id=abc")
})

test("only connect-failed says that the application was not reached", () => {
  for (const refusal of REFUSALS) {
    expect(neverReached(proxyErrorValue(refusal, "abc"))).toBe(refusal === REFUSAL_CONNECT_FAILED)
  }
  for (const value of [
    "",
    "connect",
    "connect-failed-twice; id=a",
    "Connect-Failed; id=a",
    " connect-failed",
  ]) {
    expect(neverReached(value)).toBe(false)
  }
  expect(neverReached("connect-failed")).toBe(true)
})
