// The plugin of tests: gives pods a team; denies what `configuration.deny` names to call web, or the Deployment `configuration.target`, and drains the pod that
// `configuration.drain` ends with; both as data. Asked about requests, it refuses those of the service account
// `configuration.refuse`.
import { createServer } from "node:http2"
import type { ConnectRouter } from "@connectrpc/connect"
import { connectNodeAdapter } from "@connectrpc/connect-node"
import { pluginDestinationV1, pluginHooksV1, pluginPolicyV1, pluginV1 } from "../../protos/mod.ts"

interface Configuration {
  readonly deny?: readonly string[]
  /** `NAMESPACE/NAME`. */
  readonly target?: string
  readonly drain?: boolean
  readonly refuse?: string
  /** Value of the label `team` that pods get; empty: they are refused. */
  readonly team?: string
}

function routes(router: ConnectRouter): void {
  router.service(pluginV1.PluginService, {
    describe: () => ({
      name: "gatekeeper",
      version: "1.0.0",
      apiVersions: ["v1"],
      hooks: [
        pluginV1.Hook.POLICY,
        pluginV1.Hook.DESTINATION,
        pluginV1.Hook.AUTHORIZE,
        pluginV1.Hook.INJECTION,
      ],
      configurationSchema: JSON.stringify({
        type: "object",
        additionalProperties: false,
        properties: {
          deny: { type: "array", items: { type: "string" } },
          target: { type: "string" },
          drain: { type: "boolean" },
          refuse: { type: "string" },
          team: { type: "string" },
        },
      }),
    }),
  })
  router.service(pluginPolicyV1.PolicyHookService, {
    authorize({ context, clientId, path }) {
      const { refuse } = (context?.configuration ?? {}) as Configuration
      const denied = refuse !== undefined && clientId.endsWith(`/sa/${refuse}`)
      return denied
        ? { decision: pluginPolicyV1.Decision.DENY, reason: `${refuse} may not see ${path}`, cacheMs: 1000 }
        : { decision: pluginPolicyV1.Decision.DEFER, cacheMs: 1000 }
    },
    async *supply(requests) {
      for await (const { context } of requests) {
        if (context === undefined) continue
        const { deny = [], target: wanted = "shop/web" } = (context.configuration ?? {}) as Configuration
        const [namespace = "", of = ""] = wanted.split("/")
        const target = { kind: "Deployment", name: of }
        yield {
          policies: deny.map(name => ({
            ...{ namespace, name: `no-${name}`, reason: `${name} is not wanted` },
            spec: { target, action: "Deny", rules: [{ from: [{ deployments: [`${namespace}/${name}`] }] }] },
          })),
        }
      }
    },
  })
  router.service(pluginHooksV1.InjectionHookService, {
    mutate({ context, owner }) {
      const { team } = (context?.configuration ?? {}) as Configuration
      if (team === undefined) return {}
      if (team === "") return { denied: `${owner} has no team` }
      return { patchJson: JSON.stringify([{ op: "add", path: "/metadata/labels/team", value: team }]) }
    },
  })
  router.service(pluginDestinationV1.DestinationHookService, {
    async *amend(requests) {
      let drain = false
      for await (const { context, changed } of requests) {
        if (context !== undefined) drain = ((context.configuration ?? {}) as Configuration).drain ?? false
        else {
          const ports = changed.filter(({ ref }) => ref?.namespace === "shop" && ref.name === "web")
          yield {
            amendments: ports.flatMap(({ ref, endpoints: [first] }) =>
              ref === undefined || first === undefined || !drain
                ? []
                : [{ ref, change: [{ address: first.address, port: first.port, weight: 0 }] }],
            ),
          }
        }
      }
    },
  })
}

createServer(connectNodeAdapter({ routes })).listen(Number(process.env.PORT))
process.on("SIGTERM", () => process.exit(0))
