// Protobuf sources and descriptor sets: which methods gRPC services have.
import { Failure } from "../failure.ts"
import type { GrpcOperation } from "./routes_yaml.ts"

/**
 * The methods of all services of a file, in its order.
 *
 * @param name  file, for complaints; `*.proto` is source, what else a descriptor set (`buf build -o`, `protoc -o`)
 * @throws Failure with file, line and what was expected
 */
export async function readProtobuf(name: string, bytes: Uint8Array): Promise<GrpcOperation[]> {
  const source = name.endsWith(".proto") || /^\s*(\/\/|\/\*|syntax|edition|package|service)/.test(head(bytes))
  const operations = source ? await ofSource(name, bytes) : await ofDescriptors(name, bytes)
  if (operations.length === 0)
    throw new Failure(
      `profile: ${name}: it declares no service with methods; give the file that has \`service ... { rpc ... }\``,
    )
  return operations
}

function head(bytes: Uint8Array): string {
  return Buffer.from(bytes.subarray(0, 200)).toString("latin1")
}

async function ofSource(name: string, bytes: Uint8Array): Promise<GrpcOperation[]> {
  const { default: protobuf } = await import("protobufjs")
  const found: GrpcOperation[] = []
  const walk = (namespace: InstanceType<typeof protobuf.Namespace>): void => {
    for (const one of namespace.nestedArray) {
      if (one instanceof protobuf.Service) {
        const service = one.fullName.replace(/^\./, "")
        for (const method of one.methodsArray) found.push({ service, method: method.name })
      } else if (one instanceof protobuf.Namespace) walk(one)
    }
  }
  try {
    walk(protobuf.parse(new TextDecoder().decode(bytes), { keepCase: true }).root)
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error)
    const line = /\(?line (\d+)\)?/.exec(said)
    const what = said.replace(/ ?\(.*?line \d+\)/, "")
    const place = line === null ? name : `${name}, line ${line[1]}`
    throw new Failure(`profile: ${place}: this is no protobuf source: ${what}`, { cause: error })
  }
  return found
}

async function ofDescriptors(name: string, bytes: Uint8Array): Promise<GrpcOperation[]> {
  const { fromBinary } = await import("@bufbuild/protobuf")
  const { FileDescriptorSetSchema } = await import("@bufbuild/protobuf/wkt")
  try {
    // A file that others import is in the set for its messages; its services, if any, are services all the same.
    return fromBinary(FileDescriptorSetSchema, bytes).file.flatMap(file =>
      file.service.flatMap(({ name: service, method }) =>
        method.map(one => ({
          service: file.package === "" ? service : `${file.package}.${service}`,
          method: one.name,
        })),
      ),
    )
  } catch (error) {
    throw new Failure(
      `profile: ${name} is neither protobuf source (NAME.proto) nor a descriptor set; buf build -o api.binpb makes one`,
      { cause: error },
    )
  }
}
