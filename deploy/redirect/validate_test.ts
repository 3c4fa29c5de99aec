// Tests of what the proof of a redirect connects to; the proof itself is in tests/e2e/cni_test.ts, behind real rules.
import { expect, test } from "bun:test"
import { redirectedPort, validate, waysOut } from "./validate.ts"

test("each family in which the pod has an address is looked at", () => {
  const families = (...addresses: string[]) => waysOut(addresses).map(way => way.loopback)
  expect(families("10.1.2.3")).toEqual(["127.0.0.1"])
  expect(families("fd00::5")).toEqual(["::1"])
  expect(families("10.1.2.3", "10.1.2.4", "fd00::5")).toEqual(["127.0.0.1", "::1"])
})

test("a port is taken that the pod's settings do not skip", () => {
  expect(redirectedPort({})).toBe(20_001)
  expect(redirectedPort({ skipOutboundPorts: [{ from: 20_001, to: 20_002 }] })).toBe(20_003)
  expect(redirectedPort({ skipOutboundPorts: [{ from: 20_001, to: 65_535 }] })).toBe(20_000)
  expect(() => redirectedPort({ skipOutboundPorts: [{ from: 1, to: 65_535 }] })).toThrow(
    "every outbound port",
  )
})

test("somebody else's answer is no redirect", async () => {
  const other = Bun.listen({
    hostname: "127.0.0.2",
    port: 20_001,
    socket: { open: socket => void socket.end("hello".repeat(20)), data: () => {} },
  })
  try {
    const ways = [{ address: "127.0.0.2", loopback: "127.0.0.1" }]
    const said: string[] = []
    const seen = await validate(
      ways,
      { outboundPort: 20_004 },
      { timeoutMs: 0, say: line => said.push(line) },
    )
    expect(seen).toBe("TCP to 127.0.0.2 port 20001 is not redirected to the proxy (somebody else answered)")
  } finally {
    other.stop(true)
  }
  const gone = [{ address: "127.0.0.2", loopback: "127.0.0.1" }]
  const seen = await validate(gone, { outboundPort: 20_004 }, { timeoutMs: 0, say: () => {} })
  expect(seen).toContain("is not redirected to the proxy (ECONNREFUSED)")
})
