// A plugin for tests, on a port of its own over HTTP/2, that can be made to behave in every bad way.
import {
  createServer,
  type Http2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
} from "node:http2"
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from "node:net"
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
  mutate: (
    request: pluginHooksV1.MutateRequest,
  ) => Promise<MessageInitShape<typeof pluginHooksV1.MutateResponseSchema>>
  review: (
    request: pluginHooksV1.ReviewRequest,
  ) => Promise<MessageInitShape<typeof pluginHooksV1.ReviewResponseSchema>>
  /** What it does before it takes a window. */
  observing: () => Promise<void>
  /** What it says of its services. */
  services: () => MessageInitShape<typeof pluginHooksV1.ServicesResponseSchema>
  /** Adds what serves them. */
  route: (router: ConnectRouter) => void
}

/** What may be wrong with how it answers; of all but `hangs`, Describe is as it should be. */
export type LabFault =
  /** Nothing is answered, on connections that stay open. */
  | "hangs"
  /** Answers are no messages. */
  | "garbage"
  /** Answers are messages of `HUGE_ANSWER_BYTES`. */
  | "huge"
  /** Answers come `LATE_MS` after they were asked for. */
  | "late"
  /** Connections are cut in the middle of each answer. */
  | "cut"

/** Bytes of a huge answer. */
export const HUGE_ANSWER_BYTES = 100_000_000
const HUGE_PIECE = Buffer.alloc(65_536)

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
  /** What is wrong with it; changed at any time. */
  fault: LabFault | null = null
  /** Milliseconds that late answers come after they were asked for. */
  lateMs = 0
  /** Most bytes that were taken of a huge answer. */
  hugeBytes = 0
  #server: Http2Server | null = null
  #garbage: { readonly server: Server; readonly sockets: Set<Socket> } | null = null
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
      mutate: () => Promise.resolve({}),
      review: () => Promise.resolve({ allowed: true }),
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
    if (this.#garbage !== null) this.die()
    const answer = (request: Http2ServerRequest, response: Http2ServerResponse): void =>
      connectNodeAdapter({ routes: router => this.#routes(router) })(request, response)
    const server = createServer((request, response) => {
      if (!this.#misbehaves(request, response, answer)) answer(request, response)
    })
    server.on("session", session => {
      this.#sessions.add(session)
      session.on("error", () => {})
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
    this.cut()
    this.#garbage?.server.close()
    for (const socket of this.#garbage?.sockets ?? []) socket.destroy()
    this.#garbage = null
  }

  /** Cuts its connections; new ones are taken. */
  cut(): void {
    for (const session of this.#sessions) session.destroy()
  }

  /** Dies; on its port something answers that speaks no HTTP/2, until `die` or `listen`. */
  async garble(): Promise<void> {
    this.die()
    const sockets = new Set<Socket>()
    const server = createTcpServer(socket => {
      sockets.add(socket)
      socket.on("error", () => {})
      socket.write("220 mail.example ESMTP\r\n")
    })
    this.#garbage = { server, sockets }
    await new Promise<void>(resolve => server.listen(this.#port, "127.0.0.1", resolve))
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.die()
    return Promise.resolve()
  }

  /** @returns whether the request is answered otherwise than it should be */
  #misbehaves(
    request: Http2ServerRequest,
    response: Http2ServerResponse,
    answer: (request: Http2ServerRequest, response: Http2ServerResponse) => void,
  ): boolean {
    const { fault } = this
    if (fault === null) return false
    if (fault === "hangs") return true
    if (request.url.endsWith("/Describe")) return false
    if (fault === "late") {
      setTimeout(() => answer(request, response), this.lateMs)
      return true
    }
    request.resume()
    const head = Buffer.alloc(5)
    response.writeHead(200, { "content-type": "application/grpc" })
    response.on("error", () => {})
    switch (fault) {
      case "garbage":
        head.writeUInt32BE(8, 1)
        response.addTrailers({ "grpc-status": "0" })
        response.end(Buffer.concat([head, Buffer.alloc(8, 0xff)]))
        break
      case "cut":
        head.writeUInt32BE(1000, 1)
        response.write(Buffer.concat([head, Buffer.alloc(500)]), () => request.stream.session?.destroy())
        break
      case "huge": {
        head.writeUInt32BE(HUGE_ANSWER_BYTES, 1)
        response.write(head)
        let taken = 0
        const more = (): void => {
          if (taken >= HUGE_ANSWER_BYTES || response.destroyed || request.stream.destroyed) return
          response.write(HUGE_PIECE, error => {
            if (error !== null && error !== undefined) return
            taken += HUGE_PIECE.length
            this.hugeBytes = Math.max(this.hugeBytes, taken)
            more()
          })
        }
        more()
      }
    }
    return true
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
    router.service(pluginHooksV1.InjectionHookService, { mutate: request => this.behaviour.mutate(request) })
    router.service(pluginHooksV1.IdentityHookService, { review: request => this.behaviour.review(request) })
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
