// The plugins of `plugin_bench.ts`, in a process of their own, on a port each: they supply a policy and change an endpoint
// when told to, take figures, and answer what is asked about requests.
//
// usage:  bun plugin_server.ts '<PluginServerOptions as JSON>'
// stdin:  `amend NAMESPACE SERVICE WEIGHT` weighs the first endpoint of a Service; `supply NAMESPACE NUMBER` supplies a
//         policy that audits `/number/NUMBER` of a namespace
// stdout: `ready` once all listen
import { createServer } from "node:http2"
import type { MessageInitShape } from "@bufbuild/protobuf"
import type { ConnectRouter } from "@connectrpc/connect"
import { connectNodeAdapter } from "@connectrpc/connect-node"
import { pluginDestinationV1, pluginHooksV1, pluginPolicyV1, pluginV1 } from "../../protos/mod.ts"

/** What the parent passes. */
export interface PluginServerOptions {
  readonly ports: readonly number[]
  /** How long answers about requests hold, milliseconds. */
  readonly cacheMs: number
}

const HOOKS = [
  pluginV1.Hook.DESTINATION,
  pluginV1.Hook.POLICY,
  pluginV1.Hook.AUTHORIZE,
  pluginV1.Hook.TELEMETRY,
]
const options = JSON.parse(process.argv[2] ?? "{}") as PluginServerOptions
const weights = new Map<string, number>()
const numbers = new Map<string, number>()
const wakes = new Set<() => void>()

async function* answers<Answer>(
  requests: AsyncIterable<unknown>,
  answer: () => Answer,
  signal: AbortSignal,
): AsyncGenerator<Answer> {
  let wake = Promise.withResolvers<void>()
  const woken = (): void => wake.resolve()
  wakes.add(woken)
  signal.addEventListener("abort", woken)
  const heard = (async () => {
    try {
      for await (const _ of requests) woken()
    } catch {
      // The control plane has gone.
    }
  })()
  try {
    while (!signal.aborted) {
      await wake.promise
      wake = Promise.withResolvers<void>()
      if (!signal.aborted) yield answer()
    }
    await heard
  } finally {
    wakes.delete(woken)
  }
}

const first = new Map<string, { readonly address: string; readonly port: number }>()

async function* learning(
  requests: AsyncIterable<pluginDestinationV1.AmendRequest>,
): AsyncGenerator<pluginDestinationV1.AmendRequest> {
  for await (const request of requests) {
    for (const { ref, endpoints } of request.changed) {
      const [one] = endpoints
      if (ref !== undefined && one !== undefined) first.set(`${ref.namespace} ${ref.name} ${ref.port}`, one)
    }
    yield request
  }
}

function amendments(): MessageInitShape<typeof pluginDestinationV1.AmendResponseSchema> {
  return {
    amendments: [...weights].flatMap(([key, weight]) => {
      const endpoint = first.get(key)
      const [namespace = "", name = "", port = ""] = key.split(" ")
      if (endpoint === undefined) return []
      const { address, port: podPort } = endpoint
      return [{ ref: { namespace, name, port: Number(port) }, change: [{ address, port: podPort, weight }] }]
    }),
  }
}

function supply(): MessageInitShape<typeof pluginPolicyV1.SupplyResponseSchema> {
  return {
    policies: [...numbers].map(([namespace, number]) => ({
      ...{ namespace, name: "numbered" },
      spec: {
        target: { kind: "Namespace" },
        action: "Audit",
        rules: [{ to: [{ paths: [`/number/${number}`] }] }],
      },
    })),
  }
}

function routes(router: ConnectRouter): void {
  router.service(pluginV1.PluginService, {
    describe: () => ({ name: "bench", version: "1.0.0", apiVersions: ["v1"], hooks: HOOKS }),
  })
  router.service(pluginDestinationV1.DestinationHookService, {
    amend: (requests, { signal }) => answers(learning(requests), amendments, signal),
  })
  router.service(pluginPolicyV1.PolicyHookService, {
    supply: (requests, { signal }) => answers(requests, supply, signal),
    authorize: () => ({ decision: pluginPolicyV1.Decision.ALLOW, cacheMs: options.cacheMs }),
  })
  router.service(pluginHooksV1.TelemetryHookService, {
    async observe(requests) {
      for await (const _ of requests);
      return {}
    },
  })
}

for (const port of options.ports) {
  const server = createServer(connectNodeAdapter({ routes }))
  await new Promise<void>(resolve => server.listen(port, "127.0.0.1", resolve))
}
console.log("ready")
for await (const line of console) {
  const [verb, namespace = "", ...rest] = line.split(" ")
  if (verb === "amend") weights.set(`${namespace} ${rest[0]} 80`, Number(rest[1]))
  else numbers.set(namespace, Number(rest[0]))
  for (const wake of wakes) wake()
}
