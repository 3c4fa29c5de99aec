// What each fault of a plugin costs, hook by hook: its own function, as its failurePolicy says, and nothing else. Every cell of
// the table is a plugin that was well, seen by a process that knew it (failurePolicy Ignore), and by one that begins under the
// fault (failurePolicy Fail); then it is mended.
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { PLUGIN_HOOKS, type PluginHook } from "../../deploy/plugin_object/mod.ts"
import { pluginPolicyV1 } from "../../protos/mod.ts"
import { pluginFaults } from "../api/plugins.ts"
import {
  behave,
  inTurn,
  isNow,
  labFor,
  LOOKS,
  type Patience,
  PATIENCE_MS,
  until,
  World,
} from "./fault_world.ts"
import { BREAKER_MAX_MS } from "./hook_calls.ts"
import { LabPlugin } from "./lab.ts"
import { MAX_PLUGIN_MESSAGE_BYTES, type PluginState } from "./link.ts"

const DENY_ALL = {
  target: { kind: "Namespace" },
  action: "Deny",
  rules: [{ from: [{ namespaces: ["shop"] }] }],
}
/** What HTTP/2 and the sockets hold beside what was read. */
const IN_FLIGHT_BYTES = 4_000_000
/** Deadline of calls that are answered late, or never, and how late that is. */
const DEADLINE_MS = 200
const LATE_MS = 500
/** Times that a plugin restarts, and how long it lives and is away, milliseconds. */
const RESTARTS = 8
const LIVES_MS = 60

/** What the mesh gets where the plugin knew better before, and where it never answered. */
type Cells = Readonly<Record<PluginHook, readonly [knew: string, begins: string]>>

/** A plugin that does not answer: what it said holds; else what `failurePolicy` says: Ignore on the left, Fail on the right. */
const SILENT: Cells = {
  Policy: ["night", "unanswered"],
  Destination: ["192.0.2.1", "as it is"],
  // The proxy that asked decides by failurePolicy.
  Authorize: ["unanswered", "unanswered"],
  Identity: ["signed", "waits"],
  Telemetry: ["missed", "missed"],
  Injection: ["plain", "waits"],
  Check: ["told", "told"],
  Api: ["503", "404"],
}

interface Fault {
  readonly begin: (lab: LabPlugin) => Promise<void> | void
  readonly end: (lab: LabPlugin) => Promise<void> | void
  readonly state: PluginState
  /** What `conduit plugin list`, `conduit check` and the object's condition say. */
  readonly says: RegExp
  readonly cells: Cells
  /** For what is waited for in vain. */
  readonly patience?: Patience
  /** Nothing of it can be seen with these hooks. */
  readonly unseen?: readonly PluginHook[]
}

function answers(fault: NonNullable<LabPlugin["fault"]>): Pick<Fault, "begin" | "end"> {
  return {
    begin: lab => {
      lab.fault = fault
      lab.lateMs = LATE_MS
      if (fault !== "hangs") lab.cut()
    },
    end: lab => {
      lab.fault = null
      lab.cut()
    },
  }
}

function describes(more: object): Pick<Fault, "begin" | "end"> {
  const well = new WeakMap<LabPlugin, LabPlugin["behaviour"]["describe"]>()
  return {
    begin: lab => {
      const before = lab.behaviour.describe
      well.set(lab, before)
      lab.behaviour.describe = async () => ({ ...(await before()), ...more })
      lab.cut()
    },
    end: lab => {
      lab.behaviour.describe = well.get(lab) ?? lab.behaviour.describe
    },
  }
}

