// gRPC server reflection: what is served, told to tools such as grpcurl out of the generated descriptors.
import { type DescFile, type DescService, toBinary } from "@bufbuild/protobuf"
import { nestedTypes } from "@bufbuild/protobuf/reflect"
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt"
import type { StandingStreams } from "./standing_streams.ts"

/** Status codes of gRPC, which answers carry. */
const INVALID_ARGUMENT = 3
const NOT_FOUND = 5
/** Characters of a name that an answer repeats. */
const MAX_NAME = 200

/** An answer of either version. */
type Answer =
  | { case: "listServicesResponse"; value: { service: { name: string }[] } }
  | { case: "fileDescriptorResponse"; value: { fileDescriptorProto: Uint8Array[] } }
  | { case: "allExtensionNumbersResponse"; value: { baseTypeName: string } }
  | { case: "errorResponse"; value: { errorCode: number; errorMessage: string } }

/** A question of v1 or v1alpha: nothing but the names of their messages differs. */
interface Question {
  readonly host: string
  readonly messageRequest: { readonly case: string | undefined; readonly value?: unknown }
}

/**
 * Answers questions about the services of the moment, and about all that their messages need; the method of both versions.
 *
 * @param more  files that no service needs, such as those with the details of errors
 */
export function reflection(
  services: () => readonly DescService[],
  more: readonly DescFile[],
  streams: StandingStreams,
) {
  let catalogue = new Catalogue(services(), more)
  return async function* answers<Q extends Question>(questions: AsyncIterable<Q>) {
    using _ = streams.enter()
    for await (const question of questions) {
      const now = services()
      if (!catalogue.tells(now)) catalogue = new Catalogue(now, more)
      const messageResponse = catalogue.answer(question.messageRequest)
      yield { validHost: question.host, originalRequest: question, messageResponse }
    }
  }
}

class Catalogue {
  private readonly services: readonly DescService[]
  private readonly files = new Map<string, DescFile>()
  /** Files by the full names of what they declare. */
  private readonly symbols = new Map<string, DescFile>()
  private readonly messages = new Set<string>()

  constructor(services: readonly DescService[], more: readonly DescFile[]) {
    this.services = services
    for (const file of [...services.map(service => service.file), ...more]) this.add(file)
  }

  private add(file: DescFile): void {
    if (this.files.has(file.proto.name)) return
    this.files.set(file.proto.name, file)
    for (const type of nestedTypes(file)) {
      this.symbols.set(type.typeName, file)
      if (type.kind === "message") this.messages.add(type.typeName)
      const parts =
        type.kind === "message"
          ? type.members
          : type.kind === "service"
            ? type.methods
            : type.kind === "enum"
              ? type.values
              : []
      for (const { name } of parts) this.symbols.set(`${type.typeName}.${name}`, file)
    }
    for (const needed of file.dependencies) this.add(needed)
  }

  /** Whether it is made of these services. */
  tells(services: readonly DescService[]): boolean {
    const { services: told } = this
    return told.length === services.length && told.every((service, index) => service === services[index])
  }

  answer({ case: kind, value }: Question["messageRequest"]): Answer {
    const name = typeof value === "string" ? value : ""
    switch (kind) {
      case "listServices": {
        const service = this.services.map(({ typeName }) => ({ name: typeName }))
        return { case: "listServicesResponse", value: { service } }
      }
      case "fileByFilename":
        return this.file(this.files.get(name), `file "${name.slice(0, MAX_NAME)}"`)
      case "fileContainingSymbol":
        return this.file(this.symbols.get(name), `symbol "${name.slice(0, MAX_NAME)}"`)
      case "fileContainingExtension":
        return none(NOT_FOUND, "there are no extensions")
      case "allExtensionNumbersOfType":
        return this.messages.has(name)
          ? { case: "allExtensionNumbersResponse", value: { baseTypeName: name } }
          : none(NOT_FOUND, `no message "${name.slice(0, MAX_NAME)}" is known`)
      default:
        return none(INVALID_ARGUMENT, "nothing is asked")
    }
  }

  private file(file: DescFile | undefined, what: string): Answer {
    if (file === undefined) return none(NOT_FOUND, `no ${what} is known`)
    const needed = new Set<DescFile>()
    const add = (one: DescFile): void => {
      if (needed.has(one)) return
      needed.add(one)
      for (const other of one.dependencies) add(other)
    }
    add(file)
    const fileDescriptorProto = [...needed].map(one => toBinary(FileDescriptorProtoSchema, one.proto))
    return { case: "fileDescriptorResponse", value: { fileDescriptorProto } }
  }
}

function none(errorCode: number, errorMessage: string): Answer {
  return { case: "errorResponse", value: { errorCode, errorMessage } }
}
