// A request in JSON that cannot be read: which field is wrong, as a detail of the error. Connect reads requests before
// anything of ours sees them, so its answer is completed on the way out.
import type { ConnectRouter } from "@connectrpc/connect"
import { detailJson } from "./error_detail.ts"

type Handler = ConnectRouter["handlers"][number]
type Answer = Awaited<ReturnType<Handler>>

/** Largest answer that is looked at: an error is a sentence. */
const MAX_ERROR_BYTES = 64 * 1024

/** Completes errors that calls answer with before they are called. To be applied once all services are there. */
export function explainBadJson(router: ConnectRouter): void {
  for (const [index, handler] of router.handlers.entries()) {
    const completed = async (request: Parameters<Handler>[0]): Promise<Answer> => {
      const answer = await handler(request)
      return answer.status === 400 ? await complete(answer, handler) : answer
    }
    router.handlers[index] = Object.assign(completed, handler)
  }
}

async function complete(answer: Answer, { method }: Handler): Promise<Answer> {
  const { body } = answer
  if (body === undefined || answer.header?.get("content-encoding")) return answer
  const chunks: Uint8Array[] = []
  for await (const chunk of body) chunks.push(chunk)
  const bytes = Buffer.concat(chunks)
  const same = { ...answer, body: once(bytes) }
  if (bytes.length > MAX_ERROR_BYTES) return same
  let error: { code?: string; message?: string; details?: unknown[] }
  try {
    error = JSON.parse(bytes.toString()) as typeof error
  } catch {
    return same
  }
  if (error.code !== "invalid_argument" || error.details !== undefined) return same
  error.details = [detailJson(readComplaint(error.message ?? "", method))]
  const completed = Buffer.from(JSON.stringify(error))
  const header = new Headers(answer.header)
  header.set("content-length", String(completed.length))
  return { ...answer, header, body: once(completed) }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

/** What a complaint of the reader of JSON is about; all but its sentence is best effort. */
function readComplaint(message: string, { input, parent }: Handler["method"]) {
  const unknown = /message (\S+) from JSON: key "([^"]*)" is unknown/.exec(message)
  const messages = [parent.file, ...parent.file.dependencies].flatMap(file => file.messages)
  if (unknown !== null) {
    const schema = messages.find(one => one.typeName === unknown[1])
    const names = schema?.fields.map(field => field.jsonName).join(", ")
    const hint =
      schema === undefined ? "" : names ? `${schema.name} has: ${names}` : `${schema.name} has no fields`
    return { reason: "UNKNOWN_FIELD", field: unknown[2] ?? "", hint }
  }
  const [, full = ""] = /field (\S+) from JSON/.exec(message) ?? []
  if (full !== "") {
    const field = full.startsWith(`${input.typeName}.`) ? full.slice(input.typeName.length + 1) : full
    return { reason: "BAD_VALUE", field, hint: "" }
  }
  return { reason: "BAD_JSON", field: "", hint: `the request is a JSON object, a ${input.typeName}` }
}
