// The environment as the proxy reads it, and what it says about bad values.
import { expect, test } from "bun:test"
import { ConfigError, readConfig } from "./config.ts"

const good = {
  CONDUIT_PROXY_NAMESPACE: "shop",
  CONDUIT_PROXY_POD: "web-1",
  CONDUIT_PROXY_DESTINATION_ADDR: "conduit-destination.conduit.svc.cluster.local:8086",
  CONDUIT_PROXY_TELEMETRY_ADDR: "[fd00::1]:8087",
}

test("the least environment gives the contract's ports and defaults", () => {
  const config = readConfig(good)
  expect([config.outboundPort, config.inboundPort, config.adminPort]).toEqual([4140, 4143, 4191])
  expect(config.shutdownGraceMs).toBe(30_000)
  expect(config.logLevel).toBe("info")
  expect(config.accessLog).toBe("off")
})

test("every setting is read", () => {
  const config = readConfig({
    ...good,
    CONDUIT_PROXY_POD_IPS: "10.0.0.1, fd00::2",
    CONDUIT_PROXY_WORKLOAD_KIND: "Deployment",
    CONDUIT_PROXY_OPAQUE_PORTS: "25, 3306,4000-4100",
    CONDUIT_PROXY_SHUTDOWN_GRACE_PERIOD: "1m30s",
    CONDUIT_PROXY_LOG_FORMAT: "json",
    CONDUIT_PROXY_ACCESS_LOG: "json",
    CONDUIT_PROXY_TRACE_COLLECTOR: "collector.tracing:4318",
    CONDUIT_PROXY_TRACE_SAMPLING: "0.25",
    CONDUIT_PROXY_ADMIN_PORT: "5191",
  })
  expect(config.podIps).toEqual(["10.0.0.1", "fd00::2"])
  expect(config.workloadKind).toBe("deployment")
  expect(config.opaquePorts).toEqual([
    { from: 25, to: 25 },
    { from: 3306, to: 3306 },
    { from: 4000, to: 4100 },
  ])
  expect(config.shutdownGraceMs).toBe(90_000)
  expect(config.accessLog).toBe("json")
  expect(config.traceCollector).toBe("collector.tracing:4318")
  expect(config.traceSampling).toBe(0.25)
  expect(config.adminPort).toBe(5191)
})

test.each([
  ["POD", ""],
  ["DESTINATION_ADDR", "nowhere"],
  ["DESTINATION_ADDR", "host:0"],
  ["TELEMETRY_ADDR", "http://host:1"],
  ["POD_IPS", "10.0.0.256"],
  ["OPAQUE_PORTS", "80-70"],
  ["OPAQUE_PORTS", "smtp"],
  ["LOG_LEVEL", "loud"],
  ["LOG_FORMAT", "xml"],
  ["ACCESS_LOG", "on"],
  ["TRACE_COLLECTOR", "http://collector:4318"],
  ["TRACE_SAMPLING", "10"],
  ["SHUTDOWN_GRACE_PERIOD", "soon"],
  ["INBOUND_PORT", "65536"],
])("CONDUIT_PROXY_%s=%p is refused by name", (name, value) => {
  const read = () => readConfig({ ...good, [`CONDUIT_PROXY_${name}`]: value })
  expect(read).toThrow(ConfigError)
  expect(read).toThrow(`CONDUIT_PROXY_${name}`)
})
