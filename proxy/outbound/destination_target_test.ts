// Where the connections of a destination go by its routes, as discovery changes them.
import { expect, test } from "bun:test"
import { NONE_TRIED, UNKNOWN_ENDPOINT } from "../balance/mod.ts"
import { Destination, type ServiceInfo } from "../discovery/destination.ts"
import type { HttpTarget } from "../http/mod.ts"
import { NO_FILTERS, NO_ROUTES, NO_TIMEOUTS, ROUTE_KIND_TCP, type RoutesConfig } from "../route/mod.ts"
import { DestinationTarget } from "./destination_target.ts"

const WEB: ServiceInfo = {
  namespace: "shop",
  name: "web",
  port: 80,
  fqdn: "web.shop.svc.cluster.local",
  protocol: 0,
}
const INFO = { ...WEB, name: "v2", fqdn: "v2.shop.svc.cluster.local", accrual: null, balancing: null }
const at = (host: number) => ({ address: `10.0.0.${host}`, port: 8080, info: UNKNOWN_ENDPOINT })

/** A TCPRoute to the Service itself and to another one, by weight. */
function tcpRoute(own: number, other: number): RoutesConfig {
  const backends = [own, other].map((weight, backend) => ({
    weight,
    backend,
    filters: NO_FILTERS,
    fault: "",
  }))
  const rest = {
    matches: [],
    filters: NO_FILTERS,
    timeouts: NO_TIMEOUTS,
    retry: null,
    session: null,
    fault: "",
  }
  return { ...NO_ROUTES, kind: ROUTE_KIND_TCP, rules: [{ name: "tcp", backends, ...rest }] }
}

function web(routes: RoutesConfig): Destination {
  const destination = new Destination("10.96.0.1", 80, () => 0)
  destination.setService(WEB, [at(1)], 0, routes, [{ info: INFO, endpoints: [at(2)] }])
  return destination
}

const addressOf = ({ source }: HttpTarget) => source.pick(NONE_TRIED, 0)?.address

test("HTTP on a port of a TCPRoute goes by its weights, all of a connection to one backend", () => {
  const target = new DestinationTarget(web(tcpRoute(1, 3)))
  const counts: Record<string, number> = {}
  for (let i = 0; i < 100; i++) {
    const http = target.http(0)
    const [first = "", again] = [addressOf(http), addressOf(http)]
    expect(again).toBe(first)
    counts[first] = (counts[first] ?? 0) + 1
  }
  expect(Math.abs((counts["10.0.0.2"] ?? 0) - 75)).toBeLessThanOrEqual(2)
})

test("a connection of HTTP follows the TCPRoute that takes the place of its own", () => {
  const destination = web(tcpRoute(0, 1))
  const http = new DestinationTarget(destination).http(0)
  expect(addressOf(http)).toBe("10.0.0.2")
  destination.setService(WEB, [at(1)], 0, tcpRoute(1, 0), [{ info: INFO, endpoints: [at(2)] }])
  expect(addressOf(http)).toBe("10.0.0.1")
  destination.setService(WEB, [at(1)], 0)
  expect(addressOf(http)).toBe("10.0.0.1")
})

test("a share of a TCPRoute that leads nowhere has no endpoint for HTTP either", () => {
  expect(addressOf(new DestinationTarget(web(tcpRoute(0, 0))).http(0))).toBeUndefined()
})
