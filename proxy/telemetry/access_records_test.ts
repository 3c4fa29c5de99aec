// Access records: each access counts once, under who called what and what was decided; memory is bounded.
import { describe, expect, test } from "bun:test"
import type { Verdict } from "../../protos/authorization/mod.ts"
import { AccessRecords, MAX_ACCESS_METHODS, MAX_ACCESS_RECORDS, MAX_CACHED_ROUTES } from "./access_records.ts"
import { IDLE_SERIES_MS } from "./registry.ts"
import { Scalar } from "./series.ts"

const DEFAULT: Verdict = {
  allowed: true,
  cause: "default",
  namespace: "",
  name: "all-unauthenticated",
  rule: -1,
  detail: "",
  audit: null,
}
const NOT_ALLOWED: Verdict = { ...DEFAULT, allowed: false, cause: "not-allowed", name: "" }
const BY_POLICY: Verdict = { ...DEFAULT, cause: "policy", namespace: "shop", name: "clients", rule: 0 }
const AUDITED: Verdict = { ...BY_POLICY, audit: { namespace: "shop", name: "look", rule: 0 } }

const WEB = { address: "10.0.0.1", dnsName: "web.shop" }

type Counted = Record<string, string | number>

function counted(records: AccessRecords): Counted[] {
  return [...records.registry.all()].map(series => {
    if (!(series instanceof Scalar)) throw new Error("a record is a counter")
    return { ...Object.fromEntries(series.labels), count: series.value }
  })
}

function total(records: AccessRecords, which: (row: Counted) => boolean = () => true): number {
  return counted(records)
    .filter(which)
    .reduce((sum, row) => sum + Number(row.count), 0)
}

test("a path counts by its normal form, however it is sent, and one that can be read in different ways by none", () => {
  const records = new AccessRecords()
  for (const target of ["/a/../%61dmin?x=1", "/admin", "/admin?y", "/admin", "/x%2fadmin", "", "/x%2fadmin"])
    records.decided(WEB, 80, "http1", "GET", target, DEFAULT)
  const counts = counted(records).map(({ path, count }) => [path, count])
  expect(counts.sort()).toEqual([
    ["", 2],
    ["/", 1],
    ["/admin", 4],
  ])
})

test("requests of one route count together, each verdict, method and policy on its own", () => {
  const records = new AccessRecords()
  for (let id = 0; id < 5; id++) records.decided(WEB, 80, "http1", "GET", `/users/${id}`, BY_POLICY)
  records.decided(WEB, 80, "http1", "PUT", "/users/1", NOT_ALLOWED)
  records.decided(WEB, 80, "http1", "GET", "/users/1", AUDITED)
  records.decided(WEB, 80, "http1", "GET", "/users/1", BY_POLICY)
  const shared = {
    client_id: "web.shop",
    client_ip: "10.0.0.1",
    port: "80",
    protocol: "http1",
    path: "/users/{id}",
  }
  expect(counted(records)).toEqual([
    {
      ...shared,
      method: "GET",
      verdict: "allow",
      policy: "shop/clients",
      audit: "",
      example: "/users/0",
      count: 6,
    },
    {
      ...shared,
      method: "PUT",
      verdict: "deny",
      policy: "not-allowed",
      audit: "",
      example: "/users/0",
      count: 1,
    },
    {
      ...shared,
      method: "GET",
      verdict: "audit",
      policy: "shop/clients",
      audit: "shop/look",
      example: "/users/0",
      count: 1,
    },
  ])
})

test("connections of one client count together, also where it comes back; those of others do not", () => {
  const records = new AccessRecords()
  records.decided(WEB, 80, "tcp", "", "", DEFAULT)
  records.decided({ ...WEB }, 80, "tcp", "", "", DEFAULT)
  records.decided({ ...WEB, address: "10.0.0.2" }, 80, "tcp", "", "", DEFAULT)
  records.decided({ ...WEB, dnsName: "" }, 80, "tcp", "", "", DEFAULT)
  records.decided(WEB, 81, "tcp", "", "", DEFAULT)
  expect(counted(records).map(row => row.count)).toEqual([2, 1, 1, 1])
  expect(counted(records)[0]).toMatchObject({ protocol: "tcp", method: "", path: "" })
})

