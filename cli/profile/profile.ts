// `conduit profile`: routes of the Gateway API for a Service, out of an API's description or of the traffic seen.
import { readFile, stat } from "node:fs/promises"
import { command } from "../command_line/command.ts"
import { windowMsOf } from "../command_line/duration.ts"
import { openApi } from "../connect.ts"
import { Failure, UsageError } from "../failure.ts"
import { GLOBAL_FLAGS, namespaceOf, WINDOW_FLAG } from "../flags.ts"
import { type Format, formatOf, renderData, say, writeOut } from "../output.ts"
import { parseService } from "../service_argument.ts"
import { liveTraffic } from "./live.ts"
import { readOpenApi } from "./open_api.ts"
import { MAX_OPERATIONS, type Operation } from "./operation.ts"
import { readProtobuf } from "./protobuf.ts"
import { routesOf, routesYaml } from "./route_yaml.ts"

const PROFILE_FORMATS: readonly Format[] = ["yaml", "json"]
/** Port of a Service where nothing names one. */
const DEFAULT_PORT = 80
/** Largest description that is read: ten times the largest public ones. */
export const MAX_DESCRIPTION_BYTES = 64 * 1024 * 1024
/** Methods that a route can name (gateway.networking.k8s.io/v1, HTTPMethod). */
const ROUTE_METHODS = new Set([
  "GET",
  "HEAD",
  "POST",
  "PUT",
  "DELETE",
  "CONNECT",
  "OPTIONS",
  "TRACE",
  "PATCH",
])

/** `conduit profile SERVICE`. */
export const profile = command({
  meta: {
    name: "profile",
    description: "Writes the routes of a Service, from OpenAPI, protobuf or its live traffic, as YAML",
  },
  args: {
    ...GLOBAL_FLAGS,
    output: { type: "string", alias: "o", valueHint: "FORMAT", description: "yaml or json (default: yaml)" },
    service: {
      type: "positional",
      valueHint: "SERVICE",
      description: "the Service that is called, such as web, svc/web or web:8080",
      required: true,
    },
    "open-api": {
      type: "string",
      valueHint: "FILE",
      description: "OpenAPI 3 or Swagger 2.0, YAML or JSON; - is standard input",
    },
    proto: {
      type: "string",
      valueHint: "FILE",
      description:
        "a .proto source, or descriptors as buf build -o writes them; - is a source on standard input",
    },
    live: { type: "boolean", description: "what meshed callers asked the Service's meshed pods" },
    port: {
      type: "string",
      valueHint: "PORT",
      description: `port of the Service (default: ${DEFAULT_PORT}; with --live its only one)`,
    },
    ...WINDOW_FLAG,
  },
  offers: { output: PROFILE_FORMATS },
  examples: [
    { line: "conduit profile web --open-api web.yaml | kubectl apply -f -", why: "a rule per operation" },
    { line: "conduit profile voting:8080 -n emojivoto --proto voting.proto", why: "a rule per gRPC method" },
    { line: "conduit profile web -n shop --live -t 1h", why: "a rule per kind of request that was seen" },
  ],
  async run({ args }) {
    const format = formatOf(args.output ?? "yaml", PROFILE_FORMATS)
    const named = parseService(args.service)
    const sources = [args["open-api"] !== undefined, args.proto !== undefined, args.live === true]
    if (sources.filter(Boolean).length !== 1) {
      throw new UsageError("say where routes come from by one of --open-api FILE, --proto FILE and --live")
    }
    if (args["time-window"] !== undefined && args.live !== true)
      throw new UsageError("-t is for --live: a file has no time")
    if (args["all-namespaces"] === true)
      throw new UsageError("a profile is of one Service in one namespace: use -n instead of -A")
    const wanted = portOf(args.port, named.port)
    let namespace = named.namespace ?? ""
    let port = wanted === 0 ? DEFAULT_PORT : wanted
    let operations: readonly Operation[]
    if (args.live === true) {
      const windowMs = windowMsOf(args["time-window"])
      await using mesh = await openApi(args)
      namespace ||= mesh.namespace
      const live = await mesh.call(api => liveTraffic(api, namespace, named.service, wanted, windowMs))
      ;({ operations, port } = live)
    } else {
      namespace ||= namespaceOf(args)
      operations =
        args.proto === undefined ? await fromOpenApi(args["open-api"] ?? "") : await fromProto(args.proto)
      if (wanted === 0) say(`Port ${DEFAULT_PORT} of ${named.service} is assumed; --port chooses another.`)
    }
    const able = operations.filter(
      one => one.kind === "grpc" || one.method === "" || ROUTE_METHODS.has(one.method),
    )
    if (able.length < operations.length) {
      const methods = new Set(
        operations.flatMap(one => (one.kind === "http" && !able.includes(one) ? [one.method] : [])),
      )
      say(
        `Left out, since routes cannot name their methods (${[...methods].join(", ")}): ${operations.length - able.length} operations.`,
      )
    }
    if (able.length === 0) {
      throw new Failure(
        args.live === true
          ? `nothing was seen of requests to ${named.service} in namespace "${namespace}": are its pods and their callers meshed, and was it called within the window (-t)?`
          : `${args["open-api"] ?? args.proto} describes no operation`,
      )
    }
    if (able.length > MAX_OPERATIONS)
      throw new Failure(
        `${able.length} operations are more than the ${MAX_OPERATIONS} that a profile may have`,
      )
    const routes = routesOf({ namespace, service: named.service, port }, able)
    if (format === "yaml") writeOut(routesYaml(routes))
    else writeOut(await renderData({ apiVersion: "v1", kind: "List", items: routes }, "json"))
  },
})

function portOf(flag: string | undefined, named: number): number {
  if (flag === undefined) return named
  const port = /^\d{1,5}$/.test(flag) ? Number(flag) : 0
  if (port < 1 || port > 65_535)
    throw new UsageError(`--port cannot be "${flag}"; a port is a number from 1 to 65535`)
  if (named !== 0 && named !== port)
    throw new UsageError(`the Service is named with port ${named}, and --port says ${port}`)
  return port
}

async function fromOpenApi(path: string): Promise<Operation[]> {
  return readOpenApi(nameOf(path), new TextDecoder().decode(await bytesOf(path)))
}

async function fromProto(path: string): Promise<Operation[]> {
  return await readProtobuf(nameOf(path), await bytesOf(path))
}

function nameOf(path: string): string {
  return path === "-" ? "standard input" : path
}

async function bytesOf(path: string): Promise<Uint8Array> {
  try {
    if (path === "-") return await Bun.stdin.bytes()
    const { size } = await stat(path)
    if (size > MAX_DESCRIPTION_BYTES) {
      throw new Failure(
        `${path} has ${Math.ceil(size / 2 ** 20)} MiB; at most ${MAX_DESCRIPTION_BYTES / 2 ** 20} are read`,
      )
    }
    return await readFile(path)
  } catch (error) {
    if (error instanceof Failure) throw error
    const { code } = error as NodeJS.ErrnoException
    const why =
      code === "ENOENT" ? "there is no such file" : code === "EISDIR" ? "it is a folder" : String(error)
    throw new Failure(`${path} could not be read: ${why}`, { cause: error })
  }
}
