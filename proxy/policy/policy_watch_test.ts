// The watch on a link and a clock that tests hold in their hands: what holds before, with and without answers.
import { expect, test } from "bun:test"
import { create, toBinary } from "@bufbuild/protobuf"
import { policyV1 } from "../../protos/mod.ts"
import type { ControlLinkHandler, Link } from "../control_plane/mod.ts"
import { createLogger } from "../log.ts"
import { TimerWheel } from "../net/mod.ts"
import { FIRST_ANSWER_MS, MAX_WAITING, PolicyWatch } from "./policy_watch.ts"
import { encodeWatch } from "./watch_codec.ts"

const { ALL_UNAUTHENTICATED: ALL, DENY } = policyV1.DefaultPolicy
const CLIENT = { address: "10.0.0.1", spiffeId: "", dnsName: "", tls: "disabled" as const }

function answer(version: string, defaultPolicy: policyV1.DefaultPolicy | null): Uint8Array {
  const message = create(policyV1.WatchResponseSchema, { version })
  if (defaultPolicy !== null) {
    message.policy = create(policyV1.WorkloadPolicySchema, {
      defaultPolicy,
    })
  }
  return toBinary(policyV1.WatchResponseSchema, message)
}

function fixture(address = "policy:8090") {
  const clock = { nowMs: 0 }
  const timers = new TimerWheel(clock)
  const lines: string[] = []
  const sent: Uint8Array[] = []
  const calls: string[] = []
  const link: Link = {
    up: true,
    queuedBytes: 0,
    counts: { attempted: 0, opened: 0, failed: 0, received: 0, sent: 0 },
    start: () => calls.push("start"),
    hurry: () => calls.push("hurry"),
    stop: () => calls.push("stop"),
    finish: () => calls.push("finish"),
    send: message => sent.push(message),
  }
  let handler: ControlLinkHandler | null = null
  const watch = new PolicyWatch({
    openLink: given => {
      handler = given
      return link
    },
    address,
    timers,
    log: createLogger({ level: "debug", sink: line => lines.push(line) }),
    namespace: "shop",
    pod: "cart-1",
    defaultPolicy: "deny",
    trustDomain: "cluster.local",
  })
  return {
    watch,
    lines,
    sent,
    calls,
    opened: () => handler !== null,
    allows: () => watch.current.connection(CLIENT, 8080).raw.allowed,
    pass(ms: number) {
      clock.nowMs += ms
      timers.advance()
    },
  }
}

test("connections wait for the first answer, and go on under it", () => {
  const { watch, allows } = fixture()
  const seen: boolean[] = []
  watch.whenKnown(() => seen.push(allows()))
  expect(seen).toEqual([])
  expect(watch.answered).toBe(false)
  watch.onMessage(answer("1", ALL))
  expect(seen).toEqual([true])
  expect(watch.answered).toBe(true)
  watch.whenKnown(() => seen.push(allows()))
  expect(seen).toEqual([true, true])
})

test("what is held is described by name and version, the configured default before an answer", () => {
  const { watch } = fixture()
  expect(JSON.parse(watch.describe())).toEqual({
    ...{ connected: true, version: "", defaultPolicy: "deny", policies: [] },
  })
  const policy = create(policyV1.WorkloadPolicySchema, {
    defaultPolicy: ALL,
    policies: [{ namespace: "shop", name: "clients" }],
    rateLimits: [{ namespace: "shop", name: "calm" }],
    egress: [{ namespace: "shop", name: "out" }],
  })
  const message = create(policyV1.WatchResponseSchema, { version: "7", policy })
  watch.onMessage(toBinary(policyV1.WatchResponseSchema, message))
  expect(JSON.parse(watch.describe())).toMatchObject({
    version: "7",
    defaultPolicy: "all-unauthenticated",
    policies: ["AuthorizationPolicy shop/clients", "RateLimitPolicy shop/calm", "EgressPolicy shop/out"],
  })
})

test("they wait so long at most, all from the first of them on; then the configured default holds", () => {
  const { watch, allows, pass, lines } = fixture()
  const seen: boolean[] = []
  watch.whenKnown(() => seen.push(allows()))
  pass(FIRST_ANSWER_MS - 100)
  watch.whenKnown(() => seen.push(allows()))
  expect(seen).toEqual([])
  pass(200)
  expect(seen).toEqual([false, false])
  expect(lines.join("")).toContain("the configured default policy holds until it comes")
  watch.whenKnown(() => seen.push(allows()))
  expect(seen).toHaveLength(3)
  // The proxy goes on to say that it has no answer.
  expect(watch.answered).toBe(false)
})

test("more than so many do not wait", () => {
  const { watch } = fixture()
  let released = 0
  for (let i = 0; i < MAX_WAITING; i++) watch.whenKnown(() => released++)
  expect(released).toBe(0)
  watch.whenKnown(() => released++)
  expect(released).toBe(1)
  watch.onMessage(answer("1", DENY))
  expect(released).toBe(MAX_WAITING + 1)
})

test("an answer releases whoever waits before the change is told, and then no timer is left to give up", () => {
  const { watch, pass, lines } = fixture()
  const order: string[] = []
  watch.onChange(() => order.push("changed"))
  watch.whenKnown(() => order.push("released"))
  watch.onMessage(answer("1", DENY))
  expect(order).toEqual(["released", "changed"])
  pass(2 * FIRST_ANSWER_MS)
  expect(lines.join("")).not.toContain("no answer yet")
})

test("each stream asks for what is newer than what is held, and an answer that nothing is newer changes nothing", () => {
  const { watch, sent, allows } = fixture()
  let changes = 0
  watch.onChange(() => changes++)
  watch.onOpen()
  watch.onMessage(answer("7", ALL))
  const held = watch.current
  watch.onDown("gone")
  expect(allows()).toBe(true)
  watch.onOpen()
  expect(sent).toEqual([encodeWatch("shop", "cart-1", ""), encodeWatch("shop", "cart-1", "7")])
  watch.onMessage(answer("7", null))
  expect(changes).toBe(1)
  expect(watch.current).toBe(held)
  watch.onMessage(answer("8", DENY))
  expect(changes).toBe(2)
  expect(allows()).toBe(false)
})

test("an answer that cannot be read leaves the last good one in force, and is told", () => {
  const { watch, lines, allows } = fixture()
  watch.onMessage(Uint8Array.of(0x12, 0xff))
  expect(watch.answered).toBe(false)
  watch.onMessage(answer("1", ALL))
  watch.onMessage(Uint8Array.of(0x12, 0xff))
  expect({ version: watch.version, allows: allows() }).toEqual({ version: "1", allows: true })
  expect(lines.filter(line => line.includes("could not be read"))).toHaveLength(2)
})

test("without a policy service nobody waits, and the configured default holds", () => {
  const { watch, opened, allows } = fixture("")
  let released = 0
  watch.whenKnown(() => released++)
  expect({ released, opened: opened(), answered: watch.answered, allows: allows() }).toEqual({
    released: 1,
    opened: false,
    answered: true,
    allows: false,
  })
})

test("after its end nothing gives up any more", () => {
  const { watch, calls, pass, lines } = fixture()
  watch.start()
  watch.whenKnown(() => {})
  watch.stop()
  pass(2 * FIRST_ANSWER_MS)
  expect(calls).toEqual(["start", "stop"])
  expect(lines.join("")).not.toContain("no answer yet")
})
