// What the conformance kit asks of each unary method: answers, deadlines, cancellation, malformed and huge input, concurrency.
import { type Bench, bytesOf, encoded, withUnknownField } from "./bench.ts"
import { failed, ok, type Verdict, warning } from "./finding.ts"
import { DESCRIBE, type HookMethod } from "./hook_methods.ts"
import type { Probe } from "./probe.ts"
import { type Ended, endedText, GAVE_UP } from "./wire.ts"

/** Bytes that are no message of any kind: a tag of a wire type that does not exist. */
export const GARBAGE = new Uint8Array(64).fill(0xff)
/** Calls that are cancelled, and calls at once. */
export const MANY_CALLS = 32

/** What a busy machine may add to a deadline. */
const LATE_MS = 50
const TOO_LATE =
  "answer from what is known already and fetch in the background, or raise spec.deadline (10s at most) and --deadline"

const OK = 0
const UNKNOWN = 2
const DEADLINE_EXCEEDED = 4
const RESOURCE_EXHAUSTED = 8
const INTERNAL = 13

/** Probes of a unary method. */
export function unaryProbes(method: HookMethod): Probe[] {
  const { hook } = method
  const name = method.method.name
  return [
    { check: `${hook}: answers in time`, run: bench => answers(method, bench) },
    { check: `${hook}: fields of a later version`, run: bench => unknownFields(method, bench) },
    { check: `${hook}: an empty message`, rough: true, run: bench => empty(method, bench) },
    { check: `${hook}: garbage`, rough: true, run: bench => garbage(name, method, bench) },
    { check: `${hook}: a message of almost 4 MiB`, rough: true, run: bench => huge(method, bench) },
    { check: `${hook}: calls that are cancelled`, rough: true, run: bench => cancelled(method, bench) },
    { check: `${hook}: many calls at once`, run: bench => manyAtOnce(method, bench) },
  ]
}

async function answers(method: HookMethod, bench: Bench): Promise<Verdict> {
  const { deadlineMs } = bench.options
  const sent = `${method.method.name} with a deadline of ${deadlineMs} ms`
  // The first call of a process is slower than all others, and is none of its ways.
  await bench.unary(method, encoded(method, bench.context), bench.patienceMs)
  const start = performance.now()
  const { answer, ended } = await bench.unary(method, encoded(method, bench.context), deadlineMs)
  const ms = performance.now() - start
  if (answer !== null && ms > deadlineMs + LATE_MS) {
    const came = `an answer after ${Math.round(ms)} ms, when nobody waited for it any more`
    return failed(sent, came, TOO_LATE)
  }
  if (ended.code === GAVE_UP || ended.code === DEADLINE_EXCEEDED)
    return failed(sent, endedText(ended), TOO_LATE)
  if (answer === null || ended.code !== OK)
    return failed(
      sent,
      endedText(ended),
      `serve ${method.method.parent.typeName}: Describe names the hook ${method.hook}`,
    )
  const [wrong, ...more] = method.judge(answer)
  if (wrong === undefined) return ok(sent, `${answer.length} bytes`)
  return failed(
    sent,
    `${wrong}${more.length === 0 ? "" : ` (and ${more.length} more)`}`,
    "the control plane refuses the whole answer: correct it",
  )
}

async function unknownFields(method: HookMethod, bench: Bench): Promise<Verdict> {
  const sent = `${method.method.name} with a field that no version has yet`
  const { ended } = await bench.unary(
    method,
    withUnknownField(encoded(method, bench.context)),
    bench.patienceMs,
  )
  return ended.code === OK
    ? ok(sent, "an answer")
    : failed(
        sent,
        endedText(ended),
        "pass over fields that are not known: later versions of the API add some",
      )
}

async function empty(method: HookMethod, bench: Bench): Promise<Verdict> {
  const sent = `${method.method.name} with no field set, no context`
  const { ended } = await bench.unary(method, new Uint8Array(), bench.patienceMs)
  if (ended.code === GAVE_UP || ended.code < 0)
    return failed(sent, endedText(ended), "answer at once, with INVALID_ARGUMENT where something is missing")
  if (ended.code === UNKNOWN || ended.code === INTERNAL)
    return warning(
      sent,
      endedText(ended),
      "this looks like an exception in the handler: fields that are not set are to be expected",
    )
  return ok(sent, endedText(ended))
}

async function garbage(name: string, method: HookMethod, bench: Bench): Promise<Verdict> {
  const sent = `${name} with ${GARBAGE.length} bytes that are no message`
  const { ended } = await bench.unary(method, GARBAGE, bench.patienceMs)
  if (ended.code === OK)
    return failed(sent, "OK (0)", "answer what cannot be read with an error: nothing was asked")
  if (ended.code < 0)
    return failed(
      sent,
      endedText(ended),
      "answer with a gRPC status (INVALID_ARGUMENT or INTERNAL) instead of dropping the call",
    )
  return ok(sent, endedText(ended))
}

async function huge(method: HookMethod, bench: Bench): Promise<Verdict> {
  const message = bytesOf(method.method.input, method.huge(bench.context))
  const sent = `${method.method.name} with ${Math.round(message.length / 1024)} KiB`
  const { ended } = await bench.unary(method, message, bench.patienceMs)
  return hugeVerdict(sent, ended, bench)
}

/** What is said of the end of a call that a huge message was sent to. */
export function hugeVerdict(sent: string, ended: Ended, bench: Bench): Verdict {
  if ([OK, RESOURCE_EXHAUSTED, 3].includes(ended.code)) return ok(sent, endedText(ended))
  return failed(
    sent,
    endedText(ended),
    `answer, or refuse it with RESOURCE_EXHAUSTED, within ${bench.patienceMs / 1000} s: it may be what a large mesh sends`,
  )
}

async function cancelled(method: HookMethod, bench: Bench): Promise<Verdict> {
  const { deadlineMs } = bench.options
  const sent = `${MANY_CALLS} calls of ${method.method.name} that are cancelled at once, then one`
  for (let index = 0; index < MANY_CALLS; index++) {
    const call = (await bench.begin(method, deadlineMs)).send(encoded(method, bench.context)).end()
    await Bun.sleep(1)
    call.cancel()
  }
  const { ended } = await bench.unary(method, encoded(method, bench.context), Math.max(deadlineMs, 1000))
  return ended.code === OK
    ? ok(sent, "an answer")
    : failed(
        sent,
        endedText(ended),
        "end a call's work when it is cancelled: it still holds a thread, a lock or a place in a queue",
      )
}

async function manyAtOnce(method: HookMethod, bench: Bench): Promise<Verdict> {
  const { deadlineMs } = bench.options
  const sent = `${MANY_CALLS} calls of ${method.method.name} at once`
  const limitMs = Math.max(4 * deadlineMs, 2000)
  const start = performance.now()
  const all = await Promise.all(
    Array.from({ length: MANY_CALLS }, () => bench.unary(method, encoded(method, bench.context), limitMs)),
  )
  const ms = Math.round(performance.now() - start)
  const bad = all.filter(({ ended }) => ended.code !== OK)
  if (bad[0] !== undefined)
    return failed(
      sent,
      `${bad.length} without an answer within ${limitMs} ms: ${endedText(bad[0].ended)}`,
      "answer calls side by side, not one after the other",
    )
  if (ms > deadlineMs && method !== DESCRIBE)
    return warning(
      sent,
      `the last answer after ${ms} ms`,
      `answer ${MANY_CALLS} at once within the deadline of ${deadlineMs} ms, or run several replicas`,
    )
  return ok(sent, `all within ${ms} ms`)
}
