// An OpenAPI document out of descriptors: calls as Connect takes them in JSON (connectrpc.com/docs/protocol), messages as
// protobuf writes them in JSON (protobuf.dev/programming-guides/json).
import {
  type DescEnum,
  type DescField,
  type DescFile,
  type DescMessage,
  type DescMethod,
  type DescService,
  ScalarType,
} from "@bufbuild/protobuf"
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt"
import { getComments } from "@bufbuild/protoplugin"

type Json = Readonly<Record<string, unknown>>

const ref = (kind: "schemas" | "responses", name: string): Json => ({ $ref: `#/components/${kind}/${name}` })

const UNSIGNED = { type: "integer", minimum: 0 }
const SIGNED = { type: "integer" }
/** Numbers of 64 bits are strings in JSON: not every reader has room for them. */
const LONG = { type: "string", pattern: "^-?[0-9]+$" }

const SCALARS: Readonly<Record<ScalarType, Json>> = {
  [ScalarType.DOUBLE]: { type: "number", format: "double" },
  [ScalarType.FLOAT]: { type: "number", format: "float" },
  [ScalarType.INT64]: { ...LONG, format: "int64" },
  [ScalarType.SINT64]: { ...LONG, format: "int64" },
  [ScalarType.SFIXED64]: { ...LONG, format: "int64" },
  [ScalarType.UINT64]: { ...LONG, format: "uint64" },
  [ScalarType.FIXED64]: { ...LONG, format: "uint64" },
  [ScalarType.INT32]: { ...SIGNED, format: "int32" },
  [ScalarType.SINT32]: { ...SIGNED, format: "int32" },
  [ScalarType.SFIXED32]: { ...SIGNED, format: "int32" },
  [ScalarType.UINT32]: UNSIGNED,
  [ScalarType.FIXED32]: UNSIGNED,
  [ScalarType.BOOL]: { type: "boolean" },
  [ScalarType.STRING]: { type: "string" },
  [ScalarType.BYTES]: { type: "string", contentEncoding: "base64" },
}

/** Messages that have a form of their own in JSON. */
const WELL_KNOWN: Readonly<Record<string, Json>> = {
  "google.protobuf.FieldMask": { type: "string", description: "Paths in lowerCamelCase, parted by commas." },
  "google.protobuf.Timestamp": { type: "string", format: "date-time" },
  "google.protobuf.Duration": { type: "string", pattern: "^-?[0-9.]+s$" },
  "google.protobuf.Struct": { type: "object" },
  "google.protobuf.Empty": { type: "object" },
}

/** Codes of errors, as Connect writes them. */
const CODES =
  "canceled unknown invalid_argument deadline_exceeded not_found already_exists permission_denied resource_exhausted failed_precondition aborted out_of_range unimplemented internal unavailable data_loss unauthenticated"

/**
 * The document.
 *
 * @param files  with comments; all of one package
 */
export function documentOf(files: readonly DescFile[]): Json {
  const services = files.flatMap(file => file.services)
  const schemas = new Map<string, Json>()
  const paths: Record<string, Json> = {}
  for (const service of services)
    for (const method of service.methods)
      paths[`/${service.typeName}/${method.name}`] = pathOf(method, schemas)
  for (const file of files)
    for (const message of file.messages) if (message.name === "ErrorDetail") addMessage(message, schemas)
  return {
    openapi: "3.1.1",
    info: {
      title: "Conduit",
      version: "v1",
      summary: "Figures and facts about the mesh, as JSON over HTTP.",
      description: services.map(textOf).join("\n\n"),
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "http://127.0.0.1:8085", description: "A forwarded port." }],
    security: [{}, { token: [] }],
    tags: services.map(service => ({ name: service.name, description: firstSentence(textOf(service)) })),
    paths,
    components: {
      schemas: {
        ...Object.fromEntries([...schemas].sort(([a], [b]) => (a < b ? -1 : 1))),
        Error: ERROR,
      },
      responses: {
        Error: {
          description: "The call failed; `code` says how, `details` more.",
          content: { "application/json": { schema: ref("schemas", "Error") } },
        },
      },
      securitySchemes: {
        token: {
          type: "http",
          scheme: "bearer",
          description:
            "A service account's token of audience `api.conduit.io`; not needed through a port-forward.",
        },
      },
    },
  }
}

