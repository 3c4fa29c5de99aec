// `conduit explain FROM TO`: what a call would meet, decision by decision (call.ts). `conduit explain --id ID`: why a proxy
// refused what it refused.

import type { ArgsDef } from "citty"
import type { RefusalStory } from "../../protos/mod.ts"
import { command } from "../command_line/command.ts"
import { openApi, withApi } from "../connect.ts"
import { Failure, UsageError } from "../failure.ts"
import { flagValues, GLOBAL_FLAGS, type GlobalArgs } from "../flags.ts"
import { ago, colourOn, formatOf, renderData, say, writeOut } from "../output.ts"
import { KIND_WORDS, resourceText } from "../resource.ts"
import { callText, isAnswered, type PlaceFinder, parseCall, parseHeader, reportOf } from "./call.ts"

/** A resource as data. */
interface Named {
  readonly namespace: string
  readonly kind: string
  readonly name: string
}

/** `conduit explain --id ID -o json`: an array of these, one as a rule. */
export interface RefusalLine {
  readonly id: string
  /** RFC 3339. */
  readonly time: string
  /** Whose proxy refused. */
  readonly proxy: { readonly namespace: string; readonly pod: string; readonly workload: Named | null }
  /** `inbound`: what came to the pod; `outbound`: what it sent. */
  readonly direction: string
  readonly reason: string
  /** HTTP status; null for a connection that is not HTTP. */
  readonly status: number | null
  readonly method: string | null
  readonly authority: string | null
  readonly path: string | null
  readonly from: { readonly ip: string; readonly identity: string | null; readonly workload: Named | null }
  readonly destination: string
  readonly endpoint: string | null
  /** What of policy decided; null where it was not policy. */
  readonly decision: {
    /** `policy`, `default`, `not-allowed`, `ambiguous-path` or `hidden-requests`. */
    readonly cause: string
    /** `namespace/name`. */
    readonly policy: string | null
    /** From 0. */
    readonly rule: number | null
    readonly defaultPolicy: string | null
  } | null
  readonly detail: string | null
}

/** What each reason means, and what is to be done. Keys are the reasons of the proxy's table of refusals. */
const REASONS: Readonly<Record<string, string>> = {
  malformed: "the request breaks the protocol",
  denied: "policy does not let this client send this",
  "no-route": "the Service has routes, and none of them matches: conduit routes shows them",
  "no-backend": "the route leads nowhere: no backend, none with a weight, or one that does not exist",
  "head-timeout": "the client did not send a whole request head in time",
  limited: "a rate limit is reached",
  "head-too-large": "the request's head is larger than the proxy takes (LIMITS.md)",
  "connect-failed": "no endpoint could be connected to: do its pods listen on that port?",
  "mtls-required":
    "the endpoint would have to be called in plaintext, which config.conduit.io/outbound-mtls: required forbids",
  "upstream-gone": "the connection to the endpoint broke before it answered: its log says why it ended",
  "upstream-malformed": "the endpoint's answer breaks the protocol",
  "no-endpoint": "the Service has no endpoint that is ready: conduit endpoints shows them",
  overload: "the proxy had too much in flight",
  "circuit-open": "the endpoint failed too often and is left alone for a while",
  timeout: "a deadline passed before the answer came",
}

/** What describes a call. */
const CALL_FLAGS = {
  from: {
    type: "positional",
    valueHint: "FROM",
    description: "who calls: deploy/web, shop/deploy/web, pod/web-1, or an address outside of the mesh",
    required: false,
  },
  to: {
    type: "positional",
    valueHint: "TO",
    description: "what is called: web.shop:8080, svc/web:http, deploy/web, an address, a URL",
    required: false,
  },
  method: { type: "string", valueHint: "METHOD", description: "method of the request (default: GET)" },
  path: { type: "string", valueHint: "PATH", description: "path and query of the request (default: /)" },
  header: {
    type: "string",
    valueHint: "'NAME: VALUE'",
    description: "header field of the request; may come several times",
  },
  port: { type: "string", valueHint: "PORT", description: "port of TO, where that does not name it" },
  protocol: { type: "string", valueHint: "PROTOCOL", description: "http1, http2, grpc, tcp or tls" },
  file: {
    type: "string",
    alias: ["f", "filename"] as string[],
    valueHint: "FILE",
    description: "manifests in which to look for the lines that decide (default: those of the local mesh)",
  },
} as const satisfies ArgsDef

