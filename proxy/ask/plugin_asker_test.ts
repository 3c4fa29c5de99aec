// Questions on a link and a clock that tests hold in their hands: answers, deadlines, what is kept, what is bounded, and
// messages held to the generated code.
import { expect, test } from "bun:test"
import { create, fromBinary, toBinary } from "@bufbuild/protobuf"
import type { PluginQuestion } from "../../protos/authorization/mod.ts"
import { policyAskV1 } from "../../protos/mod.ts"
import type { Link } from "../control_plane/mod.ts"
import { createLogger } from "../log.ts"
import { TimerWheel } from "../net/mod.ts"
import { MAX_ANSWER_AGE_MS, MAX_ANSWERS_KEPT } from "./answers.ts"
import { type AskAnswer, type AskedFacts, DECISION_ALLOW, DECISION_DENY, DECISION_NONE } from "./ask_codec.ts"
import { MAX_QUESTION_CHARS, MAX_QUESTIONS, MAX_QUEUED_BYTES, PluginAsker, Question } from "./plugin_asker.ts"

const { AskDecision } = policyAskV1
const QUESTION: PluginQuestion = {
  ...{ plugin: "hours", headers: ["x-tenant", "x-none"], deadlineMs: 500, fail: false, version: "1" },
}
const FACTS: AskedFacts = {
  clientId: "spiffe://cluster.local/ns/shop/sa/web",
  clientAddress: "10.0.0.1",
  ...{ port: 8080, method: "GET", path: "/cart", authority: "cart.shop" },
}
const VALUES = ["blue", undefined]

function fixture(address = "policy:8090") {
  const clock = { nowMs: 0 }
  const timers = new TimerWheel(clock)
  const sent: Uint8Array[] = []
  const calls: string[] = []
  const link = {
    ...{ up: true, queuedBytes: 0 },
    counts: { attempted: 0, opened: 0, failed: 0, received: 0, sent: 0 },
    start: () => calls.push("start"),
    hurry: () => calls.push("hurry"),
    stop: () => calls.push("stop"),
    finish: () => calls.push("finish"),
    send: (message: Uint8Array) => sent.push(message),
  }
  const asker = new PluginAsker({
    openLink: () => link as Link,
    ...{ address, clock, timers, namespace: "shop", pod: "cart-1" },
    log: createLogger({ level: "debug", sink: () => {} }),
  })
  const answers: AskAnswer[] = []
  return {
    ...{ asker, link, calls, answers },
    ask: (
      facts: Partial<AskedFacts> = {},
      question = QUESTION,
      values: readonly (string | undefined)[] = VALUES,
    ) => asker.ask(question, { ...FACTS, ...facts }, values, answer => answers.push(answer)),
    requests: () => sent.map(bytes => fromBinary(policyAskV1.AskRequestSchema, bytes)),
    answer: (id: number, decision: policyAskV1.AskDecision, cacheMs = 0, reason = "") =>
      asker.onMessage(
        toBinary(
          policyAskV1.AskResponseSchema,
          create(policyAskV1.AskResponseSchema, { id, decision, cacheMs, reason }),
        ),
      ),
    pass(ms: number) {
      clock.nowMs += ms
      timers.advance()
    },
  }
}

test("a question says all that was asked, and its answer is told", () => {
  const { ask, answer, requests, answers, asker } = fixture()
  expect(ask()).toBeInstanceOf(Question)
  expect(requests()).toMatchObject([
    { ...FACTS, id: 1, plugin: "hours", namespace: "", headers: [{ name: "x-tenant", value: "blue" }] },
  ])
  answer(1, AskDecision.DENY, 0, "closed\r\nevil: 1")
  expect(answers).toMatchObject([{ decision: DECISION_DENY, reason: "closed evil: 1" }])
  expect(asker.waiting).toBe(0)
})

test("a question that is not answered by its deadline has no answer, and a late one changes nothing", () => {
  const { ask, answer, pass, answers, asker } = fixture()
  ask()
  pass(495)
  expect(answers).toEqual([])
  pass(15)
  expect(answers).toMatchObject([{ decision: DECISION_NONE }])
  answer(1, AskDecision.ALLOW, 60_000)
  expect(answers).toHaveLength(1)
  expect(asker.waiting).toBe(0)
  expect(ask()).toBeInstanceOf(Question)
})

