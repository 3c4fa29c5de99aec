// When and how a status is written, over real HTTP: only what differs, under the version that was read, never without end.
import { afterEach, beforeEach, expect, test } from "bun:test"
import { createLog } from "../log.ts"
import { timed } from "./condition.ts"
import { DrivenTime, StatusServer } from "./lab.ts"
import {
  CONDITIONS_AFTER_MS,
  CONDITIONS_BURST,
  CONDITIONS_PAUSE_MS,
  CONDITIONS_RETRY_MS,
  type ConditionKind,
  ConditionWriter,
} from "./writer.ts"

const POTS = "/apis/conduit.test/v1/pots"

let server: StatusServer
let time: DrivenTime
let nowMs: number
let lines: string[]

beforeEach(() => {
  server = new StatusServer()
  time = new DrivenTime()
  nowMs = Date.parse("2026-01-01T00:00:00Z")
  lines = []
})

afterEach(async () => {
  await server[Symbol.asyncDispose]()
})

/** A pot is ready as its spec says; whoever else has conditions of a pot keeps them. */
const kind: ConditionKind = {
  resource: { bases: ["/apis/conduit.test/v2", "/apis/conduit.test/v1"], plural: "pots", kind: "Pot" },
  list: "conditions",
  lists: (objects, now) =>
    objects.map(object => {
      const { spec, metadata, status } = object as unknown as {
        spec: { ready: boolean; reason?: string }
        metadata: { generation: number }
        status: { conditions?: { type: string }[] }
      }
      const before = status.conditions ?? []
      const { generation } = metadata
      const is = {
        status: spec.ready ? "True" : "False",
        reason: spec.reason ?? "Said",
        message: "",
      } as const
      const own = timed([{ type: "Ready", ...is, observedGeneration: generation }], before, now)
      return [...before.filter(({ type }) => type !== "Ready"), ...own]
    }),
}

function writer(kinds: readonly ConditionKind[] = [kind]): ConditionWriter {
  return new ConditionWriter({
    ...{ api: server.api, kinds, manager: "us" },
    log: createLog({ format: "plain", write: line => lines.push(line), now: () => new Date(0) }),
    nowMs: () => nowMs,
    random: () => 0,
    later: time.later,
  })
}

test("a condition is written where its version is served, under the version that was read, and then nothing more", async () => {
  server.put(POTS, "p", { ready: true })
  const conditions = writer()
  conditions.changed()
  conditions.changed()
  expect(await time.pass()).toEqual([CONDITIONS_AFTER_MS])
  expect(server.patches).toEqual([
    {
      path: "/apis/conduit.test/v1/namespaces/shop/pots/p/status?fieldManager=us",
      contentType: "application/merge-patch+json",
      body: {
        metadata: { resourceVersion: "1" },
        status: {
          conditions: [
            {
              type: "Ready",
              status: "True",
              reason: "Said",
              message: "",
              observedGeneration: 1,
              lastTransitionTime: "2026-01-01T00:00:00Z",
            },
          ],
        },
      },
    },
  ])
  conditions.changed()
  await time.pass()
  expect({ patches: server.patches.length, due: time.due.length, written: conditions.written }).toEqual({
    patches: 1,
    due: 0,
    written: 1,
  })
})

test("the time of a transition is that of the status, not of the reason or the generation", async () => {
  const conditions = writer()
  const times: string[] = []
  const specs = [
    { ready: true },
    { ready: true },
    { ready: false },
    { ready: false, reason: "Other" },
    { ready: true },
  ]
  for (const spec of specs) {
    const { status } = server.put(POTS, "p", spec)
    nowMs += 60_000
    conditions.changed()
    await time.pass()
    const [condition] = (server.kinds.get(POTS)?.[0]?.status ?? status).conditions as {
      status: string
      lastTransitionTime: string
    }[]
    times.push(`${condition?.status} ${condition?.lastTransitionTime.slice(14, 16)}`)
  }
  expect(times).toEqual(["True 01", "True 01", "False 03", "False 03", "True 05"])
  expect(server.patches.length).toBe(5)
})

test("two writers come to rest: the second finds what the first wrote", async () => {
  server.put(POTS, "p", { ready: true })
  for (const one of [writer(), writer()]) {
    one.changed()
    await time.pass()
  }
  expect(server.patches.length).toBe(1)
})

