// A plugin for tests of the conformance kit: a good one with every hook, and a switch for each way to get one wrong.
import {
  createSecureServer,
  createServer,
  type Http2SecureServer,
  type Http2Server,
  type ServerHttp2Session,
} from "node:http2"
import type { AddressInfo } from "node:net"
import { create, createFileRegistry, type DescService, fromBinary, toBinary } from "@bufbuild/protobuf"
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt"
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect"
import { connectNodeAdapter } from "@connectrpc/connect-node"
import { pluginDestinationV1, pluginHooksV1, pluginPolicyV1, pluginV1 } from "../../protos/mod.ts"

/** Ways to get a plugin wrong. */
export const DEFECTS = [
  "version-is-no-semver",
  "speaks-another-api",
  "names-no-hook",
  "schema-does-not-compile",
  "refuses-configurations",
  "answers-late",
  "takes-garbage",
  "dies-of-a-huge-message",
  "ends-streams",
  "never-answers-streams",
  "one-stream-only",
  "one-call-at-a-time",
  "cancelled-calls-hold-on",
  "policies-of-no-kind",
  "endpoints-of-no-address",
  "patches-the-image",
  "denies-without-a-word",
  "lines-without-state",
  "mounts-our-services",
  "mounts-streams-of-callers",
  "draws-what-it-has-not",
  "draws-what-it-does-not-answer",
  "dies-of-lost-connections",
] as const
/** One of `DEFECTS`. */
export type Defect = (typeof DEFECTS)[number]

const { Hook } = pluginV1
const SCHEMA = { type: "object", properties: { hours: { type: "string" } }, additionalProperties: false }

/** A plugin that serves. */
export class LabPlugin implements AsyncDisposable {
  readonly #server: Http2Server | Http2SecureServer
  readonly #sessions: Set<ServerHttp2Session>

  private constructor(server: Http2Server | Http2SecureServer, sessions: Set<ServerHttp2Session>) {
    this.#server = server
    this.#sessions = sessions
  }