test("after the stream broke, who asks says who it is, and asks again what is not answered", () => {
  const { ask, answer, requests, asker } = fixture()
  ask()
  ask({ path: "/other" })
  answer(1, AskDecision.ALLOW)
  asker.onDown("broken")
  asker.onOpen()
  const [, , hello, again, ...more] = requests()
  expect(hello).toMatchObject({ namespace: "shop", pod: "cart-1", id: 0 })
  expect(again).toMatchObject({ id: 2, path: "/other" })
  expect(more).toEqual([])
})

test("an answer holds as long as it says, for requests alike in everything that was asked", () => {
  const { ask, answer, pass } = fixture()
  ask()
  answer(1, AskDecision.ALLOW, 1_000)
  expect(ask()).toMatchObject({ decision: DECISION_ALLOW })
  const others = [
    ask({ clientId: "" }),
    ask({ clientAddress: "10.0.0.2" }),
    ask({ port: 9090 }),
    ask({ method: "POST" }),
    ask({ path: "/cart2" }),
    ask({ authority: "other" }),
    ask({}, QUESTION, ["red", undefined]),
    ask({}, QUESTION, ["blue", ""]),
    ask({}, { ...QUESTION, version: "2" }),
    ask({}, { ...QUESTION, plugin: "other" }),
  ]
  for (const other of others) expect(other).toBeInstanceOf(Question)
  pass(1_000)
  expect(ask()).toBeInstanceOf(Question)
})

test("an answer that is for one request is not kept, and none longer than a bound", () => {
  const { ask, answer, pass } = fixture()
  ask()
  answer(1, AskDecision.ALLOW, 0)
  expect(ask()).toBeInstanceOf(Question)
  answer(2, AskDecision.ALLOW, 0xffffffff)
  pass(MAX_ANSWER_AGE_MS - 5)
  expect(ask()).toMatchObject({ decision: DECISION_ALLOW })
  pass(5)
  expect(ask()).toBeInstanceOf(Question)
})

test("of many answers the oldest goes", () => {
  const { ask, answer } = fixture()
  for (let i = 0; i <= MAX_ANSWERS_KEPT; i++) {
    ask({ path: `/${i}` })
    answer(i + 1, AskDecision.ALLOW, 60_000)
  }
  expect(ask({ path: "/1" })).toMatchObject({ decision: DECISION_ALLOW })
  expect(ask({ path: "/0" })).toBeInstanceOf(Question)
})

test("beyond the bounds of questions and of what waits to be sent there is no answer at once", () => {
  const { ask, link, asker } = fixture()
  for (let i = 0; i < MAX_QUESTIONS; i++) expect(ask({ path: `/${i}` })).toBeInstanceOf(Question)
  expect(ask({ path: "/more" })).toMatchObject({ decision: DECISION_NONE, reason: "" })
  const [first] = [ask({ path: "/again" })]
  expect(first).not.toBeInstanceOf(Question)
  expect(asker.waiting).toBe(MAX_QUESTIONS)
  const other = fixture()
  other.link.queuedBytes = MAX_QUEUED_BYTES + 1
  expect(other.ask()).toMatchObject({ decision: DECISION_NONE })
  expect(link.queuedBytes).toBe(0)
})

test("what is too long to be asked about says so, which no policy may let pass", () => {
  const { ask } = fixture()
  expect(ask({ path: `/${"x".repeat(MAX_QUESTION_CHARS)}` })).toMatchObject({
    decision: DECISION_NONE,
    reason: "the request is too long to be asked about",
  })
})

test("a question that is withdrawn is not told of", () => {
  const { ask, answer, asker, answers, pass } = fixture()
  const asked = ask()
  if (asked instanceof Question) asker.withdraw(asked)
  answer(1, AskDecision.ALLOW)
  pass(1_000)
  expect(answers).toEqual([])
  expect(asker.waiting).toBe(0)
})

test("there is a stream only while policies have plugins asked", () => {
  const { asker, calls } = fixture()
  asker.want(false)
  expect(calls).toEqual([])
  asker.want(true)
  asker.want(true)
  asker.want(false)
  expect(calls).toEqual(["start", "stop"])
})

test("without a policy service nothing is answered, and nothing waits", () => {
  const { asker, ask } = fixture("")
  asker.want(true)
  expect(ask()).toMatchObject({ decision: DECISION_NONE })
})

test("what is no answer is passed over", () => {
  const { ask, asker, answers, answer } = fixture()
  ask()
  asker.onMessage(Uint8Array.of(0xff, 0xff, 0xff))
  answer(77, AskDecision.ALLOW)
  expect(answers).toEqual([])
  expect(asker.waiting).toBe(1)
})
