// Waiting at a gate: until a verdict, through a control plane that is away for a moment, and not for one that stays away.
import { expect, test } from "bun:test"
import { create, type MessageInitShape } from "@bufbuild/protobuf"
import { type GateResponse, GateResponseSchema, GateVerdict } from "../../protos/mod.ts"
import { Failure } from "../failure.ts"
import { AWAY_MS, type AskGate, shareOf, waitAtGate } from "./gate.ts"
import { gateLine, renderGate } from "./gate_report.ts"

const { WAITING, PASSED, FAILED } = GateVerdict

function answer(verdict: GateVerdict, responses = 10): GateResponse {
  const http = { success: 1, rps: 1, responses: BigInt(responses), failures: 0n }
  const resource = { namespace: "shop", kind: "deployment", name: "web" }
  const reasons = verdict === FAILED ? ['success 95 % is below "99" %'] : []
  const init: MessageInitShape<typeof GateResponseSchema> = {
    rows: [{ resource, verdict, http, reasons }],
    nextBeginMs: 7000,
  }
  return create(GateResponseSchema, init)
}

/** A gate whose answers are given; time passes only by sleeping. */
async function wait(answers: (GateResponse | Error)[]) {
  const begins: number[] = []
  const told: string[] = []
  let nowMs = 0
  const ask: AskGate = async beginMs => {
    begins.push(beginMs)
    const next = answers.length > 1 ? answers.shift() : answers[0]
    if (next instanceof Error) throw next
    return next === undefined ? [] : [next]
  }
  const sleep = async (ms: number): Promise<void> => {
    nowMs += ms
    if (nowMs > 600_000) throw new Error("the gate waits for ever")
  }
  const clock = { nowMs: () => nowMs, sleep }
  const news = { line: (text: string) => void told.push(text), progress: () => {} }
  const lines = await waitAtGate(ask, "deploy/web", clock, news).catch((error: unknown) => error as Error)
  return { lines, begins, told, waitedMs: nowMs }
}

test("the window begins where the control plane says, and every question names that begin", async () => {
  const { lines, begins } = await wait([answer(FAILED), answer(WAITING), answer(WAITING), answer(PASSED)])
  expect(begins).toEqual([0, 7000, 7000, 7000])
  expect(lines).toMatchObject([{ name: "web", verdict: "passed", responses: 10 }])
})

test("a failure ends the wait", async () => {
  const { lines, begins } = await wait([answer(WAITING), answer(FAILED), answer(PASSED)])
  expect(lines).toMatchObject([{ verdict: "failed" }])
  expect(begins.length).toBe(2)
})

test("a control plane that is away for a moment changes nothing", async () => {
  const away = new Failure("cannot reach the cluster")
  const { lines, told } = await wait([answer(WAITING), away, away, answer(PASSED)])
  expect(lines).toMatchObject([{ verdict: "passed" }])
  expect(told).toEqual(Array(2).fill("conduit: cannot reach the cluster; trying again"))
})

test("one that stays away is a failure without a verdict", async () => {
  const { lines, waitedMs } = await wait([answer(WAITING), new Failure("cannot reach the cluster")])
  expect(String(lines)).toContain(
    "no verdict on deploy/web: the control plane could not be asked for 30 s: cannot reach the cluster",
  )
  expect(waitedMs).toBeLessThan(AWAY_MS + 5000)
})

test("figures that shrink were lost, and judge nothing", async () => {
  const { lines } = await wait([answer(WAITING), answer(WAITING, 100), answer(WAITING, 20)])
  expect(String(lines)).toContain("the control plane lost figures of the window")
})

test("nothing to judge is said at once", async () => {
  const { lines } = await wait([create(GateResponseSchema, { nextBeginMs: 1 })])
  expect(String(lines)).toContain("no deploy/web was found")
})

test("a percentage is one, and a share is not taken for it", () => {
  expect([shareOf("99.5"), shareOf("100%"), shareOf("0.5%")]).toEqual([0.995, 1, 0.005])
  expect(() => shareOf("0.995")).toThrow("write 99.5% if that is what")
  for (const text of ["", "abc", "0", "101", "-1"]) expect(() => shareOf(text)).toThrow("write a percentage")
})

test("JUnit names what failed and why, whatever signs are in it", async () => {
  const lines = [FAILED, PASSED, WAITING].flatMap(verdict => answer(verdict).rows.map(gateLine))
  const text = await renderGate("junit", lines, { namespaces: false, windowMs: 2000 })
  expect(text).toContain('tests="3" failures="1" errors="0" skipped="1"')
  expect(text).toContain('<failure type="gate" message="success 95 % is below &#34;99&#34; %"/>')
  const json = JSON.parse(await renderGate("json", lines, { namespaces: false, windowMs: 2000 }))
  expect(json).toMatchObject({ passed: false, windowSeconds: 2, resources: [{ verdict: "failed" }, {}, {}] })
})
