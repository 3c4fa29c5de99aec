// Errors of the public API: a code for clients in general, a reason that stays as it is for programs, a sentence and a
// hint for people (conduit.api.v1.ErrorDetail).
import { create, toBinary } from "@bufbuild/protobuf"
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect"
import { type ErrorDetail, ErrorDetailSchema } from "../../protos/mod.ts"

/** What an error says beside its sentence; what is left out is empty. */
export interface Why extends Partial<Pick<ErrorDetail, "field" | "hint">> {
  /** In capitals, such as `UNKNOWN_KIND`. Once given it stays: programs act on it. */
  readonly reason: string
}

/**
 * An error to be thrown by a call.
 *
 * @param sentence  what was attempted, on what, what went wrong
 * @param cause  the error beneath, which callers do not see
 */
export function apiError(code: Code, sentence: string, why: Why, cause?: unknown): ConnectError {
  const { reason, field = "", hint = "" } = why
  const detail = { desc: ErrorDetailSchema, value: { reason, field, hint } }
  return new ConnectError(sentence, code, undefined, [detail], cause)
}

/** The request is wrong. @param field  of the request, such as `target.kind` */
export function invalid(reason: string, field: string, sentence: string, hint = ""): ConnectError {
  return apiError(Code.InvalidArgument, sentence, { reason, field, hint })
}

/** A detail as Connect writes it into the JSON of an error, for answers that Connect does not make. */
export function detailJson({ reason, field = "", hint = "" }: Why) {
  const bytes = toBinary(ErrorDetailSchema, create(ErrorDetailSchema, { reason, field, hint }))
  const value = Buffer.from(bytes).toString("base64").replace(/=+$/, "")
  return { type: ErrorDetailSchema.typeName, value, debug: { reason, field, hint } }
}

/** Reason of an error that has no better one: the name of its code, `InvalidArgument` as `INVALID_ARGUMENT`. */
export function reasonOf(code: Code): string {
  return Code[code].replace(/(?<=[a-z])[A-Z]/g, "_$&").toUpperCase()
}

/**
 * Has every error carry a detail, and keeps what callers cannot mend from them.
 *
 * @param onMistake  told of what was thrown by mistake, which callers see as INTERNAL without its text
 */
export function detailedErrors(onMistake: (call: string, error: unknown) => void): Interceptor {
  return next => async request => {
    const call = `/${request.service.typeName}/${request.method.name}`
    const detailed = (error: unknown): ConnectError => {
      if (!(error instanceof ConnectError)) {
        // Who has gone away gets no answer, and leaves its errors behind.
        if (!request.signal.aborted) onMistake(call, error)
        const sentence = "the control plane made a mistake of its own; its log says more"
        return apiError(Code.Internal, sentence, { reason: reasonOf(Code.Internal) }, error)
      }
      if (error.details.length > 0) return error
      return apiError(error.code, error.rawMessage, { reason: reasonOf(error.code) }, error)
    }
    try {
      const answer = await next(request)
      return answer.stream ? { ...answer, message: mending(answer.message, detailed) } : answer
    } catch (error) {
      throw detailed(error)
    }
  }
}

async function* mending<T>(messages: AsyncIterable<T>, detailed: (error: unknown) => ConnectError) {
  try {
    yield* messages
  } catch (error) {
    throw detailed(error)
  }
}
