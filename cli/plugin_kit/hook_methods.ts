// Every method of the plugin API with what the kit asks of it: a request as the control plane sends it, a huge one, and who
// judges the answer. One more method is one more row.
import { type DescMessage, type DescMethod, fromBinary, type MessageInitShape } from "@bufbuild/protobuf"
import { pluginDestinationV1, pluginHooksV1, pluginPolicyV1, pluginV1 } from "../../protos/mod.ts"
import {
  judgeAmendments,
  judgeDecision,
  judgeLines,
  judgePatch,
  judgePolicies,
  judgeReview,
  judgeServices,
} from "./answers.ts"

/** Near the 4 MiB that gRPC servers take unless told otherwise. */
export const HUGE_BYTES = 4 * 1024 * 1024 - 64 * 1024
/** Longest name of a configuration's field that the kit makes up. */
const FILLER = "x".repeat(1000)

/** What every call carries. */
export type ContextInit = MessageInitShape<typeof pluginV1.ContextSchema>
type Init = MessageInitShape<DescMessage>

/** A method of the plugin API. */
export interface HookMethod {
  /** As objects name the hook. */
  readonly hook: string
  readonly number: pluginV1.Hook
  readonly method: DescMethod
  /** Messages as the control plane sends them, the first one with a context. */
  readonly messages: (context: ContextInit) => readonly Init[]
  /** A message of about HUGE_BYTES; of a stream, one after the first. */
  readonly huge: (context: ContextInit) => Init
  /** For streams: what is told later. */
  readonly later?: readonly Init[]
  /** For streams: whether the plugin answers while the stream is open. */
  readonly answersStream?: boolean
  /** What is wrong with an answer, a sentence each that says where and what is expected. */
  readonly judge: (answer: Uint8Array) => readonly string[]
}

const WORKLOAD = {
  namespace: "shop",
  kind: "deployment",
  name: "cart",
  labels: { app: "cart", team: "shop" },
  serviceAccounts: ["cart"],
  pods: 2,
}
const ENDPOINT = { address: "10.0.0.7", port: 8080, zone: "eu-west-1a", namespace: "shop", pod: "cart-1" }
const PORT = {
  ref: { namespace: "shop", name: "cart", port: 80 },
  portName: "http",
  labels: { app: "cart" },
  endpoints: [ENDPOINT],
}
const POD = {
  metadata: { name: "cart-1", namespace: "shop", labels: { app: "cart" }, annotations: {} },
  spec: {
    containers: [
      { name: "cart", image: "cart:1" },
      { name: "conduit-proxy", image: "proxy", env: [] },
    ],
  },
}

function many<Item>(bytes: number, each: number, make: (index: number) => Item): Item[] {
  return Array.from({ length: Math.floor(bytes / each) }, (_, index) => make(index))
}

/** A context whose configuration has about so many bytes. */
function hugeContext(context: ContextInit): ContextInit {
  const fields = Object.fromEntries(many(HUGE_BYTES, FILLER.length + 20, index => [`filler${index}`, FILLER]))
  return { ...context, configuration: fields }
}

function row<Input extends DescMessage, Output extends DescMessage>(
  hook: string,
  number: pluginV1.Hook,
  method: DescMethod & { readonly input: Input; readonly output: Output },
  rest: {
    readonly messages: (context: ContextInit) => readonly MessageInitShape<Input>[]
    readonly huge: (context: ContextInit) => MessageInitShape<Input>
    readonly later?: readonly MessageInitShape<Input>[]
    readonly answersStream?: boolean
    readonly judge?: (answer: ReturnType<typeof fromBinary<Output>>) => readonly string[]
  },
): HookMethod {
  const { judge = () => [], ...others } = rest
  return {
    ...{ hook, number, method },
    ...(others as Omit<HookMethod, "hook" | "number" | "method" | "judge">),
    judge: answer => {
      try {
        return judge(fromBinary(method.output, answer))
      } catch (error) {
        return [`the answer is no ${method.output.typeName}: ${(error as Error).message}`]
      }
    },
  }
}

const { Hook } = pluginV1
const policy = pluginPolicyV1.PolicyHookService.method
const hooks = pluginHooksV1

/** Describe, which every plugin serves. */
export const DESCRIBE: HookMethod = row(
  "Describe",
  Hook.UNSPECIFIED,
  pluginV1.PluginService.method.describe,
  {
    messages: context => [{ context, apiVersions: ["v1"], conduitVersion: "0.1.0" }],
    huge: context => ({ context: hugeContext(context), apiVersions: ["v1"], conduitVersion: "0.1.0" }),
  },
)

