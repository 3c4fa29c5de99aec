// `conduit profile svc/NAME`: an HTTPRoute or GRPCRoute from an API's description, or from the traffic seen.
import { readFileSync } from "node:fs"
import { command } from "../command_line/command.ts"
import { windowMsOf } from "../command_line/duration.ts"
import { openApi } from "../connect.ts"
import { Failure, UsageError } from "../failure.ts"
import { GLOBAL_FLAGS, type GlobalArgs, WINDOW_FLAG } from "../flags.ts"
import { formatOf, say, writeOut } from "../output.ts"
import { parseResources, peerOf, queryOf, resourceText } from "../resource.ts"
import { operationsOf } from "./live.ts"
import { readOpenApi } from "./open_api.ts"
import { readProtobuf } from "./protobuf.ts"
import { grpcRoutes, httpRoutes, type ProfiledService } from "./routes_yaml.ts"

/** Largest description that is read. */
export const MAX_PROFILE_BYTES = 16 * 1024 * 1024

/** `conduit profile`. */
export const profile = command({
  meta: {
    name: "profile",
    description: "HTTPRoute or GRPCRoute of a Service from OpenAPI, protobuf or live traffic",
  },
  args: {
    ...GLOBAL_FLAGS,
    output: { type: "string", alias: "o", valueHint: "FORMAT", description: "yaml or json" },
    resource: {
      type: "positional",
      valueHint: "svc/NAME",
      description: "the Service that callers name",
      required: true,
    },
    "open-api": {
      type: "string",
      valueHint: "FILE",
      description: "OpenAPI 3 or Swagger 2 document; - is standard input",
    },
    proto: {
      type: "string",
      valueHint: "FILE",
      description: "protobuf source, or a descriptor set (buf build -o FILE)",
    },
    live: {
      type: "string",
      valueHint: "RESOURCE",
      description: "traffic of this, such as the Service itself or deploy/web",
    },
    ...WINDOW_FLAG,
    port: {
      type: "string",
      valueHint: "PORT",
      description: "port of the Service (default: its only one, as the cluster has it)",
    },
    strict: {
      type: "boolean",
      description: "refuse requests that no rule takes; default: a last rule sends them on",
    },
  },
  offers: { output: ["yaml", "json"] },
  examples: [
    {
      line: "conduit profile svc/web --open-api api.yaml --port 80 | kubectl apply -f -",
      why: "a rule per operation",
    },
    { line: "conduit profile svc/cart --proto cart.proto", why: "a rule per gRPC method" },
    { line: "conduit profile svc/web --live svc/web -t 30m", why: "from what callers asked for" },
  ],
  async run({ args }) {
    const format = formatOf(args.output ?? "yaml", ["yaml", "json"])
    const [target, ...more] = parseResources([args.resource])
    if (target?.kind !== "service" || target.name === "" || more.length > 0 || args._.length > 1)
      throw new UsageError(`routes are for one Service: conduit profile svc/NAME, not ${args._.join(" ")}`)
    const sources = [args["open-api"], args.proto, args.live].filter(source => source !== undefined)
    if (sources.length !== 1)
      throw new UsageError("profile takes one of --open-api FILE, --proto FILE and --live RESOURCE")
    const options = { strict: args.strict === true }
    const { objects, notes } = await (async () => {
      if (args["open-api"] !== undefined) {
        const operations = readOpenApi(nameOf(args["open-api"]), readText(args["open-api"]))
        return { objects: httpRoutes(operations, await serviceOf(args, target.name), options), notes: [] }
      }
      if (args.proto !== undefined) {
        const operations = await readProtobuf(nameOf(args.proto), readBytes(args.proto))
        return { objects: grpcRoutes(operations, await serviceOf(args, target.name), options), notes: [] }
      }
      const { http, grpc, rest } = operationsOf(await liveRoutes(args, target.name, args.live ?? ""))
      const service = await serviceOf(args, target.name)
      const objects =
        http.length > 0 ? httpRoutes(http, service, options) : grpcRoutes(grpc, service, options)
      const left = rest.filter(name => name !== "default")
      return {
        objects,
        notes: left.length === 0 ? [] : [`not told by path, and therefore left out: ${left.join(", ")}`],
      }
    })()
    for (const note of notes) say(`profile: ${note}`)
    if (format === "json") {
      writeOut(`${JSON.stringify({ apiVersion: "v1", kind: "List", items: objects }, null, 2)}\n`)
      return
    }
    const { stringify } = await import("yaml")
    writeOut(objects.map(object => stringify(object, { lineWidth: 0 })).join("---\n"))
  },
})

