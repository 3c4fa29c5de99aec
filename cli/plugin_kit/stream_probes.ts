// What the conformance kit asks of each stream: a first answer in time, staying open, changes, side by side, cancellation,
// malformed and huge input.
import { type Bench, bytesOf, encoded } from "./bench.ts"
import { failed, ok, type Verdict, warning } from "./finding.ts"
import type { HookMethod } from "./hook_methods.ts"
import type { Probe } from "./probe.ts"
import { GARBAGE, hugeVerdict } from "./unary_probes.ts"
import { type Ended, endedText, type WireCall } from "./wire.ts"

/** How long a stream is watched for ending by itself. */
export const STAYS_OPEN_MS = 400
/** Deadline of streams, which the control plane sets none for: longer than the kit looks at one. */
const STREAM_MS = 60_000
/** Streams at once: the control plane has one for each of its processes, and opens new ones before old ones have ended. */
const SIDE_BY_SIDE = 4
/** Streams that are opened and cancelled. */
const CANCELLED = 12

const KEEP_OPEN = "keep the stream open until the client ends it, and answer again when there is news"

/** Probes of a stream. */
export function streamProbes(method: HookMethod): Probe[] {
  const { hook } = method
  return [
    { check: `${hook}: answers in time`, run: bench => answers(method, bench) },
    { check: `${hook}: the stream stays open`, run: bench => staysOpen(method, bench) },
    { check: `${hook}: streams side by side`, run: bench => sideBySide(method, bench) },
    { check: `${hook}: the end of the stream`, rough: true, run: bench => ends(method, bench) },
    { check: `${hook}: an empty message`, rough: true, run: bench => empty(method, bench) },
    { check: `${hook}: garbage`, rough: true, run: bench => garbage(method, bench) },
    { check: `${hook}: a message of almost 4 MiB`, rough: true, run: bench => huge(method, bench) },
    { check: `${hook}: streams that are cancelled`, rough: true, run: bench => cancelled(method, bench) },
  ]
}

async function opened(method: HookMethod, bench: Bench): Promise<WireCall> {
  const call = await bench.begin(method, STREAM_MS)
  for (const [index] of method.messages(bench.context).entries())
    call.send(encoded(method, bench.context, index))
  return call
}

/** Null when it has answered, or need not; what it did instead otherwise. */
async function firstAnswer(method: HookMethod, call: WireCall, timeoutMs: number): Promise<Ended | null> {
  if (method.answersStream !== true) return call.over ? await call.ended : null
  if ((await call.next(timeoutMs)) !== null) return null
  return call.over ? await call.ended : { code: -2, message: `nothing within ${timeoutMs} ms` }
}

async function answers(method: HookMethod, bench: Bench): Promise<Verdict> {
  const { deadlineMs } = bench.options
  const name = method.method.name
  const sent =
    method.answersStream === true
      ? `${name}: the context, then all there is with complete`
      : `${name}: the context, then a window`
  const warm = await opened(method, bench)
  await warm.next(method.answersStream === true ? bench.patienceMs : 100)
  warm.cancel()
  const call = await opened(method, bench)
  const answer = await call.next(method.answersStream === true ? deadlineMs : 100)
  const ended = call.over ? await call.ended : null
  call.cancel()
  if (method.answersStream !== true) {
    return ended === null
      ? ok(sent, "the stream is open")
      : failed(sent, endedText(ended), `serve ${method.method.parent.typeName}, and ${KEEP_OPEN}`)
  }
  if (answer === null)
    return failed(
      sent,
      ended === null ? `nothing within ${deadlineMs} ms` : endedText(ended),
      ended === null
        ? "answer with what there is as soon as complete has come, also with an empty answer, and again when there is more"
        : `serve ${method.method.parent.typeName}: Describe names the hook ${method.hook}`,
    )
  const [wrong, ...more] = method.judge(answer)
  if (wrong === undefined) return ok(sent, `${answer.length} bytes`)
  return failed(
    sent,
    `${wrong}${more.length === 0 ? "" : ` (and ${more.length} more)`}`,
    "the control plane refuses the whole answer and keeps the last good one: correct it",
  )
}

