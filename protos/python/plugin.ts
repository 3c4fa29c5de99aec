// `npm run generate` runs this plugin of buf: the plugin API for Python, as protoc and its gRPC plugin make it, so that
// `conduit plugin new --lang python` needs neither. Works with protobuf 3.21 (Debian 12) and later ones.
import { type DescFile, type DescService, toBinary } from "@bufbuild/protobuf"
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt"
import { createEcmaScriptPlugin, runNodeJs } from "@bufbuild/protoplugin"

const PACKAGE = "conduit.plugin.v1"

runNodeJs(
  createEcmaScriptPlugin({
    name: "python",
    version: "v1",
    generateTs: schema => {
      const files = schema.allFiles.filter(file => file.proto.package === PACKAGE)
      for (const file of files) {
        const path = `python/${file.name}`
        schema.generateFile(`${path}_pb2.py`).print(messages(file))
        if (file.services.length > 0) schema.generateFile(`${path}_pb2_grpc.py`).print(services(file))
      }
      const parts = PACKAGE.split(".")
      for (const [index] of parts.entries())
        schema.generateFile(`python/${parts.slice(0, index + 1).join("/")}/__init__.py`).print()
    },
  }),
)

/** `conduit/plugin/v1/plugin` as the module `conduit.plugin.v1.plugin_pb2`. */
function moduleOf(file: DescFile): string {
  return `${file.name.replaceAll("/", ".")}_pb2`
}

/** An import, and the name that it has. */
function importOf(file: DescFile): string {
  const [, folder = "", name = ""] = /^(.*)\.([^.]+)$/.exec(moduleOf(file)) ?? []
  return `from ${folder} import ${name}`
}

function messages(file: DescFile): string {
  const { sourceCodeInfo: _, ...proto } = file.proto
  const bytes = toBinary(FileDescriptorProtoSchema, proto)
  const lines =
    Buffer.from(bytes)
      .toString("base64")
      .match(/.{1,100}/g) ?? []
  return `# Generated from ${file.name}.proto, which has the comments. Do not edit.
"""Messages of ${file.name}.proto."""
import base64

from google.protobuf import descriptor_pool as _descriptor_pool
from google.protobuf.internal import builder as _builder
${file.dependencies.map(importOf).join("\n")}${file.dependencies.length > 0 ? "\n" : ""}
DESCRIPTOR = _descriptor_pool.Default().AddSerializedFile(base64.b64decode(
${lines.map(line => `    "${line}"`).join("\n")}
))
_builder.BuildMessageAndEnumDescriptors(DESCRIPTOR, globals())
_builder.BuildTopDescriptorsAndMessages(DESCRIPTOR, "${moduleOf(file)}", globals())`
}

function services(file: DescFile): string {
  return `# Generated from ${file.name}.proto, which has the comments. Do not edit.
"""Services of ${file.name}.proto."""
import grpc

${importOf(file)}

${file.services.map(service => serviceOf(service)).join("\n\n")}`
}

function serviceOf({ name, typeName, methods, file }: DescService): string {
  const module = moduleOf(file).split(".").at(-1)
  const kinds = methods.map(method => ({
    method,
    kind: {
      unary: "unary_unary",
      server_streaming: "unary_stream",
      client_streaming: "stream_unary",
      bidi_streaming: "stream_stream",
    }[method.methodKind],
    request:
      method.methodKind === "unary" || method.methodKind === "server_streaming"
        ? "request"
        : "request_iterator",
  }))
  return `
class ${name}Stub:
    """Calls ${typeName}."""

    def __init__(self, channel):
${kinds
  .map(
    ({ method, kind }) => `        self.${method.name} = channel.${kind}(
            "/${typeName}/${method.name}",
            request_serializer=${module}.${method.input.name}.SerializeToString,
            response_deserializer=${module}.${method.output.name}.FromString,
        )`,
  )
  .join("\n")}


class ${name}Servicer:
    """Serves ${typeName}."""
${kinds
  .map(
    ({ method, request }) => `
    def ${method.name}(self, ${request}, context):
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "${method.name} is not served")`,
  )
  .join("\n")}


def add_${name}Servicer_to_server(servicer, server):
    """Has a server serve ${typeName}."""
    server.add_generic_rpc_handlers((
        grpc.method_handlers_generic_handler("${typeName}", {
${kinds
  .map(
    ({ method, kind }) => `            "${method.name}": grpc.${kind}_rpc_method_handler(
                servicer.${method.name},
                request_deserializer=${module}.${method.input.name}.FromString,
                response_serializer=${module}.${method.output.name}.SerializeToString,
            ),`,
  )
  .join("\n")}
        }),
    ))`
}