function nameOf(file: string): string {
  return file === "-" ? "standard input" : file
}

function readBytes(file: string): Uint8Array {
  let bytes: Uint8Array
  try {
    bytes = readFileSync(file === "-" ? 0 : file)
  } catch (error) {
    throw new Failure(`profile: ${nameOf(file)} cannot be read: ${(error as Error).message}`, {
      cause: error,
    })
  }
  if (bytes.length > MAX_PROFILE_BYTES)
    throw new Failure(`profile: ${nameOf(file)} is larger than ${MAX_PROFILE_BYTES / 1024 / 1024} MiB`)
  return bytes
}

function readText(file: string): string {
  return new TextDecoder().decode(readBytes(file))
}

/** The Service with its port: as typed, else as the cluster has it. */
async function serviceOf(
  args: GlobalArgs & { readonly port?: string | undefined },
  name: string,
): Promise<ProfiledService> {
  if (args.port !== undefined) {
    const port = /^\d{1,5}$/.test(args.port) ? Number(args.port) : 0
    if (port < 1 || port > 65_535)
      throw new UsageError(`--port cannot be "${args.port}"; write a port of the Service, such as 80`)
    return { namespace: args.namespace, name, port }
  }
  await using mesh = await openApi(args).catch((error: unknown) => {
    if (!(error instanceof Failure)) throw error
    throw new Failure(
      `profile: --port is needed where no cluster tells the ports of svc/${name}: ${error.message}`,
    )
  })
  const { namespace } = mesh
  const { services } = await mesh.call(async api => await api.endpoints({ namespace, service: name }))
  const ports = [...new Set(services.map(service => service.port))]
  const [port] = ports
  if (port === undefined)
    throw new Failure(
      `profile: svc/${name} is not known in namespace "${namespace}", or has no ports; --port writes routes all the same`,
    )
  if (ports.length > 1)
    throw new UsageError(`svc/${name} has the ports ${ports.join(", ")}: choose one with --port`)
  return { namespace, name, port }
}

/** Names of the routes that traffic within the window met. */
async function liveRoutes(
  args: GlobalArgs & { readonly "time-window"?: string | undefined },
  name: string,
  live: string,
): Promise<string[]> {
  const source = peerOf(live, "--live")
  const windowMs = windowMsOf(args["time-window"] ?? "10m")
  await using mesh = await openApi(args)
  const { namespace } = mesh
  const target = queryOf(source ?? { kind: "service", name }, namespace, undefined)
  const { rows } = await mesh.call(async api => await api.routes({ target, windowMs }))
  const own = rows.filter(row => row.service?.name === name && row.http !== undefined)
  const learned = own.map(row => row.route)
  const { http, grpc, rest } = operationsOf(learned)
  if (http.length + grpc.length > 0) return learned
  const what = `profile: ${resourceText("service", name)}`
  const rules = rest.filter(route => route !== "default" && route !== "other")
  if (rules.length > 0)
    throw new Failure(
      `${what} has routes already, so its traffic is told by their rules (${rules.join(", ")}), not by paths`,
    )
  throw new Failure(
    `${what}: no meshed caller sent it an HTTP request within the window; -t 1h looks back further`,
  )
}
