// `conduit endpoints`: the endpoints of Services, as the control plane serves them to proxies.
import type { EndpointInfo, ServiceEndpoints } from "../../protos/mod.ts"
import { command } from "../command_line/command.ts"
import { openApi } from "../connect.ts"
import { Failure } from "../failure.ts"
import { GLOBAL_FLAGS } from "../flags.ts"
import { type Column, FORMATS, formatOf, renderData, renderTable, say, writeOut } from "../output.ts"
import { resourceText } from "../resource.ts"
import { parseService } from "../service_argument.ts"

interface EndpointLine {
  readonly of: ServiceEndpoints
  /** null for a port of a Service that nothing stands behind. */
  readonly endpoint: EndpointInfo | null
}

const COLUMNS: readonly Column<EndpointLine>[] = [
  { title: "NAMESPACE", cell: row => row.of.namespace },
  { title: "SERVICE", cell: row => row.of.service },
  {
    title: "PORT",
    cell: row => (row.of.portName === "" ? `${row.of.port}` : `${row.of.port}/${row.of.portName}`),
  },
  { title: "ENDPOINT", cell: row => (row.endpoint === null ? null : hostPort(row.endpoint)) },
  { title: "POD", cell: row => row.endpoint?.pod || null },
  { title: "WORKLOAD", cell: row => workloadText(row.endpoint) },
  { title: "MESHED", cell: row => (row.endpoint === null ? null : row.endpoint.meshed ? "yes" : "no") },
  { title: "IDENTITY", cell: row => row.endpoint?.identity || null, wide: true },
  { title: "ZONE", cell: row => row.endpoint?.zone || null, wide: true },
]

function hostPort(endpoint: EndpointInfo): string {
  return endpoint.ip.includes(":") ? `[${endpoint.ip}]:${endpoint.port}` : `${endpoint.ip}:${endpoint.port}`
}

function workloadText(endpoint: EndpointInfo | null): string | null {
  const workload = endpoint?.workload
  return workload === undefined ? null : resourceText(workload.kind, workload.name)
}

function data(of: ServiceEndpoints) {
  return {
    namespace: of.namespace,
    service: of.service,
    port: of.port,
    portName: of.portName || null,
    endpoints: of.endpoints.map(one => ({
      ip: one.ip,
      port: one.port,
      namespace: one.namespace || null,
      pod: one.pod || null,
      workload:
        one.workload === undefined
          ? null
          : { namespace: one.workload.namespace, kind: one.workload.kind, name: one.workload.name },
      meshed: one.meshed,
      identity: one.identity || null,
      zone: one.zone || null,
    })),
  }
}

/** `conduit endpoints [SERVICE ...]`. */
export const endpoints = command({
  meta: { name: "endpoints", description: "Endpoints of Services, as proxies get them" },
  args: {
    ...GLOBAL_FLAGS,
    service: {
      type: "positional",
      valueHint: "SERVICE",
      description: "web, web:80 or web.NAMESPACE (default: all)",
      required: false,
    },
  },
  variadic: true,
  offers: { output: FORMATS },
  examples: [
    { line: "conduit endpoints -A", why: "every Service" },
    { line: "conduit endpoints web.shop:80 -o json", why: "one port of a Service, for programs" },
  ],
  async run({ args }) {
    const format = formatOf(args.output)
    const asked = args._.length === 0 ? [{ namespace: null, service: "", port: 0 }] : args._.map(parseService)
    const found: ServiceEndpoints[] = []
    await using mesh = await openApi(args)
    await mesh.call(async api => {
      for (const one of asked) {
        const namespace = one.namespace ?? mesh.namespace
        const answer = await api.endpoints({ namespace, service: one.service, port: one.port })
        if (answer.services.length === 0 && one.service !== "") {
          const port = one.port === 0 ? "" : ` with port ${one.port}`
          const place =
            namespace === "" ? "in any namespace" : `in namespace "${namespace}" (-n chooses another)`
          throw new Failure(`no Service "${one.service}"${port} ${place}`)
        }
        found.push(...answer.services)
      }
    })
    if (format === "json" || format === "yaml") {
      writeOut(await renderData(found.map(data), format))
      return
    }
    if (found.length === 0) {
      say(`No Services found in namespace "${mesh.namespace}" (-n chooses another, -A takes all).`)
      return
    }
    const rows = found.flatMap((of): EndpointLine[] =>
      of.endpoints.length === 0 ? [{ of, endpoint: null }] : of.endpoints.map(endpoint => ({ of, endpoint })),
    )
    writeOut(renderTable(rows, COLUMNS, format))
  },
})
