// Gates: a window that begins when asked for, and a verdict as soon as there can be only one.
import { expect, test } from "bun:test"
import { create } from "@bufbuild/protobuf"
import { GateRequestSchema, GateVerdict, telemetryV1 } from "../../protos/mod.ts"
import { ClusterStore, readManifestFile } from "../cluster/mod.ts"
import { localQueries, TelemetryStore } from "../telemetry/mod.ts"
import { gate } from "./gate.ts"

const START = 1_750_000_000_000
const EDGES = [100, 300, 1000]

const pod = (name: string, meshed: boolean) => `
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: ${name}, namespace: shop }
spec: { template: {} }
---
apiVersion: v1
kind: Pod
metadata:
  name: ${name}-1
  labels: { "conduit.io/control-plane-ns": conduit }
  namespace: shop
  ownerReferences: [{ apiVersion: apps/v1, kind: Deployment, name: ${name}, controller: true }]
spec: { containers: [{ name: app }${meshed ? ", { name: conduit-proxy }" : ""}] }
status: { phase: Running, podIP: 10.1.0.${name.length} }
`

function cluster(): ClusterStore {
  const idle =
    "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: idle, namespace: shop }\nspec: { template: {} }"
  const { objects, problems } = readManifestFile(
    "shop.yaml",
    `${idle}${pod("web", true)}${pod("plain", false)}`,
  )
  expect(problems).toEqual([])
  const store = new ClusterStore()
  store.apply([...objects.values()].map(put => ({ put })))
  store.markSynced()
  return store
}

/** A proxy of web that reports once a second what `perSecond` says. */
class Web {
  private readonly store = new TelemetryStore(START - 1)
  private readonly stream = this.store.openStream(
    create(telemetryV1.ReporterSchema, {
      ...{ namespace: "shop", pod: "web-1", workloadKind: "deployment", workload: "web" },
      startedAtMs: BigInt(START),
      histogramEdgesMs: EDGES,
    }),
  )
  private readonly totals = { success: 0, failure: 0, fast: 0, slow: 0 }
  nowMs = START
  private declared = false

  run(seconds: number, perSecond: { ok?: number; bad?: number; slow?: number }): void {
    const { ok = 0, bad = 0, slow = 0 } = perSecond
    const labels = { direction: "inbound" }
    for (let second = 0; second < seconds; second++) {
      this.nowMs += 1000
      this.totals.success += ok + slow
      this.totals.failure += bad
      this.totals.fast += ok + bad
      this.totals.slow += slow
      const series = [
        { id: 1, metric: "response_total", labels: { ...labels, classification: "success" } },
        { id: 2, metric: "response_total", labels: { ...labels, classification: "failure" } },
        { id: 3, metric: "response_latency_ms", labels },
      ]
      this.stream?.take(
        create(telemetryV1.ReportRequestSchema, {
          series: this.declared ? [] : series,
          samples: [
            { seriesId: 1, value: this.totals.success },
            { seriesId: 2, value: this.totals.failure },
          ],
          histograms: [{ seriesId: 3, counts: [this.totals.fast, 0, this.totals.slow, 0].map(BigInt) }],
        }),
        this.nowMs,
      )
      this.declared = true
    }
  }

  async judge(beginMs: number, more: object = {}, name = "web") {
    const request = create(GateRequestSchema, {
      target: { namespace: "shop", kind: "deployment", name },
      windowMs: 60_000,
      beginMs,
      limits: { success: 0.99, p99Ms: 300 },
      ...more,
    })
    const answer = await gate(
      cluster(),
      localQueries(this.store, () => this.nowMs),
      request,
      this.nowMs,
    )
    const [row] = answer.rows ?? []
    return {
      next: answer.nextBeginMs ?? 0,
      verdict: row?.verdict,
      responses: Number(row?.http?.responses ?? 0n),
      reasons: row?.reasons ?? [],
    }
  }
}

