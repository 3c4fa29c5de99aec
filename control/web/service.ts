// The dashboard on its port: the page's files, and the public API for the page, same origin. Nothing is kept of a viewer.
import type { Transport } from "@connectrpc/connect"
import { connectNodeAdapter } from "@connectrpc/connect-node"
import { fromLoopback, type Listening, listen, type RequestHandler } from "../serve/mod.ts"
import { EncodedAnswers } from "./encoded_answers.ts"
import { PageFiles } from "./files.ts"
import { API_PATHS, forwarded } from "./forward.ts"
import { refusal } from "./guard.ts"
import type { WebSettings } from "./settings.ts"

/** Largest request that is taken from a page: the policies of a large mesh, to be tried; as the API itself. */
export const MAX_PAGE_REQUEST_BYTES = 4 * 1024 * 1024
/** Files that are named by their content are good for as long as caches keep anything, a year (RFC 9111 section 4.2.1). */
const FOREVER = "public, max-age=31536000, immutable"

/** Answers to pages bear these: no code, style or address but this server's own, and no page around it. */
const HEADERS: Readonly<Record<string, string>> = {
  "content-security-policy": [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "font-src 'self'",
    "connect-src 'self'",
    "worker-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; "),
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "permissions-policy": "camera=(), geolocation=(), microphone=()",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
}

/** How the dashboard is served. */
export interface WebOptions extends WebSettings {
  /** Address to listen on. */
  readonly host: string
  /** Port; 0 takes any free one. */
  readonly port: number
  /** The way to the API; throws a ConnectError while there is none. */
  readonly transport: () => Transport
}

/** A dashboard that is served. */
export interface WebServer extends Listening {
  /** What was asked, and refused. */
  readonly counts: { requests: number; calls: number; refused: number }
}

/**
 * Serves the dashboard.
 *
 * @throws Error with a sentence for a person when the files are not there, or the port cannot be listened on
 */
export async function serveWeb(options: WebOptions): Promise<WebServer> {
  const { host, port, transport } = options
  const files = new PageFiles(options.files)
  const counts = { requests: 0, calls: 0, refused: 0 }
  const api = connectNodeAdapter({
    routes: forwarded(transport, options.viewers === "reachable"),
    readMaxBytes: MAX_PAGE_REQUEST_BYTES,
  })
  const answers = new EncodedAnswers(transport)
  const onRequest: RequestHandler = (request, response) => {
    counts.requests++
    const { method = "GET", headers, url = "/" } = request
    const path = url.split("?", 1)[0] ?? "/"
    const forApi = API_PATHS.some(one => path.startsWith(one))
    const why = refusal(
      {
        ...{ method, forApi, local: fromLoopback(request) },
        host: headers.host ?? field(headers[":authority"]),
        origin: headers.origin,
        site: field(headers["sec-fetch-site"]),
        mode: field(headers["sec-fetch-mode"]),
      },
      options,
    )
    for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value)
    const answer = (status: number, sentence: string): void => {
      response.statusCode = status
      response.setHeader("content-type", "text/plain; charset=utf-8")
      response.setHeader("cache-control", "no-store")
      response.end(method === "HEAD" ? "" : `conduit: ${sentence}\n`)
    }
    if (why !== null) {
      counts.refused++
      return answer(403, why)
    }
    if (forApi) {
      counts.calls++
      response.setHeader("cache-control", "no-store")
      return answers.take(path, request, response) ? undefined : api(request, response)
    }
    if (method !== "GET" && method !== "HEAD") return answer(405, "files of the dashboard are read only")
    const file = files.find(path, field(headers["accept-encoding"]) ?? "")
    if (file === null)
      return answer(404, "the dashboard has no such file; reload the page if it was upgraded")
    response.setHeader("etag", file.etag)
    response.setHeader("vary", "accept-encoding")
    response.setHeader("cache-control", file.immutable ? FOREVER : "no-cache")
    if (headers["if-none-match"] === file.etag) {
      response.statusCode = 304
      response.end()
      return
    }
    response.statusCode = 200
    response.setHeader("content-type", file.type)
    response.setHeader("content-length", file.bytes.length)
    if (file.encoding !== null) response.setHeader("content-encoding", file.encoding)
    response.end(method === "HEAD" ? "" : file.bytes)
  }
  const listening = await listen({ host, port, onRequest })
  return { ...listening, counts }
}

function field(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value
}
