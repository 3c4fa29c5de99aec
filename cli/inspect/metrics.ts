// `conduit metrics`: the raw Prometheus text of proxies, each under a comment that names its pod.
import { command } from "../command_line/command.ts"
import { type ApiConnection, openApi } from "../connect.ts"
import { Failure } from "../failure.ts"
import { GLOBAL_FLAGS } from "../flags.ts"
import { say, writeOut } from "../output.ts"
import {
  KIND_WORDS,
  parseResources,
  queryOf,
  type ResourceArgument,
  resourcesText,
  SELECTOR_FLAG,
} from "../resource.ts"

/** `conduit metrics RESOURCE`. */
export const metrics = command({
  meta: { name: "metrics", description: "Raw metrics of proxies" },
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
  offers: { resource: KIND_WORDS },
  examples: [
    { line: "conduit metrics deploy/web -n shop", why: "every proxy of web" },
    { line: "conduit metrics deploy/web -n shop | grep response_total", why: "one family" },
  ],
  async run({ args }) {
    const targets = parseResources(args._)
    await using mesh = await openApi(args)
    const { namespace } = mesh
    const failed: string[] = []
    let proxies = 0
    for (const target of targets) {
      await answersOf(mesh, target, args.selector, ({ namespace: where, pod, text, error }) => {
        proxies++
        if (error === "") writeOut(`# pod ${where}/${pod}\n${text.trimEnd()}\n\n`)
        else failed.push(`${where}/${pod}: ${error}`)
      })
    }
    for (const line of failed) say(`conduit: no metrics of ${line}`)
    const what = resourcesText(targets)
    const place = namespace === "" ? "" : ` in namespace "${namespace}"`
    if (proxies === 0) throw new Failure(`no meshed pod of ${what}${place}`)
    if (failed.length > 0)
      throw new Failure(`${failed.length} of ${proxies} proxies of ${what} could not be asked`)
  },
})

/** What one proxy answered. */
export interface ProxyAnswer {
  readonly namespace: string
  readonly pod: string
  readonly text: string
  readonly error: string
}

/** In a cluster each proxy is asked by itself; a local mesh's are asked by the API. */
export async function answersOf(
  mesh: ApiConnection,
  target: ResourceArgument,
  selector: string | undefined,
  take: (answer: ProxyAnswer) => void,
  question: "metrics" | "discovery" | "policy" = "metrics",
): Promise<void> {
  const { namespace, cluster } = mesh
  if (cluster === null) {
    const request = { target: queryOf(target, namespace, selector) }
    await mesh.call(async api => {
      const asked = {
        metrics: () => api.proxyMetrics(request),
        discovery: () => api.proxyDiscovery(request),
        policy: () => api.proxyPolicies(request),
      }
      for await (const answer of asked[question]()) take(answer)
    })
    return
  }
  const { proxyMetrics } = await import("../cluster/proxy_metrics.ts")
  const { kubernetes, controlNamespace } = cluster
  for await (const answer of proxyMetrics(
    kubernetes,
    controlNamespace,
    target,
    namespace,
    selector,
    `/${question}`,
  )) {
    const old = question !== "metrics" && answer.error.endsWith("answered 404")
    take(old ? { ...answer, error: "it is too old to tell; start its pod anew with a newer proxy" } : answer)
  }
}