const ERROR: Json = {
  type: "object",
  description:
    "An error. Programs go by `code` and `details[].debug.reason`; `message` is for people, and may change.",
  required: ["code"],
  properties: {
    code: { type: "string", enum: CODES.split(" ") },
    message: { type: "string", description: "What was attempted, what went wrong, what to do." },
    details: {
      type: "array",
      items: {
        type: "object",
        required: ["type", "value"],
        properties: {
          type: { type: "string", description: "`conduit.api.v1.ErrorDetail`." },
          value: { type: "string", description: "The detail, serialized, in base64." },
          debug: ref("schemas", "ErrorDetail"),
        },
      },
    },
  },
}

function pathOf(method: DescMethod, schemas: Map<string, Json>): Json {
  const text = textOf(method)
  const streams = method.methodKind !== "unary"
  const media = streams ? "application/connect+json" : "application/json"
  const content = (message: DescMessage): Json => ({ [media]: { schema: messageRef(message, schemas) } })
  const operation = {
    tags: [method.parent.name],
    summary: firstSentence(text),
    description: streams
      ? `${text}\n\nA stream: each message in JSON behind five bytes, 0 and its length; the last one behind 2 (connectrpc.com/docs/protocol).`
      : text,
    responses: {
      "200": { description: firstSentence(textOf(method.output)), content: content(method.output) },
      default: ref("responses", "Error"),
    },
  }
  const post = {
    ...operation,
    operationId: method.name,
    requestBody: { required: true, content: content(method.input) },
  }
  const safe = method.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS && !streams
  if (!safe) return { post }
  const encoding = {
    ...{ name: "encoding", in: "query", required: true },
    schema: { type: "string", enum: ["json"] },
  }
  const message = {
    ...{ name: "message", in: "query", required: true },
    description: "The request.",
    content: { "application/json": { schema: messageRef(method.input, schemas) } },
  }
  return { get: { ...operation, operationId: `${method.name}ByGet`, parameters: [encoding, message] }, post }
}

function messageRef(message: DescMessage, schemas: Map<string, Json>): Json {
  const known = WELL_KNOWN[message.typeName]
  if (known !== undefined) return known
  addMessage(message, schemas)
  return ref("schemas", nameOf(message))
}

function addMessage(message: DescMessage, schemas: Map<string, Json>): void {
  const name = nameOf(message)
  if (schemas.has(name)) return
  const properties: Record<string, Json> = {}
  // Before its fields: a message may hold itself.
  schemas.set(name, { type: "object", description: textOf(message), properties })
  for (const field of message.fields) {
    const schema = fieldSchema(field, schemas)
    const { description: own = "" } = schema
    const description = [textOf(field), own].filter(text => text !== "").join("\n\n")
    properties[field.jsonName] = { ...schema, description }
  }
}

function fieldSchema(field: DescField, schemas: Map<string, Json>): Json {
  switch (field.fieldKind) {
    case "scalar":
      return SCALARS[field.scalar]
    case "enum":
      return enumRef(field.enum, schemas)
    case "message":
      return messageRef(field.message, schemas)
    case "list":
      return { type: "array", items: valueSchema(field.listKind, field, schemas) }
    case "map":
      return { type: "object", additionalProperties: valueSchema(field.mapKind, field, schemas) }
  }
}

function valueSchema(
  kind: "scalar" | "enum" | "message",
  { scalar, enum: ofEnum, message }: DescField,
  schemas: Map<string, Json>,
): Json {
  if (kind === "message" && message !== undefined) return messageRef(message, schemas)
  if (kind === "enum" && ofEnum !== undefined) return enumRef(ofEnum, schemas)
  return SCALARS[scalar ?? ScalarType.STRING]
}

function enumRef(desc: DescEnum, schemas: Map<string, Json>): Json {
  const values = desc.values.map(value => `- \`${value.name}\`: ${textOf(value)}`)
  schemas.set(nameOf(desc), {
    type: "string",
    description: `${textOf(desc)}\n\n${values.join("\n")}`,
    enum: desc.values.map(value => value.name),
  })
  return ref("schemas", nameOf(desc))
}

/** Name without package; of a declaration in a message, the message's before it. */
function nameOf(desc: DescMessage | DescEnum): string {
  return desc.typeName.slice(desc.file.proto.package.length + 1).replaceAll(".", "_")
}

function textOf(
  desc: DescService | DescMethod | DescMessage | DescField | DescEnum | DescEnum["values"][number],
): string {
  return (getComments(desc).leading ?? "").replaceAll(/^ /gm, "").trim()
}

function firstSentence(text: string): string {
  return /^.*?\.(?=\s|$)/s.exec(text)?.[0].replaceAll("\n", " ") ?? text
}