const TABLE: Readonly<Record<string, Fault>> = {
  "refuses connections": {
    ...{ begin: lab => lab.die(), end: lab => lab.listen() },
    ...{ state: "Unreachable", says: /ECONNREFUSED|refused/i, cells: SILENT },
  },
  hangs: {
    ...answers("hangs"),
    state: "Unreachable",
    says: /it did not answer Describe within 2000 ms/,
    cells: SILENT,
    patience: { deadlineMs: DEADLINE_MS, describeTimeoutMs: 2_000 },
  },
  "answers what is no HTTP/2": {
    ...{ begin: lab => lab.garble(), end: lab => lab.listen() },
    ...{ state: "Unreachable", says: /./, cells: SILENT },
  },
  "answers what is no message": {
    ...answers("garbage"),
    ...{ state: "Degraded", says: /its answer is no message of the API: premature EOF/, cells: SILENT },
  },
  "answers 100 MB": {
    ...answers("huge"),
    ...{ state: "Degraded", says: /100000000 bytes|is larger than|4194304/, cells: SILENT },
  },
  "answers too late": {
    ...answers("late"),
    ...{ state: "Degraded", says: /within 200 ms/ },
    // What streams say late is said nevertheless.
    cells: {
      ...SILENT,
      ...{ Policy: ["night", "night"], Destination: ["192.0.2.1", "192.0.2.1"], Telemetry: ["told", "told"] },
    },
    patience: { deadlineMs: DEADLINE_MS },
    unseen: ["Policy", "Destination", "Telemetry"],
  },
  "dies in the middle of an answer": {
    ...answers("cut"),
    state: "Degraded",
    says: /its connection broke in the middle of an answer/,
    cells: SILENT,
  },
  "speaks another version of the API": {
    ...describes({ apiVersions: ["v2"] }),
    ...{ state: "Invalid", says: /it speaks v2 of the plugin API, and not v1/, cells: SILENT },
  },
  "hands out a schema that is none": {
    ...describes({ configurationSchema: '{"type":"text"}' }),
    ...{ state: "Invalid", says: /its configuration schema is not JSON Schema/, cells: SILENT },
  },
}

let good: LabPlugin

beforeAll(async () => {
  good = await LabPlugin.start(...PLUGIN_HOOKS.map(hook => LOOKS[hook].hook))
  behave(good, "good")
})

afterAll(async () => await good[Symbol.asyncDispose]())

/** Settings of a hook that closes what it says. */
function closing(hook: PluginHook): object {
  return { failurePolicy: "Fail", ...(hook === "Policy" ? { namespaces: ["shop"] } : {}) }
}

/** Of a cell, with its wait for a turn. */
const PATIENCE = PATIENCE_MS * 9

for (const [what, { begin, end, state, says, cells, patience = {}, unseen = [] }] of Object.entries(TABLE)) {
  describe(`a plugin that ${what}`, () => {
    for (const hook of PLUGIN_HOOKS) {
      const [knewCell, beginsCell] = cells[hook]
      test.concurrent(
        `with the hook ${hook}: ${knewCell}, or ${beginsCell}`,
        () =>
          inTurn(async () => {
            await using lab = await labFor(hook)
            using knew = new World(lab, good, hook, { failurePolicy: "Ignore" }, patience)
            await until("the other is ready", knew, () => knew.listed("good").state === "Ready")
            await isNow(knew, hook, LOOKS[hook].well, "it is well")
            const { errors } = knew.listed("lab")
            await begin(lab)
            using begins = new World(lab, good, hook, closing(hook), patience)
            await until("the other is ready", begins, () => begins.listed("good").state === "Ready")
            if (!unseen.includes(hook)) {
              await until(`it is ${state} since ${says}`, knew, async () => {
                await LOOKS[hook].now(knew)
                const { state: is, reason } = knew.listed("lab")
                return is === state && says.test(reason)
              })
              const { errors: now } = knew.listed("lab")
              expect(now).toBeGreaterThan(state === "Degraded" ? errors : -1)
              expect(knew.ready("lab")).toMatchObject({
                status: state === "Degraded" ? "True" : "False",
                reason: state,
              })
              const told = (await pluginFaults(knew.supervisor)).filter(({ where }) => where === "Plugin lab")
              expect(told.length).toBeGreaterThan(0)
            }
            await isNow(knew, hook, knewCell, "who knew it has")
            await isNow(begins, hook, beginsCell, "who begins has")
            expect(lab.hugeBytes).toBeLessThan(MAX_PLUGIN_MESSAGE_BYTES + IN_FLIGHT_BYTES)
            for (const world of [knew, begins]) {
              await until("the other is ready", world, () => world.listed("good").state === "Ready")
              expect(world.listed("good")).toMatchObject({ errors: 0, lastError: "" })
            }

            await end(lab)
            for (const world of [knew, begins]) {
              world.wait(BREAKER_MAX_MS)
              // A service that was never mounted is asked about when the object changes, or seconds later.
              if (hook === "Api" && world === begins)
                world.plugin("lab", lab.address, {
                  deadline: "5s",
                  hooks: [{ name: hook }],
                  configuration: { again: 1 },
                })
              await isNow(world, hook, LOOKS[hook].well, "it is mended")
              await until("it is ready again", world, async () => {
                // A call may have met the end of the connection: the next one is made when breakers let it.
                world.wait(BREAKER_MAX_MS)
                await LOOKS[hook].now(world)
                return world.listed("lab").state === "Ready"
              })
            }
          }),
        PATIENCE,
      )
    }
  })
}

