// Tests of the redirect's text and of port lists.
import { expect, test } from "bun:test"
import fc from "fast-check"
import { formatPortList, parsePortList } from "./port_list.ts"
import { parseRedirectArgs, redirectArgs, redirectRules } from "./redirect.ts"

test("the proxy's own connections and loopback pass before anything is redirected", () => {
  const outbound = redirectRules()
    .split("\n")
    .filter(line => line.startsWith("-A CONDUIT_OUTBOUND"))
  expect(outbound[0]).toBe("-A CONDUIT_OUTBOUND -m owner --uid-owner 2102 -j RETURN")
  expect(outbound[1]).toBe("-A CONDUIT_OUTBOUND -o lo -j RETURN")
  expect(outbound.at(-1)).toBe("-A CONDUIT_OUTBOUND -p tcp -j REDIRECT --to-ports 4140")
})

test("the admin port is never redirected", () => {
  expect(redirectRules()).toContain("-A CONDUIT_INBOUND -p tcp -m multiport --dports 4190:4191 -j RETURN")
})

test("connections from a source that is skipped reach the application itself", () => {
  const inbound = redirectRules({ skipInboundSources: ["10.244.0.2"] })
    .split("\n")
    .filter(line => line.startsWith("-A CONDUIT_INBOUND"))
  expect(inbound[0]).toBe("-A CONDUIT_INBOUND -s 10.244.0.2 -j RETURN")
})

test("a long list of skipped ports is split where multiport ends", () => {
  const skip = Array.from({ length: 40 }, (_, index) => ({
    from: 100 + index * 10,
    to: 100 + index * 10 + (index % 2),
  }))
  const rules = redirectRules({ skipInboundPorts: skip })
  for (const line of rules.split("\n")) {
    const ports = /--dports (\S+)/.exec(line)?.[1]?.split(",") ?? []
    expect(ports.reduce((sum, port) => sum + (port.includes(":") ? 2 : 1), 0)).toBeLessThanOrEqual(15)
  }
  for (const range of skip)
    expect(rules).toContain(range.from === range.to ? `${range.from}` : `${range.from}:${range.to}`)
})

test("the init container's arguments say exactly what the options said", () => {
  const options = {
    inboundPort: 14143,
    outboundPort: 14140,
    proxyUid: 7,
    skipInboundPorts: [{ from: 25, to: 30 }],
    skipOutboundPorts: [{ from: 3306, to: 3306 }],
  }
  expect(parseRedirectArgs(redirectArgs(options))).toEqual(options)
  expect(() => parseRedirectArgs(["--proxy-uid=root"])).toThrow("--proxy-uid=root is not a number")
  expect(() => parseRedirectArgs(["--verbose"])).toThrow('unknown argument "--verbose"')
})

test("a port list survives being written and read", () => {
  const range = fc.tuple(fc.integer({ min: 1, max: 65535 }), fc.integer({ min: 1, max: 65535 }))
  fc.assert(
    fc.property(fc.array(range), pairs => {
      const ranges = pairs.map(([a, b]) => ({ from: Math.min(a, b), to: Math.max(a, b) }))
      expect(parsePortList(formatPortList(ranges))).toEqual(ranges)
    }),
  )
})

test("a port list with an entry that is no port is refused by that entry's name", () => {
  expect(() => parsePortList("80,http")).toThrow('"http" is not a port')
  expect(() => parsePortList("0")).toThrow("port 0 is outside 1-65535")
  expect(() => parsePortList("70000")).toThrow("port 70000 is outside 1-65535")
  expect(() => parsePortList("90-80")).toThrow('range "90-80" ends before it begins')
})