test("who comes between loses nothing: the write is refused, and made again on what there is then", async () => {
  const pot = server.put(POTS, "p", { ready: true })
  server.beforePatch = object => {
    object.status = { conditions: [{ type: "Theirs", status: "True" }] }
    server.touch(object)
    server.beforePatch = () => {}
  }
  const conditions = writer()
  conditions.changed()
  await time.pass()
  expect(conditions.written).toBe(0)
  expect(await time.pass()).toEqual([CONDITIONS_AFTER_MS])
  expect(pot.status.conditions).toMatchObject([{ type: "Theirs" }, { type: "Ready" }])
  expect({ due: time.due.length, lines }).toEqual({ due: 0, lines: [] })
})

test("an object that goes while it is written is none to come back to", async () => {
  server.put(POTS, "p", { ready: true })
  server.refuse = method => (method === "PATCH" ? 404 : 0)
  const conditions = writer()
  conditions.changed()
  await time.pass()
  expect({ due: time.due.length, lines, written: conditions.written }).toEqual({
    due: 0,
    lines: [],
    written: 0,
  })
})

test("an object that is to be left alone is not written", async () => {
  server.put(POTS, "p", { ready: true })
  const conditions = writer([{ ...kind, lists: objects => objects.map(() => null) }])
  conditions.changed()
  await time.pass()
  expect(server.patches).toEqual([])
})

test("a failure is said once and tried again; a kind that is not there is none", async () => {
  server.put(POTS, "p", { ready: true })
  server.refuse = () => 403
  const conditions = writer()
  conditions.changed()
  await time.pass()
  expect(await time.pass()).toEqual([CONDITIONS_RETRY_MS])
  expect(lines.length).toBe(1)
  expect(lines[0]).toContain("the status of pots cannot be written: refused with 403")
  server.refuse = () => 0
  await time.pass()
  expect(server.patches.length).toBe(1)
  server.kinds.clear()
  conditions.changed()
  await time.pass()
  expect({ lines: lines.length, due: time.due.length }).toEqual({ lines: 1, due: 0 })
  conditions.stop()
  conditions.changed()
  expect(time.due.length).toBe(0)
})

test("an object whose status is not taken, and a kind that may not be written, keep no other from being written", async () => {
  for (const name of ["bad", "good"]) {
    server.put(POTS, name, { ready: true })
    server.put("/apis/conduit.test/v1/pans", name, { ready: true })
  }
  const pans = { ...kind, resource: { ...kind.resource, plural: "pans", kind: "Pan" } }
  let pansAsked = 0
  server.refuse = (method, path) => {
    if (method === "GET") return 0
    if (path.includes("/pans/")) pansAsked++
    return path.includes("/pans/") ? 403 : path.includes("/bad/") ? 422 : 0
  }
  const conditions = writer([pans, kind])
  conditions.changed()
  await time.pass()
  expect(server.patches.map(({ path }) => path.split("/")[7])).toEqual(["good"])
  expect(lines[0]).toContain('the status of Pot "shop/bad" is refused: refused with 422')
  expect(lines[0]).toContain("the status of pans cannot be written: refused with 403; ")
  // What the next one would be answered is known.
  expect(pansAsked).toBe(1)
  expect(time.due.map(({ ms }) => ms)).toEqual([CONDITIONS_RETRY_MS])
})

test("what is refused of one object alone is said once, and waits for a change", async () => {
  server.put(POTS, "bad", { ready: true })
  server.refuse = method => (method === "PATCH" ? 422 : 0)
  const conditions = writer()
  for (let round = 0; round < 2; round++) {
    conditions.changed()
    await time.pass()
    expect(time.due.length).toBe(0)
  }
  expect(lines.length).toBe(1)
})

test("many are written in bursts, with a pause after each, and what changes meanwhile is looked at after", async () => {
  const count = CONDITIONS_BURST * 2 + 1
  for (let index = 0; index < count; index++) server.put(POTS, `p-${index}`, { ready: true })
  const conditions = writer()
  conditions.changed()
  const whole = time.pass()
  for (const burst of [1, 2]) {
    while (time.due.length === 0) await Bun.sleep(1)
    expect(server.patches.length).toBe(burst * CONDITIONS_BURST)
    conditions.changed()
    expect(time.due.map(({ ms }) => ms)).toEqual([CONDITIONS_PAUSE_MS])
    await time.pass()
  }
  await whole
  expect(server.patches.length).toBe(count)
  expect(await time.pass()).toEqual([CONDITIONS_AFTER_MS])
  expect({ patches: server.patches.length, due: time.due.length }).toEqual({ patches: count, due: 0 })
})
