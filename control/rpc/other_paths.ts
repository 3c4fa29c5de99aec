// What the API's port answers beside calls: its OpenAPI document, and where to find the calls.
import { OPENAPI_JSON } from "../../protos/openapi/mod.ts"
import { detailJson } from "./error_detail.ts"

/** Path of the OpenAPI document; for whoever reaches the port, as its content is public. */
export const OPENAPI_PATH = "/openapi.json"

const DOCUMENT = Buffer.from(OPENAPI_JSON)

/** What requests of HTTP/1.1 and HTTP/2 have in common here. */
interface Asked {
  readonly method?: string | undefined
  readonly url?: string | undefined
}

/** What their answers have. */
interface Answering {
  statusCode: number
  setHeader(name: string, value: string): unknown
  end(body: string | Uint8Array): unknown
}

/** Answers requests for paths that are no calls. */
export function otherPaths(request: Asked, response: Answering): void {
  const [path = ""] = (request.url ?? "").split("?", 1)
  if (path === OPENAPI_PATH && (request.method === "GET" || request.method === "HEAD")) {
    answer(response, 200, request.method === "HEAD" ? "" : DOCUMENT)
    return
  }
  // The code is what Connect's clients make of this status: of a call that a newer API has.
  const message = `nothing is served at ${request.method} ${path.slice(0, 200)}; calls are POST /conduit.api.v1.ApiService/NAME, GET ${OPENAPI_PATH} lists them`
  answer(
    response,
    404,
    JSON.stringify({ code: "unimplemented", message, details: [detailJson({ reason: "UNKNOWN_PATH" })] }),
  )
}

function answer(response: Answering, status: number, body: string | Uint8Array): void {
  response.statusCode = status
  response.setHeader("content-type", "application/json")
  response.setHeader("x-content-type-options", "nosniff")
  response.end(body)
}
