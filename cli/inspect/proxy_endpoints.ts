// `conduit diagnostics endpoints RESOURCE`: the endpoints that proxies know, against those that the control plane serves.
import type { ServiceEndpoints } from "../../protos/mod.ts"
import { command } from "../command_line/command.ts"
import { openApi } from "../connect.ts"
import { Failure } from "../failure.ts"
import { GLOBAL_FLAGS } from "../flags.ts"
import { ago, type Column, FORMATS, formatOf, render, say, writeOut } from "../output.ts"
import { KIND_WORDS, parseResources, resourcesText, SELECTOR_FLAG } from "../resource.ts"
import { answersOf } from "./metrics.ts"

/** What a proxy says at /discovery. */
export interface ProxyDiscovery {
  /** Whether the control plane answers it. */
  readonly connected: boolean
  readonly destinations: readonly {
    readonly address: string
    readonly port: number
    readonly kind: string
    readonly service: { readonly namespace: string; readonly name: string; readonly port: number } | null
    /** Since the last answer, milliseconds; null before the first. */
    readonly ageMs: number | null
    readonly endpoints: readonly { readonly address: string; readonly port: number; readonly pod: string }[]
  }[]
}

/** One Service that a proxy knows. */
export interface BelievedLine {
  /** `namespace/name` of the proxy's pod. */
  readonly pod: string
  /** `namespace/name:port`. */
  readonly service: string
  /** Endpoints that the proxy knows, and those that the control plane serves. */
  readonly known: number
  readonly served: number
  /** Known to the proxy, and not served any more. */
  readonly stale: readonly string[]
  /** Served, and not known to the proxy. */
  readonly missing: readonly string[]
  readonly ageMs: number | null
}

/** Compares what one proxy knows with what is served; one line per Service, ordered. */
export function compare(
  pod: string,
  { destinations }: ProxyDiscovery,
  served: readonly ServiceEndpoints[],
): BelievedLine[] {
  const truth = new Map(
    served.map(({ namespace, service, port, endpoints }) => [
      `${namespace}/${service}:${port}`,
      endpoints.map(one => addressOf(one.ip, one.port)),
    ]),
  )
  return destinations
    .flatMap(({ address, service, endpoints, ageMs }): BelievedLine[] => {
      if (service === null) return []
      const key = `${service.namespace}/${service.name}:${service.port}`
      // A Service of both families has an address of each, and the endpoints of that family behind it.
      const family = address.includes(":")
      const right = (truth.get(key) ?? []).filter(one => one.startsWith("[") === family)
      const known = endpoints.map(one => addressOf(one.address, one.port))
      return [
        {
          pod,
          service: key,
          known: known.length,
          served: right.length,
          stale: known.filter(one => !right.includes(one)).sort(),
          missing: right.filter(one => !known.includes(one)).sort(),
          ageMs,
        },
      ]
    })
    .sort((a, b) => (a.service < b.service ? -1 : 1))
}

function addressOf(ip: string, port: number): string {
  return ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`
}

const COLUMNS: readonly Column<BelievedLine>[] = [
  { title: "PROXY", cell: row => row.pod },
  { title: "SERVICE", cell: row => row.service },
  { title: "KNOWN", cell: row => String(row.known), right: true },
  { title: "SERVED", cell: row => String(row.served), right: true },
  { title: "AGE", cell: row => (row.ageMs === null ? null : ago(row.ageMs)), right: true },
  { title: "STALE", cell: row => row.stale.join(",") || null },
  { title: "MISSING", cell: row => row.missing.join(",") || null },
]

/** `conduit diagnostics endpoints RESOURCE`. */
export const proxyEndpoints = command({
  meta: {
    name: "endpoints",
    description:
      "Endpoints that proxies know, against those that the control plane serves; exit 1 where they differ",
  },
  args: {
    ...GLOBAL_FLAGS,
    resource: {
      type: "positional",
      valueHint: "RESOURCE",
      description: "deploy/web, or pod/web-1",
      required: true,
    },
    ...SELECTOR_FLAG,
  },
  variadic: true,
  offers: { resource: KIND_WORDS, output: FORMATS },
  examples: [{ line: "conduit diagnostics endpoints deploy/web -n shop", why: "each proxy of web" }],
  async run({ args }) {
    const format = formatOf(args.output)
    const targets = parseResources(args._)
    await using mesh = await openApi(args)
    const told: { readonly pod: string; readonly discovery: ProxyDiscovery }[] = []
    const failed: string[] = []
    for (const target of targets) {
      await answersOf(
        mesh,
        target,
        args.selector,
        ({ namespace, pod, text, error }) => {
          if (error !== "") failed.push(`${namespace}/${pod}: ${error}`)
          else told.push({ pod: `${namespace}/${pod}`, discovery: JSON.parse(text) as ProxyDiscovery })
        },
        "discovery",
      )
    }
    for (const line of failed) say(`conduit: the proxy of ${line}`)
    const what = resourcesText(targets)
    if (told.length + failed.length === 0) throw new Failure(`no meshed pod of ${what}`)
    const { services } = await mesh.call(async api => await api.endpoints({}))
    const lines = told.flatMap(({ pod, discovery }) => compare(pod, discovery, services))
    for (const { pod, discovery } of told)
      if (!discovery.connected)
        say(`conduit: the proxy of ${pod} is cut off from the control plane: what it knows may be old`)
    if (lines.length === 0) say(`The proxies of ${what} have called no Service yet.`)
    writeOut(await render(format, lines, COLUMNS, line => line))
    const wrong = lines.filter(line => line.stale.length + line.missing.length > 0).length
    if (wrong > 0)
      throw new Failure(`${wrong} of ${lines.length} Services are known otherwise than they are served`)
    if (failed.length > 0) throw new Failure(`${failed.length} proxies of ${what} could not be asked`)
  },
})