describe("a plugin that restarts again and again", () => {
  for (const hook of PLUGIN_HOOKS) {
    const [silent] = SILENT[hook]
    const { well, now } = LOOKS[hook]
    test.concurrent(
      `with the hook ${hook}: ${silent}, or ${well}`,
      () =>
        inTurn(async () => {
          await using lab = await labFor(hook)
          using world = new World(lab, good, hook, { failurePolicy: "Ignore" })
          await isNow(world, hook, well, "it is well")
          const before = lab.described.length
          const startMs = performance.now()
          const seen = new Set<string>()
          for (let times = 0; times < RESTARTS; times++) {
            lab.die()
            await Bun.sleep(LIVES_MS)
            seen.add(await now(world))
            await lab.listen()
            await Bun.sleep(LIVES_MS)
            seen.add(await now(world))
          }
          expect([...seen].filter(one => one !== silent && one !== well)).toEqual([])
          world.wait(BREAKER_MAX_MS)
          await isNow(world, hook, well, "it stays")
          await until("it is ready", world, async () => {
            world.wait(BREAKER_MAX_MS)
            await now(world)
            return world.listed("lab").state === "Ready"
          })
          // Nobody storms a plugin that has just come back.
          const elapsedMs = performance.now() - startMs
          expect(lab.described.length - before).toBeLessThan(RESTARTS * 10 + elapsedMs / 25)
          expect(world.listed("good")).toMatchObject({ state: "Ready", errors: 0 })
        }),
      PATIENCE,
    )
  }
})

describe("a plugin that refuses everything by mistake", () => {
  for (const hook of PLUGIN_HOOKS) {
    const { refuses } = LOOKS[hook]
    if (refuses === undefined) continue
    const [enforced, audited] = refuses
    test.concurrent(
      `with the hook ${hook}: ${enforced}; in mode Audit ${audited}, and it is counted`,
      () =>
        inTurn(async () => {
          await using lab = await labFor(hook)
          refuseAll(lab)
          using audit = new World(lab, good, hook, { ...closing(hook), mode: "Audit" })
          await until("both are ready", audit, () =>
            ["lab", "good"].every(name => audit.listed(name).state === "Ready"),
          )
          await isNow(audit, hook, audited, "in mode Audit it is")
          if (hook === "Policy") {
            await until(
              "its policies are known",
              audit,
              () => audit.supervisor.supplied("lab")?.policies.length === 1,
            )
            expect(audit.supervisor.supplied("lab")).toMatchObject({ inForce: false })
            expect(await LOOKS[hook].now(audit)).toBe(audited)
          } else expect(audit.listed("lab").refused).toBeGreaterThan(0)
          using enforce = new World(lab, good, hook, closing(hook))
          await isNow(enforce, hook, enforced, "in mode Enforce it is")
          await until("it is ready", enforce, () => enforce.listed("lab").state === "Ready")
        }),
      PATIENCE,
    )
  }

  test(
    "and comes into force, and out of it, with its object's mode",
    async () => {
      await using lab = await labFor("Policy")
      refuseAll(lab)
      using world = new World(lab, good, "Policy", { mode: "Audit" })
      const known = () => world.supervisor.supplied("lab")
      await until("its policies are known", world, () => known()?.policies.length === 1)
      for (const [mode, word] of [
        ["Enforce", "closed"],
        ["Audit", "open"],
        ["Enforce", "closed"],
      ] as const) {
        world.plugin("lab", lab.address, { deadline: "5s", hooks: [{ name: "Policy", mode }] })
        // At once: nobody waits for the plugin's answer to what is known.
        expect(await LOOKS.Policy.now(world)).toBe(word)
      }
    },
    PATIENCE,
  )
})

function refuseAll({ behaviour }: LabPlugin): void {
  behaviour.policies = () => ({ policies: [{ namespace: "shop", name: "closed", spec: DENY_ALL }] })
  behaviour.authorize = async () => ({ decision: pluginPolicyV1.Decision.DENY, reason: "no" })
  behaviour.review = async () => ({ allowed: false, reason: "no" })
  behaviour.mutate = async () => ({ denied: "no" })
}
