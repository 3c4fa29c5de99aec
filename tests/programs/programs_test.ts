// Real programs that no one here wrote, each through both proxies: what passes direct passes meshed, and the
// proxies say that they saw it. `bun test tests/programs -t redis` runs one of them.
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { sumOf } from "../lab/prometheus_text.ts"
import { PROGRAMS } from "./every_program.ts"
import type { Case } from "./program.ts"
import { type Side, Stage } from "./stage.ts"

/** Setting a stage may build a database, twice. */
const STAGE_TIMEOUT_MS = 180_000
/** Even the first greeting meshed may come only this much later than the fastest direct, in milliseconds. */
const GREETING_LIMIT_MS = 100

for (const program of PROGRAMS) {
  describe(program.name, () => {
    let stage: Stage
    beforeAll(async () => {
      stage = await Stage.set(program)
    }, STAGE_TIMEOUT_MS)
    afterAll(async () => {
      await stage?.[Symbol.asyncDispose]()
    }, STAGE_TIMEOUT_MS)

    async function pass(one: Case, side: Side): Promise<string> {
      const { status, stdout, stderr } = await stage.run(one, side)
      expect({ side, status, stdout, stderr }).toMatchObject({ side, status: 0 })
      if (typeof one.prints === "string")
        expect({ side, printed: stdout.trimEnd() }).toEqual({ side, printed: one.prints })
      if (one.prints instanceof RegExp) expect(`${side}: ${stdout.trimEnd()}`).toMatch(unanchored(one.prints))
      return stdout
    }

    // Before all others: nothing has been learnt yet about the server.
    const { greeting } = program
    if (greeting !== undefined)
      test(greeting.name, async () => {
        const direct = numbers(await pass(greeting, "direct"))
        const meshed = numbers(await pass(greeting, "meshed"))
        console.log(`  ${program.name}: greetings after ${direct} ms direct, ${meshed} ms meshed`)
        expect(meshed).toHaveLength(direct.length)
        expect(Math.max(...meshed) - Math.min(...direct)).toBeLessThanOrEqual(GREETING_LIMIT_MS)
      }, 60_000)

    for (const one of program.cases) {
      test(
        one.name,
        async () => {
          const direct = await pass(one, "direct")
          const meshed = await pass(one, "meshed")
          if (one.varies !== true) expect(meshed).toBe(direct)
        },
        2 * (one.timeoutMs ?? 60_000) + 10_000,
      )
    }

    test("both proxies saw it, as the protocol that it is", async () => {
      const client = await stage.mesh.metrics("meshed", "client")
      for (const [server, as] of Object.entries(program.seen)) {
        const inbound = await stage.mesh.metrics("meshed", server)
        const requests = {
          inbound: sumOf(inbound, "request_total", { direction: "inbound" }),
          outbound: sumOf(client, "request_total", { direction: "outbound", dst_service: server }),
        }
        const connections = {
          inbound: sumOf(inbound, "tcp_open_total", { direction: "inbound", peer: "src" }),
          outbound: sumOf(client, "tcp_open_total", { direction: "outbound", peer: "src" }),
        }
        expect(connections.inbound).toBeGreaterThan(0)
        expect(connections.outbound).toBeGreaterThan(0)
        if (as === "tcp") expect(requests).toEqual({ inbound: 0, outbound: 0 })
        else {
          expect(requests.inbound).toBeGreaterThan(0)
          expect(requests.outbound).toBeGreaterThan(0)
        }
      }
    }, 30_000)
  })
}

/** The expectation without its anchors at the beginning and the end: the side's name stands before what is matched. */
function unanchored(pattern: RegExp): RegExp {
  return new RegExp(pattern.source.replace(/^\^/, ": "), pattern.flags)
}

function numbers(printed: string): number[] {
  return printed.trim().split("\n").map(Number)
}
