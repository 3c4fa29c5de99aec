// Lists of the public API that come in pages. Whether a call answers with one, its messages say: the request has
// `page_size` and `page_token`, the answer `next_page_token` and, as its first field, the rows.
import type { DescField, DescMethod } from "@bufbuild/protobuf"
import type { Interceptor } from "@connectrpc/connect"

/** Most rows of one answer: a page that a browser and a pipeline can hold, and more Deployments than most clusters have. */
export const MAX_PAGE_ROWS = 5000

/** The rows of an answer. */
export type RowsField = DescField & { readonly fieldKind: "list"; readonly listKind: "message" }

/** The field with the rows of a call's answer; null for a call that does not answer in pages. */
export function rowsOf({ methodKind, input, output }: DescMethod): RowsField | null {
  const [rows] = output.fields
  const paged =
    methodKind === "unary" && input.field.pageSize && input.field.pageToken && output.field.nextPageToken
  return paged && rows?.fieldKind === "list" && rows.listKind === "message" ? rows : null
}

type Fields = Record<string, unknown>

/** For clients that want whole lists: where no `page_size` is asked for, all pages are fetched and put together. */
export const wholeLists: Interceptor = next => async request => {
  const rows = request.stream ? null : rowsOf(request.method)
  const answer = await next(request)
  if (request.stream || answer.stream || rows === null) return answer
  const question = request.message as unknown as Fields
  if (question.pageSize !== 0 || question.pageToken !== "") return answer
  const whole = answer.message as unknown as Fields
  const all = whole[rows.localName] as unknown[]
  for (let token = whole.nextPageToken; token !== ""; ) {
    const message = { ...request.message, pageToken: token } as typeof request.message
    const { message: page } = await next({ ...request, message })
    for (const row of (page as unknown as Fields)[rows.localName] as unknown[]) all.push(row)
    token = (page as unknown as Fields).nextPageToken
  }
  whole.nextPageToken = ""
  return answer
}