/** `conduit explain`. */
export const explain = command({
  meta: {
    name: "explain",
    description:
      "What a call would meet, decision by decision, and why; or why a proxy refused, by the id of conduit-proxy-error",
  },
  args: {
    ...GLOBAL_FLAGS,
    ...CALL_FLAGS,
    namespace: {
      type: "string",
      alias: "n",
      valueHint: "NAMESPACE",
      description: "namespace of FROM; with --id of the pods whose proxies are asked (default: all)",
    },
    id: {
      type: "string",
      valueHint: "ID",
      description: "id of the refusal, as conduit-proxy-error bears it",
    },
    output: { type: "string", alias: "o", valueHint: "FORMAT", description: "table, json or yaml" },
  },
  variadic: true,
  offers: {
    output: ["table", "json", "yaml"],
    protocol: ["http1", "http2", "grpc", "tcp", "tls"],
    from: KIND_WORDS,
    to: KIND_WORDS,
  },
  examples: [
    {
      line: "conduit explain deploy/web cart.shop:80 --path /items",
      why: "where the request would go, who would let it in, and which object says so",
    },
    {
      line: "conduit explain deploy/web svc/cart:http --method POST --header 'x-canary: yes' -o json",
      why: "another request, for a program; exit code 1 unless an application answers",
    },
    {
      line: "conduit explain --id 7h2k9m4x",
      why: "what stood behind `conduit-proxy-error: denied; id=7h2k9m4x`",
    },
    { line: "conduit explain --id 7h2k9m4x -n shop -o json", why: "asks the proxies of one namespace only" },
  ],
  async run({ args, rawArgs }) {
    const format = formatOf(args.output, ["table", "json", "yaml"])
    if (args._.length > 0) {
      if (args.id !== undefined)
        throw new UsageError("conduit explain: --id ID stands alone, without FROM and TO")
      const headers = (await flagValues(CALL_FLAGS, rawArgs, "header")).map(parseHeader)
      await explainCall(args, args._, headers, await flagValues(CALL_FLAGS, rawArgs, "file"), format)
      return
    }
    // People copy the whole field.
    const id =
      args.id
        ?.trim()
        .replace(/^.*\bid=/, "")
        .toLowerCase() ?? ""
    if (id === "")
      throw new UsageError(
        "conduit explain: FROM and TO are missing, or --id ID; conduit explain --help shows how",
      )
    const namespace = args["all-namespaces"] ? "" : (args.namespace ?? "")
    const answer = await withApi(args, api => api.explain({ id, namespace }))
    for (const sentence of answer.unanswered) say(`conduit: could not ask ${sentence}`)
    if (answer.refusals.length === 0) {
      const { proxies, kept } = answer
      const where = namespace === "" ? "" : ` of namespace "${namespace}"`
      throw new Failure(
        `none of the ${proxies} proxies${where} that answered knows a refusal "${id}": each keeps its latest ${kept}, ` +
          "until it ends; the log of the proxy that answered has it still (id=...)",
      )
    }
    if (format === "table") writeOut(answer.refusals.map(storyText).join("\n"))
    else writeOut(await renderData(answer.refusals.map(refusalLine), format))
  },
})

/** What the flags say of a call. */
interface CallFlags extends GlobalArgs {
  readonly method?: string | undefined
  readonly path?: string | undefined
  readonly port?: string | undefined
  readonly protocol?: string | undefined
}

async function explainCall(
  args: CallFlags,
  words: readonly string[],
  headers: readonly { readonly name: string; readonly value: string }[],
  files: readonly string[],
  format: "table" | "json" | "yaml",
): Promise<void> {
  const { from, to, typed } = parseCall(words)
  const { port = "", method = "", path = "", protocol = "" } = args
  if (port !== "" && to.party.port !== "" && to.party.port !== port) {
    throw new UsageError(
      `conduit explain: "${typed[1]}" names port ${to.party.port}, and --port says ${port}`,
    )
  }
  await using mesh = await openApi(args)
  const answer = await mesh.call(api =>
    api.explainCall({
      from: { ...from, namespace: from.namespace || mesh.namespace },
      to: { ...to.party, port: to.party.port || port },
      protocol: protocol || to.protocol,
      method: method.toUpperCase(),
      path: path || to.path,
      headers: headers.map(field => ({ ...field })),
    }),
  )
  const find = await placeFinder(files, mesh.url)
  if (format === "table") {
    const terminal = process.stdout.isTTY === true
    const asked = `${typed[0]}${answer.fromPod === "" ? "" : ` (pod ${answer.fromPod})`} calls ${typed[1]}`
    const what = [method.toUpperCase(), path || to.path].filter(word => word !== "").join(" ")
    const headline = `${asked}${what === "" ? "" : `: ${what}`}\n`
    writeOut(
      callText(answer, headline, { ticks: terminal, colour: colourOn(process.stdout, process.env) }, find),
    )
  } else writeOut(await renderData(reportOf(answer, typed, find), format))
  if (!isAnswered(answer)) process.exitCode = 1
}

