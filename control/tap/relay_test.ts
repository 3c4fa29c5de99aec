// One tap over several proxies: what is merged, named, counted and left out; and when it ends.
import { expect, test } from "bun:test"
import { create, type MessageInitShape } from "@bufbuild/protobuf"
import { ConnectError, createRouterTransport, type Transport } from "@connectrpc/connect"
import {
  ResourceSelectorSchema,
  TapRequestSchema,
  type TapResponse,
  TapResponseSchema,
  tapV1,
} from "../../protos/mod.ts"
import { ClusterStore, readManifestFile } from "../cluster/mod.ts"
import { relay } from "./relay.ts"
import { watchRequest } from "./request.ts"

const pod = (name: string, podIP: string, meshed = true) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace: "shop", labels: meshed ? { "conduit.io/control-plane-ns": "conduit" } : {} },
  spec: { containers: [{ name: "app" }, ...(meshed ? [{ name: "conduit-proxy" }] : [])] },
  status: { phase: "Running", podIP, podIPs: [{ ip: podIP }] },
})
const PODS = [pod("web-1", "10.0.0.1"), pod("web-2", "10.0.0.2"), pod("bare", "10.0.0.3", false)]

type Told = MessageInitShape<typeof tapV1.WatchResponseSchema>

/** A request that a proxy tells of, whole. */
function told(id: bigint, path = "/"): NonNullable<Told["events"]> {
  return [
    {
      id,
      moment: {
        case: "begun",
        value: { inbound: true, client: "10.0.0.2:4000", server: "10.0.0.1:80", path, tls: "true" },
      },
    },
    { id, moment: { case: "ended", value: { status: 200, afterMs: 1 } } },
  ]
}

/** What a tap tells, whose proxies tell `messages` each, by pod, and then nothing. */
async function tapped(
  request: MessageInitShape<typeof TapRequestSchema>,
  messages: Readonly<Record<string, readonly Told[]>>,
): Promise<{ responses: TapResponse[]; error: ConnectError | null }> {
  const store = new ClusterStore()
  const list = JSON.stringify({ apiVersion: "v1", kind: "List", items: PODS })
  store.apply([...readManifestFile("shop.json", list).objects.values()].map(put => ({ put })))
  store.markSynced()
  const transportOf = (name: string): Transport =>
    createRouterTransport(({ service }) => {
      service(tapV1.ProxyTapService, {
        async *watch(_requests, { signal }) {
          yield {}
          yield* messages[name] ?? []
          await new Promise(resolve => signal.addEventListener("abort", resolve))
        },
      })
    })
  const parts = {
    store,
    transportTo:
      ({ name }: { name: string }) =>
      () =>
        transportOf(name),
    nowMs: () => performance.now(),
  }
  const summary = { told: 0, limited: 0, dropped: 0, proxies: 0 }
  const responses: TapResponse[] = []
  try {
    const whole = create(TapRequestSchema, {
      target: create(ResourceSelectorSchema, { kind: "pod", namespace: "shop" }),
      ...request,
    })
    for await (const response of relay(whole, parts, AbortSignal.timeout(400), summary))
      responses.push(create(TapResponseSchema, response))
  } catch (error) {
    return { responses, error: ConnectError.from(error) }
  }
  return { responses, error: null }
}

const moments = (responses: readonly TapResponse[]) =>
  responses.flatMap(({ events }) => events.map(({ id, moment }) => `${id} ${moment.case}`))

test("what several proxies tell is one stream, with what stands behind addresses, and what is not heard", async () => {
  const { responses } = await tapped(
    {},
    { "web-1": [{ events: told(1n) }], "web-2": [{ events: told(1n), dropped: 3n }] },
  )
  expect(moments(responses).sort()).toEqual([
    "shop/web-1/1 begun",
    "shop/web-1/1 ended",
    "shop/web-2/1 begun",
    "shop/web-2/1 ended",
  ])
  const first = responses.flatMap(({ events }) => events).find(({ id }) => id === "shop/web-1/1")
  expect(first?.moment.value).toMatchObject({
    client: { address: "10.0.0.2:4000", namespace: "shop", pod: "web-2" },
    server: { address: "10.0.0.1:80", pod: "web-1" },
  })
  expect(responses.at(-1)?.state).toMatchObject({ proxies: 2, unmeshed: 1, dropped: 3n })
})

test("raw connections are named too, and asked for only where nothing is asked that only requests have", async () => {
  const opened = {
    inbound: true,
    client: "10.0.0.2:4000",
    server: "10.0.0.1:3306",
    tls: "true",
    protocol: "tcp",
  }
  const events: Told["events"] = [
    { id: 1n, moment: { case: "opened", value: opened } },
    { id: 1n, moment: { case: "closed", value: { afterMs: 5, clientBytes: 7n } } },
    { id: 2n, moment: { case: "closed", value: { afterMs: 5 } } },
  ]
  const { responses } = await tapped({ connections: true, max: 1 }, { "web-1": [{ events }] })
  const [first, last, ...more] = responses.flatMap(({ events }) => events)
  expect(first?.moment).toMatchObject({
    case: "opened",
    value: { client: { pod: "web-2" }, server: { address: "10.0.0.1:3306", pod: "web-1" }, protocol: "tcp" },
  })
  expect(last?.moment).toMatchObject({ case: "closed", value: { afterMs: 5, clientBytes: 7n } })
  expect(more).toEqual([])
  const asked = (request: MessageInitShape<typeof TapRequestSchema>) =>
    watchRequest(create(TapRequestSchema, request), null).connections
  expect(asked({ connections: true, maxRps: 5 })).toBe(true)
  for (const request of [{}, { connections: true, method: "GET" }, { connections: true, failuresOnly: true }])
    expect(asked(request)).toBe(false)
})

test("a tap of at most two ends with the second, whatever came with it", async () => {
  const events = [1n, 2n, 3n, 4n].flatMap(id => told(id))
  const { responses } = await tapped(
    { max: 2 },
    { "web-1": [{ events }, { events: told(5n) }], "web-2": [{ events }] },
  )
  expect(moments(responses).filter(moment => moment.endsWith("ended"))).toHaveLength(2)
})

test("over all proxies no more requests a second are told of than asked for", async () => {
  const events = Array.from({ length: 50 }, (_, i) => told(BigInt(i + 1))).flat()
  const { responses } = await tapped({ maxRps: 60 }, { "web-1": [{ events }], "web-2": [{ events }] })
  expect(moments(responses).filter(moment => moment.endsWith("ended"))).toHaveLength(60)
  expect(responses.at(-1)?.state?.limited).toBe(40n)
})

test.each([
  [{ sample: 2 }, "sample"],
  [{ statusFrom: 99 }, "status"],
  [{ pathRegex: "(" }, "path_regex"],
  [{ pathPrefix: "/a", pathRegex: "/b" }, "exclude"],
  [{ maxRps: 10_001 }, "max_rps"],
] as const)("a tap of %j is refused", async (request, sentence) => {
  expect((await tapped(request as never, {})).error?.rawMessage).toContain(sentence)
})
