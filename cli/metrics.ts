// `conduit metrics`: the raw Prometheus text of proxies, each under a comment that names its pod.
import { command } from "./command_line/command.ts"
import { withApi } from "./connect.ts"
import { Failure } from "./failure.ts"
import { GLOBAL_FLAGS, namespaceOf } from "./flags.ts"
import { say, writeOut } from "./output.ts"
import { KIND_WORDS, parseResources, resourcesText, SELECTOR_FLAG } from "./resource.ts"

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
    const namespace = namespaceOf(args)
    const failed: string[] = []
    let proxies = 0
    await withApi(args, async api => {
      for (const target of targets) {
        const scope = target.kind === "namespace" ? "" : namespace
        const selector = {
          namespace: scope,
          kind: target.kind,
          name: target.name,
          labelSelector: args.selector ?? "",
        }
        for await (const answer of api.proxyMetrics({ target: selector })) {
          proxies++
          const pod = `${answer.namespace}/${answer.pod}`
          if (answer.error === "") writeOut(`# pod ${pod}\n${answer.text.trimEnd()}\n\n`)
          else failed.push(`${pod}: ${answer.error}`)
        }
      }
    })
    for (const line of failed) say(`conduit: no metrics of ${line}`)
    const what = resourcesText(targets)
    const place = namespace === "" ? "" : ` in namespace "${namespace}"`
    if (proxies === 0) throw new Failure(`no meshed pod of ${what}${place}`)
    if (failed.length > 0)
      throw new Failure(`${failed.length} of ${proxies} proxies of ${what} could not be asked`)
  },
})