/** Finds lines in the files that were named, else in those that a local mesh follows. */
async function placeFinder(files: readonly string[], url: string | null): Promise<PlaceFinder> {
  const { placesIn, runningMeshes } = await import("../../deploy/mod.ts")
  if (files.length > 0 || url === null) return placesIn(files)
  const mesh = (await runningMeshes()).find(({ apiAddr }) => `http://${apiAddr}` === url)
  return placesIn(mesh?.state.sources ?? [])
}

function storyText(story: RefusalStory): string {
  const { namespace, pod, workload, reason, status, timeMs, direction } = story
  const owner = workload === undefined || workload.kind === "pod" ? "" : ` (${namedText(workload)})`
  const age = ago(Date.now() - timeMs)
  const lines: [string, string][] = [
    ["Refused", `${new Date(timeMs).toISOString()} (${age} ago), id ${story.id}`],
    ["By", `the proxy of pod ${namespace}/${pod}${owner}, ${direction}`],
    ["From", fromText(story)],
    ["To", story.destination + (story.endpoint === "" ? "" : `, endpoint tried last ${story.endpoint}`)],
    ["What", whatText(story)],
    ["Answer", status === 0 ? `the connection was closed (${reason})` : `${status} ${reason}`],
    ["Why", REASONS[reason] ?? reason],
  ]
  const decided = decisionText(story)
  if (decided !== "") lines.push(["Decided by", decided])
  if (story.detail !== "") lines.push(["Detail", story.detail])
  if (story.cause !== "") {
    const target =
      workload === undefined ? "" : ` ${resourceText(workload.kind, workload.name)} -n ${namespace}`
    lines.push(["See", `conduit policy list${target} -o wide`])
  }
  return lines.map(([title, text]) => `${`${title}:`.padEnd(12)}${text}\n`).join("")
}

function fromText({ from, clientIp, clientId }: RefusalStory): string {
  const who = from === undefined ? "nothing that the cluster knows" : namedText(from)
  return `${who}, address ${clientIp || "unknown"}, ${clientId === "" ? "no identity" : `identity ${clientId}`}`
}

function whatText({ method, authority, path, status }: RefusalStory): string {
  if (method !== "") return `${method} ${authority}${path}`
  return status === 0 ? "a connection that is not HTTP" : "what never became a request"
}

function decisionText({ cause, policy, rule, defaultPolicy }: RefusalStory): string {
  switch (cause) {
    case "":
      return ""
    case "policy":
      return `${policyText(policy)}, rule ${rule} (spec.rules[${rule}])`
    case "default":
      return `the default policy "${defaultPolicy}": no policy with action Allow targets this port`
    case "not-allowed":
      return "policies with action Allow target this port, and none of them allows this"
    case "ambiguous-path":
      return "the path can be read in more than one way, and the port has rules about paths"
    case "hidden-requests":
      return `requests that ${policy === "" ? "a policy" : policyText(policy)} denies could be within, unseen`
    default:
      return `${cause}${policy === "" ? "" : ` (${policy})`}`
  }
}

/** What a plugin supplies has its name before a colon, which names of objects cannot hold. */
function policyText(policy: string): string {
  const plugin = /^[^/]*\/([^:]+):/.exec(policy)?.[1]
  return plugin === undefined ? `AuthorizationPolicy ${policy}` : `policy ${policy} of plugin/${plugin}`
}

function namedText({ namespace, kind, name }: Named): string {
  return `${namespace}/${resourceText(kind, name)}`
}

function refusalLine(story: RefusalStory): RefusalLine {
  const text = (value: string): string | null => (value === "" ? null : value)
  const { namespace, pod, cause } = story
  return {
    id: story.id,
    time: new Date(story.timeMs).toISOString(),
    proxy: { namespace, pod, workload: named(story.workload) },
    direction: story.direction,
    reason: story.reason,
    status: story.status === 0 ? null : story.status,
    method: text(story.method),
    authority: text(story.authority),
    path: text(story.path),
    from: { ip: story.clientIp, identity: text(story.clientId), workload: named(story.from) },
    destination: story.destination,
    endpoint: text(story.endpoint),
    decision:
      cause === ""
        ? null
        : {
            cause,
            policy: text(story.policy),
            rule: story.rule < 0 ? null : story.rule,
            defaultPolicy: text(story.defaultPolicy),
          },
    detail: text(story.detail),
  }
}

function named(resource: RefusalStory["workload"]): Named | null {
  if (resource === undefined) return null
  const { namespace, kind, name } = resource
  return { namespace, kind, name }
}
