// `conduit policy who [RESOURCE]`: who may call whom, as policies have it, whether anybody calls or not.
import { Access, type AuthorizationRow, type Resource } from "../../protos/mod.ts"
import { command } from "../command_line/command.ts"
import { openApi } from "../connect.ts"
import { GLOBAL_FLAGS } from "../flags.ts"
import { type Column, FORMATS, formatOf, render, say, writeOut } from "../output.ts"
import {
  KIND_WORDS,
  peerOf,
  queryOf,
  RESOURCE_ARGUMENT,
  resourcesOrDeployments,
  resourcesText,
  resourceText,
  SELECTOR_FLAG,
  selectorOf,
} from "../resource.ts"

/** A row of `conduit policy who -o json`. */
export interface WhoLine {
  readonly to: { readonly namespace: string; readonly kind: string; readonly name: string }
  /** Null where its pods declare none. */
  readonly port: number | null
  readonly portName: string | null
  readonly from: { readonly namespace: string; readonly kind: string; readonly name: string }
  /** Null for a caller without a proxy. */
  readonly spiffeId: string | null
  readonly access: "allowed" | "denied" | "some"
  /** Null where the default policy decides. */
  readonly policy: string | null
  readonly reason: string
  /** What rules say of which requests, where some are told apart. */
  readonly requests: readonly string[]
  /** Whether connections that are not HTTP pass. */
  readonly connectionsPass: boolean
}

const WORDS: Readonly<Partial<Record<Access, WhoLine["access"]>>> = {
  [Access.ALLOWED]: "allowed",
  [Access.SOME]: "some",
}

function whoLine(row: AuthorizationRow): WhoLine {
  return {
    to: named(row.to),
    port: row.port || null,
    portName: row.portName || null,
    from: named(row.from),
    spiffeId: row.spiffeId || null,
    access: WORDS[row.access] ?? "denied",
    policy: row.policy || null,
    reason: row.reason,
    requests: row.requests,
    connectionsPass: row.connectionsPass,
  }
}

function named(resource: Resource | undefined): WhoLine["to"] {
  const { namespace = "", kind = "", name = "" } = resource ?? {}
  return { namespace, kind, name }
}

const text = ({ namespace, kind, name }: WhoLine["to"]): string => `${namespace}/${resourceText(kind, name)}`

const COLUMNS: readonly Column<WhoLine>[] = [
  { title: "CALLED", cell: row => text(row.to) },
  {
    title: "PORT",
    cell: row =>
      row.port === null ? null : `${row.port}${row.portName === null ? "" : ` (${row.portName})`}`,
  },
  { title: "CALLER", cell: row => text(row.from) },
  {
    title: "MAY_CALL",
    cell: row => (row.access === "some" ? "some requests" : row.access === "allowed" ? "yes" : "no"),
  },
  {
    title: "WHY",
    cell: row =>
      row.requests.length > 0
        ? row.requests.join("; ")
        : `${row.policy === null ? "" : `${row.policy}: `}${row.reason}`,
  },
  { title: "IDENTITY", cell: row => row.spiffeId, wide: true },
]

/** `conduit policy who`. */
export const who = command({
  meta: { name: "who", description: "Who may call whom, as policies have it, whether anybody calls or not" },
  args: {
    ...GLOBAL_FLAGS,
    ...RESOURCE_ARGUMENT,
    from: { type: "string", valueHint: "RESOURCE", description: "only this caller" },
    "from-namespace": { type: "string", valueHint: "NAMESPACE", description: "namespace of --from" },
    ...SELECTOR_FLAG,
  },
  variadic: true,
  offers: { resource: KIND_WORDS, from: KIND_WORDS, output: FORMATS },
  examples: [
    { line: "conduit policy who deploy/cart -n shop", why: "every caller that there is" },
    { line: "conduit policy who deploy/cart -n shop --from deploy/web", why: "one of them" },
  ],
  async run({ args }) {
    const format = formatOf(args.output)
    const targets = resourcesOrDeployments(args._)
    const sender = peerOf(args.from, "--from")
    await using mesh = await openApi(args)
    const { namespace } = mesh
    const from = selectorOf(sender, args["from-namespace"] ?? namespace)
    const lines: WhoLine[] = []
    await mesh.call(async api => {
      for (const target of targets) {
        const answer = await api.authorization({
          target: queryOf(target, namespace, args.selector),
          ...(from === undefined ? {} : { from }),
        })
        lines.push(...answer.rows.map(whoLine))
      }
    })
    if (lines.length === 0) {
      const place = namespace === "" ? "" : ` in namespace "${namespace}" (-A takes all)`
      say(`Nobody to call: no pods of ${resourcesText(targets)}${place}.`)
      if (format === "table" || format === "wide") return
    }
    writeOut(await render(format, lines, COLUMNS, line => line))
  },
})