  /** `host:port`. */
  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /**
   * Starts one.
   *
   * @param hooks  that it describes; all unless given
   * @param tls  certificate and key, PEM; plaintext unless given
   */
  static async start(
    defect: Defect | null,
    hooks?: readonly pluginV1.Hook[],
    tls?: { readonly cert: string; readonly key: string },
  ): Promise<LabPlugin> {
    const sessions = new Set<ServerHttp2Session>()
    const die = (): void => {
      server.close()
      for (const session of sessions) session.destroy()
    }
    const { adapter, garbage } = serviceOf(
      defect,
      hooks ?? Object.values(Hook).filter(hook => hook !== 0),
      die,
    )
    const handler: Handler = (request, response) => {
      if (defect === "dies-of-lost-connections") request.on("aborted", die)
      if (!garbage(request, response)) adapter(request, response)
    }
    const server = tls === undefined ? createServer(handler) : createSecureServer(tls, handler)
    server.on("session", session => {
      sessions.add(session)
      session.on("error", () => {})
      session.on("close", () => sessions.delete(session))
    })
    await new Promise<void>(resolve => server.listen(0, "127.0.0.1", resolve))
    return new LabPlugin(server, sessions)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.#sessions) session.destroy()
    await new Promise<void>(resolve => this.#server.close(() => resolve()))
  }
}

type Handler = (
  request: import("node:http2").Http2ServerRequest,
  response: import("node:http2").Http2ServerResponse,
) => void

function serviceOf(
  defect: Defect | null,
  hooks: readonly pluginV1.Hook[],
  die: () => void,
): {
  readonly adapter: Handler
  readonly garbage: (...given: Parameters<Handler>) => boolean
} {
  let streams = 0
  let queue = Promise.resolve()
  let held = 0
  const stream = async function* <Request, Answer>(
    requests: AsyncIterable<Request & { readonly complete: boolean }>,
    answer: Answer,
    signal: AbortSignal,
  ): AsyncGenerator<Answer> {
    if (defect === "one-stream-only" && streams > 0) throw new ConnectError("busy", Code.ResourceExhausted)
    streams++
    // A thread that waits for a client which is gone.
    if (defect !== "one-stream-only") signal.addEventListener("abort", () => streams--)
    try {
      for await (const { complete } of requests) {
        if (!complete || defect === "never-answers-streams") continue
        yield answer
        if (defect === "ends-streams") return
      }
    } finally {
      if (defect === "one-stream-only") streams--
    }
  }
  const unary = async <Answer>(answer: Answer, signal: AbortSignal): Promise<Answer> => {
    if (defect === "answers-late") await Bun.sleep(700)
    if (defect === "one-call-at-a-time") {
      const turn = queue.then(() => Bun.sleep(100))
      queue = turn
      await turn
    }
    if (defect === "cancelled-calls-hold-on") {
      if (held >= 8) await Bun.sleep(30_000)
      await Bun.sleep(3)
      if (signal.aborted) held++
    }
    return answer
  }
  const routes = (router: ConnectRouter): void => {
    router.service(pluginV1.PluginService, {
      describe({ context }) {
        const size = JSON.stringify(context?.configuration ?? {}).length
        if (defect === "dies-of-a-huge-message" && size > 1_000_000) die()
        if (defect === "refuses-configurations" && size > 2)
          throw new ConnectError("what is this?", Code.InvalidArgument)
        return {
          name: "lab",
          version: defect === "version-is-no-semver" ? "latest" : "1.2.0",
          apiVersions: [defect === "speaks-another-api" ? "v2" : "v1"],
          hooks: defect === "names-no-hook" ? [] : [...hooks],
          configurationSchema:
            defect === "schema-does-not-compile" ? '{"type": "hours"}' : JSON.stringify(SCHEMA),
        }
      },
    })
    router.service(pluginDestinationV1.DestinationHookService, {
      amend: (requests, { signal }) =>
        stream(
          requests,
          {
            amendments: [
              {
                ref: { namespace: "shop", name: "cart", port: 80 },
                add: [
                  { address: defect === "endpoints-of-no-address" ? "cart.example" : "10.9.0.1", port: 80 },
                ],
              },
            ],
          },
          signal,
        ),
    })
    router.service(pluginPolicyV1.PolicyHookService, {
      supply: (requests, { signal }) =>
        stream(
          requests,
          {
            policies: [
              {
                ...{ namespace: "shop", name: "closed", reason: "it is closed" },
                spec: {
                  target: { kind: "Deployment", name: "cart" },
                  action: defect === "policies-of-no-kind" ? "Refuse" : "Deny",
                  rules: [{ from: [{ identities: ["*"] }] }],
                },
              },
            ],
          },
          signal,
        ),
      authorize: (_, { signal }) =>
        unary(
          {
            decision: pluginPolicyV1.Decision.DENY,
            reason: defect === "denies-without-a-word" ? "" : "it is closed",
          },
          signal,
        ),
    })
    router.service(pluginHooksV1.IdentityHookService, {
      review: (_, { signal }) => unary({ allowed: true }, signal),
    })
    router.service(pluginHooksV1.TelemetryHookService, {
      async observe(requests) {
        for await (const { window } of requests)
          if (window !== undefined && defect === "ends-streams") return {}
        return {}
      },
    })
    router.service(pluginHooksV1.InjectionHookService, {
      mutate: (_, { signal }) =>
        unary(
          {
            patchJson: JSON.stringify([
              defect === "patches-the-image"
                ? { op: "replace", path: "/spec/containers/0/image", value: "other" }
                : { op: "add", path: "/metadata/labels/team", value: "shop" },
            ]),
          },
          signal,
        ),
    })
    router.service(pluginHooksV1.CheckHookService, {
      check: (_, { signal }) =>
        unary(
          {
            lines: [
              {
                description: "registry answers",
                status: pluginHooksV1.CheckStatus[defect === "lines-without-state" ? "UNSPECIFIED" : "OK"],
              },
            ],
          },
          signal,
        ),
    })
    if (defect !== "draws-what-it-does-not-answer")
      router.service(ownService(), { list: () => ({ rows: [{ name: "lab" }] }) } as object)
    router.service(pluginHooksV1.ApiHookService, {
      services: (_, { signal }) => unary(ownServices(defect), signal),
    })
  }
  return {
    adapter: connectNodeAdapter({ routes }),
    garbage(request, response) {
      if (defect !== "takes-garbage" || !request.url.endsWith("/Describe")) return false
      // One that reads what it can and passes over the rest.
      const described = toBinary(
        pluginV1.DescribeResponseSchema,
        create(pluginV1.DescribeResponseSchema, {
          ...{ name: "lab", version: "1.2.0", apiVersions: ["v1"], hooks: [Hook.CHECK] },
          configurationSchema: JSON.stringify(SCHEMA),
        }),
      )
      request.resume()
      const head = Buffer.alloc(5)
      head.writeUInt32BE(described.length, 1)
      response.writeHead(200, { "content-type": "application/grpc" })
      response.addTrailers({ "grpc-status": "0" })
      request.on("end", () => response.end(Buffer.concat([head, described])))
      return true
    },
  }
}

function ownService(): DescService {
  const set = fromBinary(FileDescriptorSetSchema, ownServices(null).descriptors)
  const service = createFileRegistry(set).getService("lab.v1.LabService")
  if (service === undefined) throw new Error("the descriptors have the service")
  return service
}

/** A service of its own: gRPC's health, by another name, where it is its own. */
function ownServices(defect: Defect | null) {
  const method = "List"
  const file = {
    ...{ name: "lab.proto", package: "lab.v1", syntax: "proto3" },
    messageType: [
      { name: "Empty" },
      { name: "Row", field: [{ name: "name", number: 1, type: 9, label: 1, jsonName: "name" }] },
      {
        name: "Rows",
        field: [{ name: "rows", number: 1, type: 11, label: 3, typeName: ".lab.v1.Row", jsonName: "rows" }],
      },
    ],
    service: [
      {
        name: "LabService",
        method: [
          { name: method, inputType: ".lab.v1.Empty", outputType: ".lab.v1.Rows" },
          {
            ...{ name: "Follow", inputType: ".lab.v1.Empty", outputType: ".lab.v1.Rows" },
            ...{ clientStreaming: defect === "mounts-streams-of-callers", serverStreaming: true },
          },
        ],
      },
    ],
  }
  const service = "lab.v1.LabService"
  const field = defect === "draws-what-it-has-not" ? "price" : "name"
  const set = { file: [file] } as Parameters<typeof create<typeof FileDescriptorSetSchema>>[1]
  return {
    descriptors: toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, set)),
    services: [defect === "mounts-our-services" ? "conduit.api.v1.StatService" : service],
    panels:
      defect === "mounts-our-services"
        ? []
        : [{ title: "Lab", service, method, rows: "rows", columns: [{ title: "NAME", field }] }],
  }
}