async function staysOpen(method: HookMethod, bench: Bench): Promise<Verdict> {
  const sent = `${method.method.name}: ${STAYS_OPEN_MS} ms of silence, then changes`
  const call = await opened(method, bench)
  await Bun.sleep(STAYS_OPEN_MS)
  for (const message of method.later ?? []) call.send(bytesOf(method.method.input, message))
  await Bun.sleep(STAYS_OPEN_MS)
  const wrong: string[] = []
  for (let answer = await call.next(0); answer !== null; answer = await call.next(0))
    wrong.push(...method.judge(answer))
  if (call.over) return failed(sent, `the end of the stream: ${endedText(await call.ended)}`, KEEP_OPEN)
  call.cancel()
  return wrong[0] === undefined
    ? ok(sent, "the stream is open")
    : failed(
        sent,
        wrong[0],
        "the control plane refuses the whole answer and keeps the last good one: correct it",
      )
}

async function sideBySide(method: HookMethod, bench: Bench): Promise<Verdict> {
  const sent = `${SIDE_BY_SIDE} streams of ${method.method.name} at once`
  const limitMs = Math.max(bench.options.deadlineMs, 2000)
  const calls: WireCall[] = []
  for (let index = 0; index < SIDE_BY_SIDE; index++) calls.push(await opened(method, bench))
  if (method.answersStream !== true) await Bun.sleep(100)
  const ends = await Promise.all(calls.map(call => firstAnswer(method, call, limitMs)))
  for (const call of calls) call.cancel()
  const bad = ends.filter(end => end !== null)
  return bad[0] === undefined
    ? ok(sent, method.answersStream === true ? "an answer on each" : "all are open")
    : failed(
        sent,
        `${bad.length} of them: ${endedText(bad[0])}`,
        "serve several streams at once: each process of the control plane has its own, with its own state",
      )
}

async function ends(method: HookMethod, bench: Bench): Promise<Verdict> {
  const sent = `${method.method.name}: the end of what is sent`
  const call = await opened(method, bench)
  await firstAnswer(method, call, bench.options.deadlineMs)
  call.end()
  const ended = await call.within(bench.patienceMs)
  if (ended.code === 0) return ok(sent, "OK (0)")
  return warning(sent, endedText(ended), "end the stream with OK when the client ends it: it has gone away")
}

async function empty(method: HookMethod, bench: Bench): Promise<Verdict> {
  const sent = `${method.method.name}: a first message with no field set, no context`
  const call = (await bench.begin(method, STREAM_MS)).send(new Uint8Array()).end()
  const ended = await call.within(bench.patienceMs)
  if (ended.code === 2 || ended.code === 13)
    return warning(
      sent,
      endedText(ended),
      "this looks like an exception in the handler: fields that are not set are to be expected",
    )
  if (ended.code < 0) return failed(sent, endedText(ended), "end the stream when the client ends it")
  return ok(sent, endedText(ended))
}

async function garbage(method: HookMethod, bench: Bench): Promise<Verdict> {
  const sent = `${method.method.name}: ${GARBAGE.length} bytes that are no message, after the context`
  const call = (await bench.begin(method, STREAM_MS)).send(encoded(method, bench.context)).send(GARBAGE).end()
  const ended = await call.within(bench.patienceMs)
  if (ended.code > 0) return ok(sent, endedText(ended))
  return failed(
    sent,
    endedText(ended),
    "end the stream with an error when a message cannot be read: it is opened anew",
  )
}

async function huge(method: HookMethod, bench: Bench): Promise<Verdict> {
  const message = bytesOf(method.method.input, method.huge(bench.context))
  const sent = `${method.method.name}: ${Math.round(message.length / 1024)} KiB in a message`
  const call = (await opened(method, bench)).send(message).end()
  return hugeVerdict(sent, await call.within(bench.patienceMs), bench)
}

async function cancelled(method: HookMethod, bench: Bench): Promise<Verdict> {
  const sent = `${CANCELLED} streams of ${method.method.name} that are cancelled, then one`
  for (let index = 0; index < CANCELLED; index++) {
    const call = await opened(method, bench)
    await Bun.sleep(5)
    call.cancel()
  }
  const call = await opened(method, bench)
  if (method.answersStream !== true) await Bun.sleep(100)
  const end = await firstAnswer(method, call, Math.max(bench.options.deadlineMs, 1000))
  call.cancel()
  return end === null
    ? ok(sent, method.answersStream === true ? "an answer" : "it is open")
    : failed(
        sent,
        endedText(end),
        "free all that a stream holds when it is cancelled: a thread, a lock, a place among a few",
      )
}
