// `conduit policy learn`: policies that allow exactly what was seen; YAML on standard output, everything else beside it.
import type { ApiClient, LearnResponse } from "../../protos/mod.ts"
import { command } from "../command_line/command.ts"
import { parseDurationMs } from "../command_line/duration.ts"
import { openApi } from "../connect.ts"
import { UsageError } from "../failure.ts"
import { GLOBAL_FLAGS } from "../flags.ts"
import { ago, type Format, formatOf, renderData, say, writeOut } from "../output.ts"
import {
  KIND_WORDS,
  queryOf,
  RESOURCE_ARGUMENT,
  type ResourceArgument,
  resourcesOrDeployments,
  resourcesText,
  resourceText,
  SELECTOR_FLAG,
} from "../resource.ts"
import { learnedYaml } from "../../deploy/policy/mod.ts"

/** Figures are kept for this long. */
const MAX_FOR_MS = 24 * 3_600_000
const MIN_FOR_MS = 1_000
/** Time between two looks while waiting. */
const LOOK_MS = 1_000
/** Proxies report about once a second, so the last one of a window is never quite seen. */
const REPORT_MS = 1_500

const LEARN_FORMATS: readonly Format[] = ["yaml", "json"]

/** `conduit policy learn [RESOURCE]`. */
export const learn = command({
  meta: { name: "learn", description: "Writes policies that allow exactly the traffic seen, as YAML" },
  args: {
    ...GLOBAL_FLAGS,
    output: { type: "string", alias: "o", valueHint: "FORMAT", description: "yaml or json (default: yaml)" },
    ...RESOURCE_ARGUMENT,
    for: {
      type: "string",
      valueHint: "DURATION",
      description:
        "learn from this long, 1s to 24h, and wait for it where less was seen (default: all that is known)",
    },
    ...SELECTOR_FLAG,
  },
  variadic: true,
  offers: { resource: KIND_WORDS, output: LEARN_FORMATS },
  examples: [
    {
      line: "conduit policy learn -n shop > shop-policies.yaml",
      why: "from what was seen within the last hour",
    },
    {
      line: "conduit policy learn deploy/voting -n emojivoto --for 10m",
      why: "from ten minutes, waiting for them",
    },
    { line: "conduit policy learn -n shop | kubectl apply -f -", why: "in force at once" },
  ],
  async run({ args }) {
    const format = formatOf(args.output ?? "yaml", LEARN_FORMATS)
    const targets = resourcesOrDeployments(args._)
    const forMs = forMsOf(args.for)
    await using mesh = await openApi(args)
    const ask = (api: ApiClient, target: ResourceArgument): Promise<LearnResponse> =>
      api.learn({ target: queryOf(target, mesh.namespace, args.selector), windowMs: forMs ?? 0 })
    const learnt: LearnResponse[] = []
    for (const target of targets) learnt.push(await seen(() => mesh.call(api => ask(api, target)), forMs))

    const policies = learnt.flatMap(answer => answer.policies)
    const unproven = learnt.flatMap(answer => answer.unproven)
    if (format === "json") writeOut(await renderData(learnt.map(jsonOf), "json"))
    else writeOut(learnedYaml(policies, unproven))
    if (policies.length === 0) {
      const what = resourcesText(targets)
      say(`Nothing learnt: no authenticated caller of ${what} was seen (-n and -A choose the namespace).`)
    }
    for (const { from, clientIp, to, port, count, reason } of unproven) {
      const who =
        from === undefined
          ? clientIp
          : `${from.namespace}/${resourceText(from.kind, from.name)} (${clientIp})`
      const whom = `${to?.namespace}/${resourceText(to?.kind ?? "", to?.name ?? "")}`
      say(
        `conduit: ${who} called ${whom} port ${port} ${count} times and is not authenticated (${reason}): ` +
          "it cannot be allowed by name, and policies on that port refuse it",
      )
    }
    const denied = learnt.reduce((sum, answer) => sum + answer.denied, 0n)
    if (denied > 0n) say(`conduit: ${denied} requests were refused, and are not learnt`)
    const unlearnt = learnt.reduce((sum, answer) => sum + answer.unlearnt, 0n)
    if (unlearnt > 0n) {
      say(`conduit: ${unlearnt} requests cannot be learnt: too many kinds, or none that a policy can name`)
    }
  },
})

function forMsOf(text: string | undefined): number | null {
  if (text === undefined) return null
  const ms = parseDurationMs(text, "--for")
  if (ms >= MIN_FOR_MS && ms <= MAX_FOR_MS) return ms
  throw new UsageError(`--for cannot be "${text}"; figures are kept for 1s to 24h`)
}

/** Asks until all of the time was seen; at most for that time, since what never reports would never be seen. */
async function seen(ask: () => Promise<LearnResponse>, forMs: number | null): Promise<LearnResponse> {
  const startedMs = performance.now()
  const terminal = process.stderr.isTTY === true
  let told = false
  for (;;) {
    const answer = await ask()
    const leftMs = forMs === null ? 0 : forMs - REPORT_MS - answer.seenMs
    if (leftMs <= 0 || performance.now() - startedMs >= (forMs ?? 0)) {
      if (told && terminal) process.stderr.write("\r\u001b[K")
      return answer
    }
    const progress = `seen ${ago(answer.seenMs)} of ${ago(forMs ?? 0)}`
    if (terminal) process.stderr.write(`\r\u001b[K${progress}`)
    else if (!told) say(`${progress}; waiting for the rest`)
    told = true
    await new Promise(resolve => setTimeout(resolve, Math.min(LOOK_MS, leftMs)))
  }
}

function jsonOf({ policies, unproven, denied, unlearnt }: LearnResponse) {
  return {
    policies: policies.map(({ target, port, portName, rules }) => ({
      target: { namespace: target?.namespace, kind: target?.kind, name: target?.name },
      port,
      portName: portName === "" ? null : portName,
      rules: rules.map(({ source, caller, count, routes }) => ({
        source,
        caller,
        count: Number(count),
        routes: routes.map(({ method, path, pattern, count: of }) => ({
          method,
          path,
          pattern,
          count: Number(of),
        })),
      })),
    })),
    unproven: unproven.map(({ from, clientIp, to, port, count, reason }) => ({
      from: from === undefined ? null : { namespace: from.namespace, kind: from.kind, name: from.name },
      clientIp,
      to: { namespace: to?.namespace, kind: to?.kind, name: to?.name },
      port,
      count: Number(count),
      reason,
    })),
    denied: Number(denied),
    unlearnt: Number(unlearnt),
  }
}
