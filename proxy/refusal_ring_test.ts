// What is kept of refusals: the latest, in full, within bounds.
import { expect, test } from "bun:test"
import { REFUSAL_TEXT_MAX, REFUSALS_KEPT, type RefusalRecord, RefusalRing } from "./refusal_ring.ts"

function record(id: string, more: Partial<RefusalRecord> = {}): RefusalRecord {
  return {
    id,
    timeMs: 1_750_000_000_000,
    direction: 0,
    reason: "denied",
    status: 403,
    method: "GET",
    authority: "cart.shop",
    path: "/items/7",
    clientIp: "10.0.0.1",
    clientId: "web.shop.serviceaccount.identity.conduit.cluster.local",
    destination: "10.0.0.2:8080",
    endpoint: "",
    verdict: null,
    detail: "",
    ...more,
  }
}

test("a refusal is found by its id, with what decided", () => {
  const ring = new RefusalRing()
  const verdict = {
    allowed: false,
    namespace: "shop",
    name: "admin",
    rule: 1,
    detail: "",
    audit: null,
  } as const
  ring.add(record("a", { verdict: { ...verdict, cause: "policy" } }))
  ring.add(record("b", { direction: 1, reason: "no-endpoint", status: 503, detail: "none is ready" }))
  expect(JSON.parse(ring.json("a"))).toEqual({
    kept: REFUSALS_KEPT,
    refusals: [
      {
        ...record("a", { detail: "" }),
        verdict: undefined,
        direction: "inbound",
        cause: "policy",
        policy: "shop/admin",
        rule: 1,
        defaultPolicy: "",
      },
    ],
  })
  const [other] = JSON.parse(ring.json("b")).refusals
  expect(other).toMatchObject({ direction: "outbound", detail: "none is ready", cause: "", rule: -1 })
  expect(JSON.parse(ring.json("c")).refusals).toEqual([])
})

test("a default policy that decided is named as such, with the verdict's detail", () => {
  const ring = new RefusalRing()
  const verdict = { allowed: false, namespace: "", name: "deny", rule: -1, detail: "by default", audit: null }
  ring.add(record("a", { verdict: { ...verdict, cause: "default" } }))
  const [told] = JSON.parse(ring.json("a")).refusals
  expect(told).toMatchObject({ policy: "", defaultPolicy: "deny", detail: "by default" })
})

test("the oldest gives way, and all of them come with the latest first", () => {
  const ring = new RefusalRing()
  for (let n = 0; n < REFUSALS_KEPT + 3; n++) ring.add(record(`id${n}`))
  expect(ring.find("id2")).toEqual([])
  expect(ring.find("id3")).toHaveLength(1)
  const all = ring.find("")
  expect(all).toHaveLength(REFUSALS_KEPT)
  expect([all[0]?.id, all.at(-1)?.id]).toEqual([`id${REFUSALS_KEPT + 2}`, "id3"])
})

test("long texts are cut", () => {
  const ring = new RefusalRing()
  ring.add(record("a", { path: `/${"x".repeat(10_000)}`, detail: "y".repeat(300) }))
  const [kept] = ring.find("a")
  expect(kept?.path).toHaveLength(REFUSAL_TEXT_MAX)
  expect(kept?.path).toEndWith("x\u2026")
  expect(kept?.detail).toHaveLength(REFUSAL_TEXT_MAX)
})
