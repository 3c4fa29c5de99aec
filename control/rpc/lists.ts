// Pages and field masks of calls that answer with a list (protos/paging.ts says which): done once, for all of them.
import { createHash } from "node:crypto"
import { create, type Message, toBinary } from "@bufbuild/protobuf"
import type { FieldMask } from "@bufbuild/protobuf/wkt"
import type { Interceptor } from "@connectrpc/connect"
import { MAX_PAGE_ROWS, rowsOf } from "../../protos/mod.ts"
import { invalid } from "./error_detail.ts"
import { type Mask, prune, readMask } from "./field_mask.ts"

/** Characters of a page token's mark of its question: not a secret, and a mistake is not to pass by chance. */
const MARK_LENGTH = 12
const TOKEN = /^([1-9][0-9]{0,8})-([0-9a-f]{12})$/

type Fields = Record<string, unknown>

/** Cuts answers to the page and the fields that are asked for. */
export const cutsLists: Interceptor = next => async request => {
  const rows = request.stream ? null : rowsOf(request.method)
  if (request.stream || rows === null) return await next(request)
  const question = request.message as unknown as Fields & {
    readonly pageSize: number
    readonly pageToken: string
    readonly fields?: FieldMask | undefined
  }
  // Before the work is done: what is wrong with a request does not depend on what it would find.
  const mask: Mask | null =
    question.fields === undefined ? null : readMask(question.fields.paths, rows.message)
  if (question.pageSize > MAX_PAGE_ROWS) {
    const sentence = `page_size must be ${MAX_PAGE_ROWS} at most, or 0 for that many, not ${question.pageSize}`
    throw invalid("PAGE_SIZE_TOO_LARGE", "page_size", sentence)
  }
  const mark = markOf(request.method.input, request.message)
  const from = question.pageToken === "" ? 0 : offsetOf(question.pageToken, mark)
  const answer = await next(request)
  if (answer.stream) return answer
  const fields = answer.message as unknown as Fields
  const all = fields[rows.localName] as Message[]
  const to = from + (question.pageSize || MAX_PAGE_ROWS)
  if (from > 0 || to < all.length) fields[rows.localName] = all.slice(from, to)
  if (to < all.length) fields.nextPageToken = `${to}-${mark}`
  if (mask !== null) for (const row of fields[rows.localName] as Message[]) prune(row, rows.message, mask)
  return answer
}

function offsetOf(token: string, mark: string): number {
  const [, offset, of] = TOKEN.exec(token) ?? []
  if (of === mark) return Number(offset)
  const why = of === undefined ? "is none that this API gave" : "was given for another request"
  const hint = "repeat the request with nothing changed but page_token, page_size and fields"
  throw invalid("PAGE_TOKEN_INVALID", "page_token", `the page_token ${why}`, hint)
}

/** What of a request has to stay as it is from page to page. */
function markOf(schema: Parameters<typeof toBinary>[0], message: Message): string {
  const rest = create(schema, { ...message, pageSize: 0, pageToken: "", fields: undefined } as never)
  return createHash("sha256").update(toBinary(schema, rest)).digest("hex").slice(0, MARK_LENGTH)
}