test("gRPC methods stay exact", () => {
  const records = new AccessRecords()
  records.decided(WEB, 80, "grpc", "POST", "/shop.v1.Cart/Get123456", DEFAULT)
  expect(counted(records)[0]).toMatchObject({ path: "/shop.v1.Cart/Get123456" })
})

test("a record without change for ten minutes goes, and counts from zero when it is needed again", () => {
  const records = new AccessRecords()
  records.decided(WEB, 80, "http1", "GET", "/a", DEFAULT)
  records.decided(WEB, 80, "http1", "PUT", "/a", DEFAULT)
  records.sweep(0)
  records.decided(WEB, 80, "http1", "PUT", "/a", DEFAULT)
  records.sweep(IDLE_SERIES_MS)
  expect(counted(records)).toMatchObject([{ method: "PUT", count: 2 }])
  records.decided(WEB, 80, "http1", "GET", "/a", DEFAULT)
  records.decided(WEB, 80, "http1", "PUT", "/a", DEFAULT)
  expect(counted(records)).toMatchObject([
    { method: "PUT", count: 3 },
    { method: "GET", count: 1 },
  ])
})

describe("whatever clients invent is bounded, and what cannot be told apart counts as other", () => {
  test("a million paths", () => {
    const records = new AccessRecords()
    records.decided(WEB, 80, "http1", "GET", "/known", DEFAULT)
    const before = process.memoryUsage().heapUsed
    const letters = "abcdefghijklmnopqrstuvwxyz"
    const word = (n: number) => Array.from(String(n), digit => letters[Number(digit)]).join("")
    for (let i = 0; i < 1_000_000; i++) {
      const verdict = i % 10 === 0 ? NOT_ALLOWED : DEFAULT
      records.decided(WEB, 80, "http1", "GET", `/${word(i % 97)}/${word(i % 1009)}/${word(i)}`, verdict)
    }
    Bun.gc(true)
    const grown = process.memoryUsage().heapUsed - before
    expect(counted(records).length).toBeLessThanOrEqual(MAX_ACCESS_RECORDS + 2)
    expect(records.cached).toBeLessThanOrEqual(MAX_CACHED_ROUTES)
    expect(total(records)).toBe(1_000_001)
    expect(total(records, row => row.verdict === "deny")).toBe(100_000)
    expect(total(records, row => row.other === "true")).toBeGreaterThan(0)
    expect(grown).toBeLessThan(20_000_000)
    records.decided(WEB, 80, "http1", "GET", "/known", DEFAULT)
    expect(total(records, row => row.path === "/known")).toBe(2)
  }, 30_000)

  test("methods", () => {
    const records = new AccessRecords()
    for (let i = 0; i < 100_000; i++) records.decided(WEB, 80, "http1", `M${i}`, "/", DEFAULT)
    expect(new Set(counted(records).map(row => row.method)).size).toBe(MAX_ACCESS_METHODS + 1)
    expect(total(records, row => row.other === "true")).toBe(100_000 - MAX_ACCESS_METHODS)
    records.decided(WEB, 80, "http1", "X".repeat(33), "/", DEFAULT)
    expect(total(records, row => row.other === "true")).toBe(100_001 - MAX_ACCESS_METHODS)
  })

  test("clients, each of whose connections still counts", () => {
    const records = new AccessRecords()
    for (let i = 0; i < 100_000; i++) {
      const address = `10.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}`
      records.decided({ address, dnsName: "" }, 80, "tcp", "", "", NOT_ALLOWED)
    }
    expect(counted(records).length).toBe(MAX_ACCESS_RECORDS + 1)
    expect(total(records)).toBe(100_000)
    expect(total(records, row => row.other === "true")).toBe(100_000 - MAX_ACCESS_RECORDS)
  })

  test("records make room for new ones once they are idle", () => {
    const records = new AccessRecords(2)
    for (const path of ["/a", "/b", "/c"]) records.decided(WEB, 80, "http1", "GET", path, DEFAULT)
    expect(total(records, row => row.other === "true")).toBe(1)
    records.sweep(0)
    records.sweep(IDLE_SERIES_MS)
    records.decided(WEB, 80, "http1", "GET", "/c", DEFAULT)
    expect(counted(records)).toMatchObject([{ path: "/c", count: 1 }])
  })
})
