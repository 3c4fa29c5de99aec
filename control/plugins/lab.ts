// A plugin for tests, on a port of its own over HTTP/2, that can be made to behave in every bad way.
import { createServer, type Http2Server, type ServerHttp2Session } from "node:http2"
import type { AddressInfo } from "node:net"
import type { MessageInitShape } from "@bufbuild/protobuf"
import type { ConnectRouter } from "@connectrpc/connect"
import { connectNodeAdapter } from "@connectrpc/connect-node"
import { pluginDestinationV1, pluginHooksV1, pluginPolicyV1, pluginV1 } from "../../protos/mod.ts"
import { Wake } from "./told.ts"

/** How the plugin behaves; changed at any time. */
export interface LabBehaviour {
  describe: () => Promise<MessageInitShape<typeof pluginV1.DescribeResponseSchema>>
  /** What it supplies; a change is sent when `changed` is called. */
  policies: () => MessageInitShape<typeof pluginPolicyV1.SupplyResponseSchema> | null
  amendments: () => MessageInitShape<typeof pluginDestinationV1.AmendResponseSchema> | null
  check: () => Promise<MessageInitShape<typeof pluginHooksV1.CheckResponseSchema>>
  authorize: (
    request: pluginPolicyV1.AuthorizeRequest,
  ) => Promise<MessageInitShape<typeof pluginPolicyV1.AuthorizeResponseSchema>>
  /** What it does before it takes a window. */
  observing: () => Promise<void>
  /** What it says of its services. */
  services: () => MessageInitShape<typeof pluginHooksV1.ServicesResponseSchema>
  /** Adds what serves them. */
  route: (router: ConnectRouter) => void
}

/** A plugin that runs. */
export class LabPlugin implements AsyncDisposable {
  readonly behaviour: LabBehaviour
  /** Messages of the Supply stream. */
  readonly supplied: pluginPolicyV1.SupplyRequest[] = []
  /** Messages of the Amend stream. */
  readonly amended: pluginDestinationV1.AmendRequest[] = []
  /** Messages of the Observe stream. */
  readonly observed: pluginHooksV1.ObserveRequest[] = []
  /** Calls of Describe. */
  readonly described: pluginV1.DescribeRequest[] = []
  #server: Http2Server | null = null
  readonly #sessions = new Set<ServerHttp2Session>()
  readonly #wakes = new Set<Wake>()
  #port = 0

  private constructor(hooks: readonly pluginV1.Hook[]) {
    this.behaviour = {
      describe: () =>
        Promise.resolve({ name: "lab", version: "1.0.0", apiVersions: ["v1"], hooks: [...hooks] }),
      policies: () => ({ policies: [] }),
      amendments: () => ({ amendments: [] }),
      check: () => Promise.resolve({ lines: [] }),
      observing: () => Promise.resolve(),
      services: () => ({}),
      route: () => {},
      authorize: () => Promise.resolve({ decision: pluginPolicyV1.Decision.DEFER }),
    }
  }

  /** Starts one that serves some hooks. */
  static async start(...hooks: readonly pluginV1.Hook[]): Promise<LabPlugin> {
    const plugin = new LabPlugin(hooks)
    await plugin.listen()
    return plugin
  }

  /** `host:port`. */
  get address(): string {
    return `127.0.0.1:${this.#port}`
  }

  /** Sends what streams are to be told now. */
  changed(): void {
    for (const wake of this.#wakes) wake.wake()
  }

  /** Listens, on the same port as before. */
  async listen(): Promise<void> {
    const server = createServer((request, response) =>
      connectNodeAdapter({ routes: router => this.#routes(router) })(request, response),
    )
    server.on("session", session => {
      this.#sessions.add(session)
      session.on("close", () => this.#sessions.delete(session))
    })
    await new Promise<void>(resolve => server.listen(this.#port, "127.0.0.1", resolve))
    this.#port = (server.address() as AddressInfo).port
    this.#server = server
  }

  /** Dies: connections are cut, the port is closed. */
  die(): void {
    this.#server?.close()
    this.#server = null
    for (const session of this.#sessions) session.destroy()
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.die()
    return Promise.resolve()
  }

  #routes(router: ConnectRouter): void {
    router.service(pluginV1.PluginService, {
      describe: request => {
        this.described.push(request)
        return this.behaviour.describe()
      },
    })
    router.service(pluginPolicyV1.PolicyHookService, {
      authorize: request => this.behaviour.authorize(request),
      supply: (requests, { signal }) =>
        this.#stream(requests, this.supplied, () => this.behaviour.policies(), signal),
    })
    router.service(pluginDestinationV1.DestinationHookService, {
      amend: (requests, { signal }) =>
        this.#stream(requests, this.amended, () => this.behaviour.amendments(), signal),
    })
    router.service(pluginHooksV1.CheckHookService, { check: () => this.behaviour.check() })
    router.service(pluginHooksV1.TelemetryHookService, {
      observe: async requests => {
        for await (const request of requests) {
          await this.behaviour.observing()
          this.observed.push(request)
        }
        return {}
      },
    })
    router.service(pluginHooksV1.ApiHookService, { services: () => this.behaviour.services() })
    this.behaviour.route(router)
  }

  async *#stream<Request, Answer>(
    requests: AsyncIterable<Request>,
    heard: Request[],
    answer: () => Answer | null,
    signal: AbortSignal,
  ): AsyncGenerator<Answer> {
    const wake = new Wake()
    this.#wakes.add(wake)
    signal.addEventListener("abort", () => wake.wake())
    const listen = async (): Promise<void> => {
      try {
        for await (const request of requests) heard.push(request)
      } catch {
        // The caller is gone.
      }
      wake.wake()
    }
    void listen()
    try {
      for (;;) {
        const next = answer()
        if (next !== null) yield next
        await wake.wait()
        if (signal.aborted) return
      }
    } finally {
      this.#wakes.delete(wake)
    }
  }
}
