// The name server's answers, as queries and what comes back.
import { expect, test } from "bun:test"
import { type Answer, decode, encode, type Packet, type RecordType } from "dns-packet"
import { chased, type DnsZone, resolve, type Verdict } from "./dns_zone.ts"

const ZONE: DnsZone = {
  addresses: {
    "web.shop.svc.cluster.local": ["10.96.1.1"],
    "db.shop.svc.cluster.local": ["10.244.0.1", "10.244.0.2", "fd00::1"],
    "db-0.db.shop.svc.cluster.local": ["10.244.0.1"],
  },
  services: { "_http._tcp.web.shop.svc.cluster.local": [{ target: "web.shop.svc.cluster.local", port: 80 }] },
  aliases: {
    "ext.shop.svc.cluster.local": "example.org",
    "own.shop.svc.cluster.local": "web.shop.svc.cluster.local",
  },
  pointers: { "1.1.96.10.in-addr.arpa": "web.shop.svc.cluster.local" },
}

function query(name: string, type: RecordType): Buffer {
  return encode({ id: 7, type: "query", flags: 1 << 8, questions: [{ name, type, class: "IN" }] })
}

function ask(name: string, type: RecordType, turn = 0): Packet & { rcode?: string } {
  const verdict: Verdict = resolve(query(name, type), ZONE, turn)
  if (verdict.kind !== "answer") throw new Error(verdict.kind)
  return decode(verdict.packet) as Packet & { rcode?: string }
}

function data(packet: Packet): unknown[] {
  return (packet.answers ?? []).map(answer => (answer as Answer & { data: unknown }).data)
}

test("a Service's name is its address, in any case, with the question's id", () => {
  const answer = ask("WEB.shop.svc.cluster.local", "A")
  expect([answer.id, answer.rcode, data(answer)]).toEqual([7, "NOERROR", ["10.96.1.1"]])
})

test("a headless Service's addresses take turns, and families do not mix", () => {
  expect(data(ask("db.shop.svc.cluster.local", "A", 0))).toEqual(["10.244.0.1", "10.244.0.2"])
  expect(data(ask("db.shop.svc.cluster.local", "A", 1))).toEqual(["10.244.0.2", "10.244.0.1"])
  expect(data(ask("db.shop.svc.cluster.local", "AAAA"))).toEqual(["fd00::1"])
})

test("a name without an address of that family exists; one that is unknown does not", () => {
  expect([
    ask("web.shop.svc.cluster.local", "AAAA").rcode,
    data(ask("web.shop.svc.cluster.local", "AAAA")),
  ]).toEqual(["NOERROR", []])
  expect(ask("nope.shop.svc.cluster.local", "A").rcode).toBe("NXDOMAIN")
  expect(ask("shop.svc.cluster.local", "A").rcode).toBe("NOERROR")
  expect(ask("www.google.com.shop.svc.cluster.local", "A").rcode).toBe("NXDOMAIN")
})

test("SRV names a port, PTR a Service", () => {
  expect(data(ask("_http._tcp.web.shop.svc.cluster.local", "SRV"))).toEqual([
    { priority: 0, weight: 100, port: 80, target: "web.shop.svc.cluster.local" },
  ])
  expect(data(ask("1.1.96.10.in-addr.arpa", "PTR"))).toEqual(["web.shop.svc.cluster.local"])
  expect(ask("9.9.96.10.in-addr.arpa", "PTR").rcode).toBe("NXDOMAIN")
})

test("an alias inside the cluster is answered with its target", () => {
  expect(data(ask("own.shop.svc.cluster.local", "A"))).toEqual(["web.shop.svc.cluster.local", "10.96.1.1"])
})

test("an alias outside is asked for elsewhere, and both are one answer", () => {
  const verdict = resolve(query("ext.shop.svc.cluster.local", "A"), ZONE, 0)
  if (verdict.kind !== "chase") throw new Error(verdict.kind)
  expect(verdict.target).toBe("example.org")
  const reply = encode({
    id: 7,
    type: "response",
    questions: [{ name: "example.org", type: "A" }],
    answers: [{ name: "example.org", type: "A", data: "192.0.2.1" }],
  })
  expect(data(decode(chased(verdict.query, verdict.alias, reply)))).toEqual(["example.org", "192.0.2.1"])
  expect((decode(chased(verdict.query, verdict.alias, null)) as { rcode?: string }).rcode).toBe("SERVFAIL")
})

test("everything outside the cluster is forwarded; what is no query is dropped", () => {
  expect(resolve(query("example.org", "A"), ZONE, 0).kind).toBe("forward")
  expect(resolve(query("xcluster.local", "A"), ZONE, 0).kind).toBe("forward")
  expect(resolve(Buffer.from([1, 2, 3]), ZONE, 0).kind).toBe("drop")
})
