// Probes on a clock that the test drives.
import { expect, test } from "bun:test"
import type { Probe } from "../../inject/mod.ts"
import { runProbe } from "./probe.ts"

/** Runs a probe over a script of outcomes, one per try, and tells when it settled as what. */
async function play(probe: Probe, script: string, eager = false): Promise<string[]> {
  const stop = new AbortController()
  const told: string[] = []
  let nowMs = 0
  let at = 0
  await runProbe({
    probe,
    eager,
    signal: stop.signal,
    nowMs: () => nowMs,
    sleep: async ms => {
      nowMs += ms
    },
    check: async () => {
      const ok = script[at++] === "y"
      if (at >= script.length) queueMicrotask(() => queueMicrotask(() => stop.abort()))
      return { ok, reason: ok ? "" : "no" }
    },
    onOutcome: ok => told.push(`${nowMs / 1000}s ${ok ? "well" : "ill"}`),
  })
  return told
}

test("the first success makes it well, and only as many failures in a row as the threshold make it ill", async () => {
  expect(await play({ periodSeconds: 1, failureThreshold: 3 }, "ynnynnnn.")).toEqual(["0s well", "6s ill"])
})

test("the initial delay comes first", async () => {
  expect(await play({ initialDelaySeconds: 5, periodSeconds: 1 }, "y.")).toEqual(["5s well"])
})

test("several successes can be asked for", async () => {
  expect(await play({ periodSeconds: 2, successThreshold: 3 }, "ynyyy.")).toEqual(["8s well"])
})

test("eager tries find the first success early, but count as failures only once a period", async () => {
  expect(await play({ periodSeconds: 10, failureThreshold: 3 }, `${"n".repeat(20)}y.`, true)).toEqual([
    "2s well",
  ])
  const ill = await play({ periodSeconds: 1, failureThreshold: 3 }, `${"n".repeat(40)}.`, true)
  expect(ill[0]).toBe("2s ill")
})
