// A destination changes in place; whoever holds it sees the latest answer.
import { expect, test } from "bun:test"
import { type Endpoint, NONE_TRIED, UNKNOWN_ENDPOINT } from "../balance/mod.ts"
import { Destination, type ServiceInfo } from "./destination.ts"

const WEB: ServiceInfo = {
  namespace: "shop",
  name: "web",
  port: 80,
  fqdn: "web.shop.svc.cluster.local",
  protocol: 0,
}

function at(host: number) {
  return { address: `10.0.0.${host}`, port: 8080, info: { ...UNKNOWN_ENDPOINT, pod: `web-${host}` } }
}

function destination(): Destination {
  return new Destination("10.96.0.1", 80, () => 0)
}

test("before an answer, connections go to the address itself", () => {
  const pending = destination()
  expect(pending.kind).toBe("pending")
  const endpoint = pending.source.pick(NONE_TRIED, 0)
  expect([endpoint?.address, endpoint?.port]).toEqual(["10.96.0.1", 80])
})

test("who waits is called once, by the answer or by giving up", () => {
  const answered = destination()
  let calls = 0
  answered.whenKnown(() => calls++)
  answered.setService(WEB, [at(1)], 0)
  answered.setExternal()
  expect(calls).toBe(1)
  answered.whenKnown(() => calls++)
  expect(calls).toBe(2)
  const silent = destination()
  silent.whenKnown(() => calls++)
  silent.giveUp()
  expect([calls, silent.kind]).toEqual([3, "pending"])
  silent.whenKnown(() => calls++)
  expect(calls).toBe(4)
})

test("a full answer for the same service keeps endpoints that stay", () => {
  const web = destination()
  web.setService(WEB, [at(1), at(2)], 0)
  const generation = web.generation
  const before = new Map(
    [...(web.endpoints?.endpoints() ?? [])].map(endpoint => [endpoint.address, endpoint]),
  )
  web.setService({ ...WEB }, [at(2), at(3)], 0)
  const after = new Map([...(web.endpoints?.endpoints() ?? [])].map(endpoint => [endpoint.address, endpoint]))
  expect([...after.keys()]).toEqual(["10.0.0.2", "10.0.0.3"])
  expect(after.get("10.0.0.2")).toBe(before.get("10.0.0.2") as Endpoint)
  expect(before.get("10.0.0.1")?.removed).toBe(true)
  expect(web.generation).toBe(generation)
})

test("a service that goes takes its endpoints along; holders of the destination go to the address", () => {
  const web = destination()
  web.setService(WEB, [at(1)], 0)
  const [endpoint] = [...(web.endpoints?.endpoints() ?? [])]
  web.setExternal()
  expect(endpoint?.removed).toBe(true)
  expect(web.source.pick(NONE_TRIED, 0)?.address).toBe("10.96.0.1")
  expect([web.service, web.endpoints]).toEqual([null, null])
})

test("a pod that is replaced by another on the same address is a new endpoint", () => {
  const pod = destination()
  pod.setEndpoint({ ...UNKNOWN_ENDPOINT, pod: "a" })
  const first = pod.original
  pod.setEndpoint({ ...UNKNOWN_ENDPOINT, pod: "a", zone: "z" })
  expect(pod.original).toBe(first)
  expect(first.info.zone).toBe("z")
  pod.setEndpoint({ ...UNKNOWN_ENDPOINT, pod: "b" })
  expect(pod.original).not.toBe(first)
  expect(first.removed).toBe(true)
  expect(pod.source.pick(NONE_TRIED, 0)).toBe(pod.original)
})

test("a pod that proves another identity is a new endpoint, and so is one that begins to prove one", () => {
  const pod = destination()
  const told = (identity: string) => {
    pod.setEndpoint({ ...UNKNOWN_ENDPOINT, pod: "a", identity })
    return pod.original
  }
  const plain = told("")
  const web = told("web.shop.mesh")
  expect(told("web.shop.mesh")).toBe(web)
  const admin = told("admin.shop.mesh")
  expect([plain, web, admin].map(({ removed }) => removed)).toEqual([true, true, false])
  expect(pod.source.pick(NONE_TRIED, 0)).toBe(admin)
})

test("a hint for the protocol is taken from the service or the pod", () => {
  const each = destination()
  each.setService({ ...WEB, protocol: 3 }, [], 0)
  expect(each.protocol).toBe(3)
  each.setEndpoint({ ...UNKNOWN_ENDPOINT, protocol: 2 })
  expect(each.protocol).toBe(2)
  each.setExternal()
  expect(each.protocol).toBe(0)
})