/** The methods of hooks. */
export const HOOK_METHODS: readonly HookMethod[] = [
  row("Destination", Hook.DESTINATION, pluginDestinationV1.DestinationHookService.method.amend, {
    messages: context => [{ context }, { changed: [PORT], complete: true }],
    huge: () => ({
      changed: many(HUGE_BYTES, 45_000, index => ({
        ...PORT,
        ref: { namespace: "shop", name: `huge-${index}`, port: 80 },
        endpoints: many(45_000, 45, place => ({
          ...ENDPOINT,
          address: `10.${index}.${place >> 8}.${place & 255}`,
        })),
      })),
    }),
    later: [
      { changed: [{ ...PORT, endpoints: [] }] },
      { removed: [PORT.ref, { namespace: "shop", name: "never-told", port: 1 }] },
    ],
    answersStream: true,
    judge: judgeAmendments,
  }),
  row("Policy", Hook.POLICY, policy.supply, {
    messages: context => [{ context }, { changed: [WORKLOAD], complete: true }],
    huge: () => ({
      changed: many(HUGE_BYTES, 100, index => ({ ...WORKLOAD, name: `huge-${index}` })),
    }),
    later: [
      { changed: [{ ...WORKLOAD, labels: {}, pods: 0 }] },
      { removed: [WORKLOAD, { namespace: "shop", kind: "deployment", name: "never-told" }] },
    ],
    answersStream: true,
    judge: judgePolicies,
  }),
  row("Authorize", Hook.AUTHORIZE, policy.authorize, {
    messages: context => [
      {
        context,
        clientId: "spiffe://cluster.local/ns/shop/sa/web",
        clientAddress: "10.0.0.9",
        namespace: "shop",
        workloadKind: "deployment",
        workload: "cart",
        port: 8080,
        method: "GET",
        path: "/cart/1",
        authority: "cart.shop",
        headers: { "x-user": "ada" },
      },
    ],
    huge: context => ({ context, path: `/${"x".repeat(HUGE_BYTES)}` }),
    judge: judgeDecision,
  }),
  row("Identity", Hook.IDENTITY, hooks.IdentityHookService.method.review, {
    messages: context => [
      {
        context,
        identity: "spiffe://cluster.local/ns/shop/sa/cart",
        namespace: "shop",
        serviceAccount: "cart",
        pod: "cart-1",
        lifetimeSeconds: 86_400,
      },
    ],
    huge: context => ({ context, pod: "x".repeat(HUGE_BYTES) }),
    judge: judgeReview,
  }),
  row("Telemetry", Hook.TELEMETRY, hooks.TelemetryHookService.method.observe, {
    messages: context => [{ context }, { window: window(1, 0) }],
    huge: () => ({ window: window(Math.floor(HUGE_BYTES / 110), 1) }),
    later: [
      { window: window(1, 2), missed: 3 },
      {
        events: [
          { timeMs: 1n, kind: "rollout", resource: { namespace: "shop", kind: "deployment", name: "cart" } },
        ],
      },
      { window: window(0, 3) },
    ],
    answersStream: false,
  }),
  row("Injection", Hook.INJECTION, hooks.InjectionHookService.method.mutate, {
    messages: context => [
      {
        ...{ context, namespace: "shop", ownerKind: "deployment", owner: "cart" },
        podJson: JSON.stringify(POD),
      },
    ],
    huge: context => ({
      ...{ context, namespace: "shop", ownerKind: "deployment", owner: "cart" },
      podJson: JSON.stringify({
        ...POD,
        metadata: { ...POD.metadata, annotations: { filler: "x".repeat(HUGE_BYTES) } },
      }),
    }),
    judge: answer => judgePatch(answer, POD),
  }),
  row("Check", Hook.CHECK, hooks.CheckHookService.method.check, {
    messages: context => [{ context }],
    huge: context => ({ context: hugeContext(context) }),
    judge: judgeLines,
  }),
  row("Api", Hook.API, hooks.ApiHookService.method.services, {
    messages: context => [{ context }],
    huge: context => ({ context: hugeContext(context) }),
    judge: judgeServices,
  }),
]

function window(edges: number, index: number): MessageInitShape<typeof hooks.TrafficWindowSchema> {
  return {
    startMs: BigInt(1_700_000_000_000 + index * 10_000),
    endMs: BigInt(1_700_000_010_000 + index * 10_000),
    edges: Array.from({ length: edges }, (_, place) => ({
      client: { namespace: "shop", kind: "deployment", name: "web" },
      server: { namespace: "shop", kind: "deployment", name: place === 0 ? "cart" : `cart-${place}` },
      success: 90n,
      failure: 10n,
      p50Ms: 1,
      p95Ms: 5,
      p99Ms: 9,
      secured: true,
    })),
  }
}
