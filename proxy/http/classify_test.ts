// The rules of success and failure, as a table.
import { expect, test } from "bun:test"
import {
  isFailure,
  NO_GRPC_STATUS,
  OUTCOME_CLIENT_GONE,
  OUTCOME_COMPLETE,
  OUTCOME_REFUSED,
  OUTCOME_TIMEOUT,
  OUTCOME_UPSTREAM_GONE,
  type Outcome,
} from "./classify.ts"

const GRPC_FAILURES = new Set([2, 4, 7, 13, 14, 15, 17, 99])

test("HTTP statuses from 500 up are failures, all others successes", () => {
  for (const status of [200, 204, 304, 400, 404, 429, 499]) {
    expect(isFailure(OUTCOME_COMPLETE, status, NO_GRPC_STATUS, false)).toBe(false)
  }
  for (const status of [500, 502, 503, 504, 599, 999]) {
    expect(isFailure(OUTCOME_COMPLETE, status, NO_GRPC_STATUS, false)).toBe(true)
  }
})

test("gRPC codes that blame the server are failures", () => {
  for (const code of [...Array(18).keys(), 99]) {
    expect([code, isFailure(OUTCOME_COMPLETE, 200, code, true)]).toEqual([code, GRPC_FAILURES.has(code)])
  }
})

const cases: readonly [string, Outcome, number, number, boolean, boolean][] = [
  ["a gRPC response that ended without a status", OUTCOME_COMPLETE, 200, NO_GRPC_STATUS, true, true],
  ["a gRPC call cancelled by its client", OUTCOME_CLIENT_GONE, 200, NO_GRPC_STATUS, true, false],
  ["a download that its client broke off", OUTCOME_CLIENT_GONE, 200, NO_GRPC_STATUS, false, false],
  ["an error page that its client broke off", OUTCOME_CLIENT_GONE, 500, NO_GRPC_STATUS, false, true],
  ["a response that broke off", OUTCOME_UPSTREAM_GONE, 200, NO_GRPC_STATUS, false, true],
  ["a deadline", OUTCOME_TIMEOUT, 0, NO_GRPC_STATUS, false, true],
  ["a refusal for want of endpoints", OUTCOME_REFUSED, 503, NO_GRPC_STATUS, false, true],
  ["a malformed request", OUTCOME_REFUSED, 400, NO_GRPC_STATUS, false, false],
]

for (const [name, outcome, status, grpcStatus, isGrpc, failure] of cases) {
  test(`${name} counts as ${failure ? "failure" : "success"}`, () => {
    expect(isFailure(outcome, status, grpcStatus, isGrpc)).toBe(failure)
  })
}