test("a window holds nothing that happened before it was asked for, and passes when it is over", async () => {
  const web = new Web()
  web.run(60, { bad: 50 })
  const { next } = await web.judge(0)
  expect(next).toBe(web.nowMs + 2000)
  web.run(1, { bad: 50 })
  web.run(61, { ok: 100 })
  expect(await web.judge(next)).toMatchObject({ verdict: GateVerdict.WAITING, responses: 6100 })
  web.run(2, { ok: 100 })
  expect(await web.judge(next)).toMatchObject({ verdict: GateVerdict.PASSED, responses: 6300, reasons: [] })
})

test("a window longer than two minutes begins where its slots do, so that old failures stay out of it", async () => {
  const web = new Web()
  web.run(63, { bad: 50 })
  const { next } = await web.judge(0, { windowMs: 300_000 })
  expect(next % 10_000).toBe(0)
  web.run((next - web.nowMs) / 1000 - 1, { bad: 50 })
  web.run(303, { ok: 10 })
  const { verdict, responses } = await web.judge(next, { windowMs: 300_000 })
  expect({ verdict, responses }).toEqual({ verdict: GateVerdict.PASSED, responses: 3030 })
})

test("a release that cannot recover fails long before the window's end, one that still can does not", async () => {
  const web = new Web()
  web.run(10, { ok: 100 })
  const { next } = await web.judge(0)
  web.run(2, { ok: 100 })
  web.run(6, { ok: 98, bad: 2 })
  expect(await web.judge(next)).toMatchObject({ verdict: GateVerdict.WAITING })
  web.run(6, { ok: 60, bad: 40 })
  const { verdict, reasons } = await web.judge(next)
  expect(verdict).toBe(GateVerdict.FAILED)
  expect(reasons).toEqual([
    "success 80.615 % is below 99 %: 252 of 1300 requests failed so far, which cannot be made good within 60 s",
  ])
})

test("no failure at all allows not one", async () => {
  const web = new Web()
  const { next } = await web.judge(0)
  web.run(3, { ok: 100 })
  web.run(1, { ok: 99, bad: 1 })
  const all = { limits: { success: 1 } }
  expect(await web.judge(next, all)).toMatchObject({ verdict: GateVerdict.FAILED })
})

test("a slow release fails by its quantile", async () => {
  const web = new Web()
  const { next } = await web.judge(0)
  web.run(66, { ok: 98, slow: 2 })
  const { verdict, reasons } = await web.judge(next)
  expect(verdict).toBe(GateVerdict.FAILED)
  expect(reasons.join()).toMatch(/^p99 \d+(\.\d)? ms is above 300 ms over 6500 requests$/)
})

test("no traffic and too little of it are failures with a sentence, unless no traffic is allowed", async () => {
  const web = new Web()
  const { next } = await web.judge(0)
  web.run(66, {})
  expect(await web.judge(next)).toMatchObject({
    verdict: GateVerdict.FAILED,
    reasons: ["no HTTP request ended within 60 s: nothing shows that it works"],
  })
  expect(await web.judge(next, { allowNoTraffic: true })).toMatchObject({ verdict: GateVerdict.PASSED })
  const begin = (await web.judge(0)).next
  web.run(66, { ok: 1 })
  const few = await web.judge(begin, { limits: { success: 0.5, minRequests: 100n } })
  expect(few.reasons).toEqual(["only 65 requests ended within the window, and 100 are needed for a verdict"])
})

test("what nobody counts fails at once", async () => {
  const web = new Web()
  expect((await web.judge(web.nowMs, {}, "plain")).reasons.join()).toContain("its pod is not meshed")
  expect((await web.judge(web.nowMs, {}, "idle")).reasons).toEqual(["no pod of it runs"])
})

test("limits that make no sense are refused by name", async () => {
  const web = new Web()
  for (const [request, sentence] of [
    [{ limits: {} }, "limits: give a success rate"],
    [{ limits: { success: 99 } }, "limits.success must be 0 to 1, not 99"],
    [{ limits: { p99Ms: 60_000 } }, "limits.p99_ms must be 0 to 50000 milliseconds"],
    [{ windowMs: 3_600_000 }, "window_ms must be 1000 to 3300000"],
  ] as const)
    expect(web.judge(0, request)).rejects.toThrow(sentence)
  expect(web.judge(0, {}, "nobody")).rejects.toThrow('deployment "nobody" is not known')
})
