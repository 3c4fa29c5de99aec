// Our reading and writing of conduit.destination.v1, held to the generated code.
import { expect, test } from "bun:test"
import { create, fromBinary, toBinary } from "@bufbuild/protobuf"
import fc from "fast-check"
import { destinationV1 } from "../../protos/mod.ts"
import { formatIpv4, formatIpv6, parseAddress } from "../net/mod.ts"
import { NO_FILTERS, NO_ROUTES } from "../route/mod.ts"
import { decodeAnswer, encodeHello, encodeSubscribe, encodeUnsubscribe } from "./watch_codec.ts"

const { Protocol } = destinationV1
const text = fc.string({ maxLength: 20 })
const ip = fc.oneof(
  fc.uint8Array({ minLength: 4, maxLength: 4 }),
  fc.uint8Array({ minLength: 16, maxLength: 16 }),
)
const port = fc.integer({ min: 1, max: 65535 })
const id = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER })
const endpoint = fc.record({
  ip,
  port,
  weight: fc.option(fc.nat(1000), { nil: undefined }),
  zone: text,
  identity: text,
  protocol: fc.constantFrom(Protocol.UNSPECIFIED, Protocol.HTTP2, Protocol.TLS),
  namespace: text,
  pod: text,
  workloadKind: text,
  workload: text,
  meshed: fc.boolean(),
  serviceAccount: text,
  forZones: fc.array(text, { maxLength: 3 }),
  forNodes: fc.array(text, { maxLength: 3 }),
})

type Endpoint = typeof endpoint extends fc.Arbitrary<infer T> ? T : never

const addressText = (bytes: Uint8Array) => (bytes.length === 4 ? formatIpv4(bytes, 0) : formatIpv6(bytes, 0))

function expected({ ip: bytes, port: number, weight, ...info }: Endpoint) {
  return { address: addressText(bytes), port: number, info: { ...info, weight: weight ?? 1, itself: false } }
}

function message({ weight, ...rest }: Endpoint) {
  const made = create(destinationV1.EndpointSchema, rest)
  if (weight !== undefined) made.weight = weight
  return made
}

function decoded(update: destinationV1.WatchResponse["update"], watchId: number, version: string) {
  const response = create(destinationV1.WatchResponseSchema, { watchId: BigInt(watchId), version, update })
  const answer = decodeAnswer(toBinary(destinationV1.WatchResponseSchema, response))
  expect([answer.watchId, answer.version]).toEqual([watchId, version])
  return answer.update
}

test("services, endpoints and deltas are read as they were written", () => {
  fc.assert(
    fc.property(
      fc.array(endpoint, { maxLength: 4 }),
      id,
      text,
      port,
      (endpoints, watchId, version, number) => {
        const about = {
          namespace: "shop",
          name: "web",
          port: number,
          fqdn: "web.shop",
          protocol: Protocol.TCP,
        }
        const service = create(destinationV1.ServiceSchema, {
          ...about,
          portName: "http",
          endpoints: endpoints.map(message),
          backends: [{ namespace: "shop", name: "v2", port: 80, endpoints: endpoints.map(message) }],
        })
        const destination = create(destinationV1.DestinationSchema, {
          kind: { case: "service", value: service },
        })
        expect(decoded({ case: "destination", value: destination }, watchId, version)).toEqual({
          kind: "service",
          service: about,
          endpoints: endpoints.map(expected),
          routes: NO_ROUTES,
          backends: [
            {
              info: {
                namespace: "shop",
                name: "v2",
                port: 80,
                fqdn: "",
                protocol: 0,
                accrual: null,
                balancing: null,
              },
              endpoints: endpoints.map(expected),
            },
          ],
        })
        const delta = create(destinationV1.EndpointsDeltaSchema, {
          removed: endpoints.map(each => ({ ip: each.ip, port: each.port })),
          added: endpoints.map(message),
          backends: [
            { backend: 300, removed: [{ ip: Uint8Array.of(10, 0, 0, 1), port: number }], added: [] },
          ],
        })
        expect(decoded({ case: "endpoints", value: delta }, watchId, version)).toEqual({
          kind: "delta",
          removed: endpoints.map(each => ({ address: addressText(each.ip), port: each.port })),
          added: endpoints.map(expected),
          backends: [{ backend: 300, removed: [{ address: "10.0.0.1", port: number }], added: [] }],
        })
        for (const each of endpoints) {
          const pod = create(destinationV1.DestinationSchema, {
            kind: { case: "endpoint", value: message(each) },
          })
          expect(decoded({ case: "destination", value: pod }, watchId, version)).toEqual({
            kind: "endpoint",
            info: expected(each).info,
          })
        }
      },
    ),
  )
})

