// The tap service on its port: conduit.tap.v1.RelayService, for the control plane's API alone. Every tap is a line of its
// log when it begins and when it ends: who looked at what.
import type { MessageInitShape } from "@bufbuild/protobuf"
import {
  Code,
  ConnectError,
  type ConnectRouter,
  createContextKey,
  createContextValues,
} from "@connectrpc/connect"
import { connectNodeAdapter } from "@connectrpc/connect-node"
import { TapHeaders, type TapRequest, type TapResponseSchema, tapV1 } from "../../protos/mod.ts"
import type { Relay } from "../api/mod.ts"
import type { Log, LogFields } from "../log.ts"
import { type Listening, listen, type Metric, type TlsOptions } from "../serve/mod.ts"
import { type Peer, peerOf } from "../tls/mod.ts"
import { type RelayParts, relay, type TapSummary } from "./relay.ts"

/** Taps at once; each is somebody looking. */
export const MAX_RELAYS = 50

/** Largest request that is taken: selectors and a few filters. */
const MAX_TAP_REQUEST_BYTES = 64 * 1024

/** How taps are made and served. */
export interface TapOptions extends RelayParts {
  /** Address to listen on. */
  readonly host: string
  /** Port; 0 takes any free one. */
  readonly port: number
  readonly log: Log
  /** TLS of the port; where it requires certificates, only the API may ask. */
  readonly tls?: TlsOptions
}

/** Taps of this process, with what is counted of them. */
export interface LocalRelay {
  readonly relay: Relay
  readonly metrics: () => readonly Metric[]
}

/** Makes taps in this process. */
export function localRelay(parts: RelayParts & { readonly log: Log }): LocalRelay {
  let open = 0
  let begun = 0
  let told = 0
  async function* audited(
    request: TapRequest,
    asker: string,
    signal: AbortSignal,
  ): AsyncGenerator<MessageInitShape<typeof TapResponseSchema>> {
    if (!parts.store.synced)
      throw new ConnectError("the tap service has not read the cluster yet; try again", Code.Unavailable)
    if (open >= MAX_RELAYS)
      throw new ConnectError(`${MAX_RELAYS} taps are open already; end one of them`, Code.ResourceExhausted)
    open++
    begun++
    const summary: TapSummary = { told: 0, limited: 0, dropped: 0, proxies: 0 }
    const sinceMs = parts.nowMs()
    const asked = { asker, ...describe(request) }
    parts.log.info("tap begun", asked)
    try {
      yield* relay(request, parts, signal, summary)
    } finally {
      open--
      told += summary.told
      const seconds = Math.round((parts.nowMs() - sinceMs) / 100) / 10
      parts.log.info("tap ended", { ...asked, ...summary, seconds })
    }
  }
  return {
    relay: audited,
    metrics: () => [
      { name: "tap_open", help: "Taps that are open.", type: "gauge", value: open },
      { name: "tap_begun_total", help: "Taps that were begun.", type: "counter", value: begun },
      {
        name: "tap_requests_told_total",
        help: "Requests told of by taps that ended.",
        type: "counter",
        value: told,
      },
    ],
  }
}

const PEER = createContextKey<Peer | null>(null)

/**
 * Serves taps.
 *
 * @throws Error with a sentence for a person when the port cannot be listened on
 */
export function serveTap(local: LocalRelay, options: TapOptions): Promise<Listening> {
  const { host, port, tls, names } = options
  const guarded = tls?.client === "required"
  const routes = (router: ConnectRouter): void => {
    router.service(tapV1.RelayService, {
      async *relay({ request, asker }, { signal, values }) {
        const peer = values.get(PEER)
        const isApi = peer?.namespace === names?.controlNamespace && peer?.serviceAccount === "conduit-api"
        if (guarded && !isApi)
          throw new ConnectError("only the API of the control plane may ask for taps", Code.PermissionDenied)
        if (request === undefined) throw new ConnectError("a request is missing", Code.InvalidArgument)
        for await (const response of local.relay(request, asker, signal)) yield { response }
      },
    })
  }
  return listen({
    host,
    port,
    onRequest: connectNodeAdapter({
      routes,
      readMaxBytes: MAX_TAP_REQUEST_BYTES,
      contextValues: request => {
        const session = "stream" in request ? request.stream.session : undefined
        return createContextValues().set(PEER, peerOf(session))
      },
    }),
    tls,
  })
}

/** A request as the audit log tells it. */
function describe(request: TapRequest): LogFields {
  const resource = ({ namespace, kind, name, labelSelector }: NonNullable<TapRequest["target"]>) =>
    `${namespace === "" ? "*" : namespace}:${kind}/${name === "" ? "*" : name}${labelSelector === "" ? "" : `?${labelSelector}`}`
  const { target, from, to, method, pathPrefix, pathRegex, headers } = request
  return {
    target: target === undefined ? "" : resource(target),
    ...(from === undefined ? {} : { from: resource(from) }),
    ...(to === undefined ? {} : { to: resource(to) }),
    ...(method === "" ? {} : { method }),
    ...(pathPrefix === "" ? {} : { path: pathPrefix }),
    ...(pathRegex === "" ? {} : { path_regex: pathRegex }),
    headers: headers === TapHeaders.VALUES ? "values" : headers === TapHeaders.NAMES ? "names" : "none",
  }
}
