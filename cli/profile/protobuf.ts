// Methods of gRPC services, out of protobuf sources or of a set of descriptors as `buf build -o` and `protoc` write it.
import { fromBinary } from "@bufbuild/protobuf"
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt"
import { Failure } from "../failure.ts"
import type { GrpcOperation } from "./operation.ts"

/**
 * Reads the methods of a file's services, in its order. Imports need not be there: no message is looked at.
 *
 * @param name  of the file: `.proto` is a source, everything else a binary FileDescriptorSet
 * @throws Failure with file and line for what is neither
 */
export async function readProtobuf(name: string, bytes: Uint8Array): Promise<GrpcOperation[]> {
  return name.endsWith(".proto") || name === "standard input"
    ? await fromSource(name, bytes)
    : fromDescriptors(name, bytes)
}

async function fromSource(name: string, bytes: Uint8Array): Promise<GrpcOperation[]> {
  // Loaded where it is needed only: half a megabyte.
  const { default: protobuf } = await import("protobufjs")
  let parsed: ReturnType<typeof protobuf.parse>
  try {
    parsed = protobuf.parse(new TextDecoder().decode(bytes), new protobuf.Root(), { keepCase: true })
  } catch (error) {
    throw new Failure(`${name}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  }
  const found: GrpcOperation[] = []
  const visit = (namespace: InstanceType<typeof protobuf.NamespaceBase>): void => {
    for (const one of namespace.nestedArray) {
      if (one instanceof protobuf.Service) {
        const service = one.fullName.replace(/^\./, "")
        for (const { name: method } of one.methodsArray) found.push({ kind: "grpc", service, method })
      } else if (one instanceof protobuf.Namespace) visit(one)
    }
  }
  visit(parsed.root)
  return found
}

function fromDescriptors(name: string, bytes: Uint8Array): GrpcOperation[] {
  let files: ReturnType<typeof fromBinary<typeof FileDescriptorSetSchema>>["file"]
  try {
    files = fromBinary(FileDescriptorSetSchema, bytes).file
  } catch (error) {
    throw new Failure(
      `${name}: neither a .proto source nor a set of descriptors, as "buf build -o FILE" writes it`,
      {
        cause: error,
      },
    )
  }
  return files.flatMap(file =>
    file.service.flatMap(({ name: service, method }) =>
      method.map(one => ({
        kind: "grpc" as const,
        service: file.package === "" ? service : `${file.package}.${service}`,
        method: one.name,
      })),
    ),
  )
}