test("routes are read as they were written, every field of them", () => {
  const { MatchKind, RouteKind } = destinationV1
  const filters = {
    requestHeaders: { set: [{ name: "A", value: "1" }], add: [{ name: "b", value: "2" }], remove: ["c"] },
    responseHeaders: { remove: ["server"] },
    redirect: {
      scheme: "https",
      hostname: "x.example",
      path: { change: { case: "full" as const, value: "/f" } },
      port: 8443,
      status: 301,
    },
    rewrite: { hostname: "y.example", path: { change: { case: "prefix" as const, value: "/p" } } },
    mirrors: [{ backend: 1, numerator: 1, denominator: 3 }],
  }
  const retry = { codes: [500, 503], grpcCodes: [14], attempts: 2, backoffMs: 30, anyMethod: true }
  const timeouts = { requestMs: 1, backendRequestMs: 2, responseMs: 3, idleMs: 400 }
  const accrual = { maxFailures: 7, minPenaltyMs: 1000, maxPenaltyMs: 60_000 }
  const balancing = { slowStartMs: 30_000, preferZone: true, byClient: true }
  const fault = { delayMs: 500, delayPercent: 10, abortStatus: 503, abortPercent: 5 }
  const session = { cookie: "c", header: "h", maxAgeS: 60, absoluteS: 70, idleS: 80 }
  const service = create(destinationV1.ServiceSchema, {
    name: "web",
    routeKind: RouteKind.HTTP,
    retry,
    timeouts,
    failureAccrual: accrual,
    balancing,
    fault,
    backends: [{ name: "v2", failureAccrual: accrual, balancing }],
    routes: [
      {
        name: "r/0",
        matches: [
          {
            rank: 5,
            path: { kind: MatchKind.REGEX, value: "/a.*" },
            method: "GET",
            headers: [{ name: "x", kind: MatchKind.UNSPECIFIED, value: "1" }],
            query: [{ name: "q", kind: MatchKind.REGEX, value: "z+" }],
          },
        ],
        filters,
        backends: [{ weight: 9, backend: 1, filters, fault: "gone" }],
        timeouts,
        retry,
        session,
        serverNames: ["a.example", "*.b.example"],
        fault: "wrong",
      },
    ],
  })
  const destination = create(destinationV1.DestinationSchema, { kind: { case: "service", value: service } })
  const read = {
    requestHeaders: filters.requestHeaders,
    responseHeaders: { set: [], add: [], remove: ["server"] },
    redirect: { ...filters.redirect, path: { kind: 1, value: "/f" } },
    rewrite: { hostname: "y.example", path: { kind: 2, value: "/p" } },
    mirrors: filters.mirrors,
  }
  expect(decoded({ case: "destination", value: destination }, 1, "v")).toMatchObject({
    kind: "service",
    backends: [{ info: { name: "v2", accrual, balancing } }],
    routes: {
      kind: 1,
      retry,
      timeouts,
      accrual,
      balancing,
      injected: fault,
      rules: [
        {
          name: "r/0",
          matches: [
            {
              rank: 5,
              pathKind: 2,
              path: "/a.*",
              method: "GET",
              headers: [{ name: "x", kind: 0, value: "1" }],
              query: [{ name: "q", kind: 2, value: "z+" }],
            },
          ],
          filters: read,
          backends: [{ weight: 9, backend: 1, filters: read, fault: "gone" }],
          timeouts,
          retry,
          session,
          serverNames: ["a.example", "*.b.example"],
          fault: "wrong",
        },
      ],
    },
  })
  const bare = create(destinationV1.DestinationSchema, {
    kind: { case: "service", value: create(destinationV1.ServiceSchema, { routes: [{ matches: [{}] }] }) },
  })
  expect(decoded({ case: "destination", value: bare }, 1, "v")).toMatchObject({
    routes: { rules: [{ matches: [{ rank: 0, pathKind: 1, path: "" }], filters: NO_FILTERS, retry: null }] },
  })
})

test("the short answers are told apart", () => {
  const external = create(destinationV1.DestinationSchema, {
    kind: { case: "external", value: create(destinationV1.ExternalSchema) },
  })
  expect(decoded({ case: "destination", value: external }, 1, "v")).toEqual({ kind: "external" })
  const inbound = create(destinationV1.InboundPortSchema, { protocol: 2, zone: "z" })
  expect(decoded({ case: "inbound", value: inbound }, 1, "v")).toEqual({
    kind: "inbound",
    protocol: 2,
    zone: "z",
  })
  const unchanged = create(destinationV1.UnchangedSchema)
  expect(decoded({ case: "unchanged", value: unchanged }, 1, "v")).toEqual({ kind: "unchanged" })
  expect(decoded({ case: undefined }, 1, "v")).toEqual({ kind: "unknown" })
  const nothing = create(destinationV1.DestinationSchema)
  expect(decoded({ case: "destination", value: nothing }, 1, "v")).toEqual({ kind: "unknown" })
})

test("requests are written as the control plane reads them", () => {
  const read = (bytes: Uint8Array) => fromBinary(destinationV1.WatchRequestSchema, bytes).request
  fc.assert(
    fc.property(id, ip, port, text, (watchId, bytes, number, version) => {
      const address = addressText(bytes)
      expect(read(encodeSubscribe(watchId, { address, port: number }, version))).toMatchObject({
        case: "subscribe",
        value: {
          watchId: BigInt(watchId),
          version,
          target: { case: "outbound", value: { ip: parseAddress(address), port: number } },
        },
      })
      expect(read(encodeSubscribe(watchId, { address: "", port: number }, version))).toMatchObject({
        case: "subscribe",
        value: { watchId: BigInt(watchId), version, target: { case: "inbound", value: { port: number } } },
      })
      expect(read(encodeUnsubscribe(watchId))).toMatchObject({
        case: "unsubscribe",
        value: { watchId: BigInt(watchId) },
      })
      expect(read(encodeHello({ namespace: version, pod: "p", node: "n", version: "1" }))).toMatchObject({
        case: "hello",
        value: { namespace: version, pod: "p", node: "n", proxyVersion: "1" },
      })
    }),
  )
})
