// `conduit diagnostics policy RESOURCE`: the policies that proxies hold, against those that the control plane serves.
import type { ServedPolicies } from "../../protos/mod.ts"
import { command } from "../command_line/command.ts"
import { openApi } from "../connect.ts"
import { Failure } from "../failure.ts"
import { GLOBAL_FLAGS } from "../flags.ts"
import { type Column, FORMATS, formatOf, render, say, writeOut } from "../output.ts"
import { KIND_WORDS, parseResources, queryOf, resourcesText, SELECTOR_FLAG } from "../resource.ts"
import { answersOf } from "./metrics.ts"

/** What a proxy says at /policy. */
export interface ProxyPolicies {
  /** Whether the control plane answers it. */
  readonly connected: boolean
  /** Empty before the first answer. */
  readonly version: string
  readonly defaultPolicy: string
  /** Such as `AuthorizationPolicy shop/clients`. */
  readonly policies: readonly string[]
}

/** How what a proxy holds stands to what is served. */
export type Standing = "same" | "other names" | "other content" | "nothing yet" | "unknown pod"

/** What one proxy holds. */
export interface HeldLine {
  /** `namespace/name` of the proxy's pod. */
  readonly pod: string
  readonly standing: Standing
  /** Default policy that the proxy holds, and the one that is served; null where nothing is. */
  readonly defaultPolicy: string
  readonly servedDefaultPolicy: string | null
  /** Policies that the proxy holds. */
  readonly policies: readonly string[]
  /** Held, and not served any more. */
  readonly stale: readonly string[]
  /** Served, and not held. */
  readonly missing: readonly string[]
}

/** Compares what one proxy holds with what is served for its pod. */
export function compare(pod: string, held: ProxyPolicies, served: ServedPolicies | undefined): HeldLine {
  const { defaultPolicy, policies } = held
  const stale = policies.filter(one => served !== undefined && !served.policies.includes(one))
  const missing = served?.policies.filter(one => !policies.includes(one)) ?? []
  const standing = (): Standing => {
    if (served === undefined) return "unknown pod"
    if (held.version === served.version) return "same"
    if (held.version === "") return "nothing yet"
    return stale.length + missing.length > 0 ? "other names" : "other content"
  }
  return {
    ...{ pod, standing: standing(), defaultPolicy, policies, stale, missing },
    servedDefaultPolicy: served?.defaultPolicy ?? null,
  }
}

const COLUMNS: readonly Column<HeldLine>[] = [
  { title: "PROXY", cell: row => row.pod },
  { title: "HOLDS", cell: row => row.standing },
  { title: "DEFAULT", cell: defaultText },
  { title: "POLICIES", cell: row => String(row.policies.length), right: true },
  { title: "STALE", cell: row => row.stale.join(", ") || null },
  { title: "MISSING", cell: row => row.missing.join(", ") || null },
]

function defaultText({ defaultPolicy, servedDefaultPolicy }: HeldLine): string {
  const same = servedDefaultPolicy === null || servedDefaultPolicy === defaultPolicy
  return same ? defaultPolicy : `${defaultPolicy} (served: ${servedDefaultPolicy})`
}

/** `conduit diagnostics policy RESOURCE`. */
export const proxyPolicies = command({
  meta: {
    name: "policy",
    description:
      "Policies that proxies hold, against those that the control plane serves; exit 1 where they differ",
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
  examples: [{ line: "conduit diagnostics policy deploy/web -n shop", why: "each proxy of web" }],
  async run({ args }) {
    const format = formatOf(args.output)
    const targets = parseResources(args._)
    await using mesh = await openApi(args)
    const what = resourcesText(targets)
    const told: { readonly pod: string; readonly held: ProxyPolicies }[] = []
    const failed: string[] = []
    const served = new Map<string, ServedPolicies>()
    for (const target of targets) {
      await answersOf(
        mesh,
        target,
        args.selector,
        ({ namespace, pod, text, error }) => {
          if (error !== "") failed.push(`${namespace}/${pod}: ${error}`)
          else told.push({ pod: `${namespace}/${pod}`, held: JSON.parse(text) as ProxyPolicies })
        },
        "policy",
      )
      // After the proxies: what changed meanwhile is then rather known here and not there, and to be seen again.
      const request = { target: queryOf(target, mesh.namespace, args.selector) }
      const { pods } = await mesh.call(async api => await api.servedPolicies(request))
      for (const one of pods) served.set(`${one.namespace}/${one.pod}`, one)
    }
    for (const line of failed) say(`conduit: the proxy of ${line}`)
    if (told.length + failed.length === 0) throw new Failure(`no meshed pod of ${what}`)
    for (const { pod, held } of told)
      if (!held.connected)
        say(`conduit: the proxy of ${pod} is cut off from the control plane: what it holds may be old`)
    const lines = told.map(({ pod, held }) => compare(pod, held, served.get(pod)))
    writeOut(await render(format, lines, COLUMNS, line => line))
    const wrong = lines.filter(({ standing }) => standing !== "same").length
    if (wrong > 0)
      throw new Failure(
        `${wrong} of ${lines.length} proxies of ${what} hold other policies than are served; a change takes a second to reach them, so ask again first`,
      )
    if (failed.length > 0) throw new Failure(`${failed.length} proxies of ${what} could not be asked`)
  },
})
