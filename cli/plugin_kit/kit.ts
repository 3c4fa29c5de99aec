// The conformance kit: whether a plugin does what the control plane needs of one, and survives what may come.
import { Bench, type BenchOptions, description, encoded } from "./bench.ts"
import { describeProbes } from "./describe_probes.ts"
import { failed, type Finding, ok, type Verdict } from "./finding.ts"
import { DESCRIBE, HOOK_METHODS } from "./hook_methods.ts"
import { panelProbes } from "./panel_probes.ts"
import type { Probe } from "./probe.ts"
import { streamProbes } from "./stream_probes.ts"
import { unaryProbes } from "./unary_probes.ts"
import { endedText } from "./wire.ts"

/**
 * Tries a plugin.
 *
 * @param onFinding  told of each as it is made
 * @returns all findings, at least one
 */
export async function checkPlugin(
  options: BenchOptions,
  onFinding: (finding: Finding) => void = () => {},
): Promise<Finding[]> {
  const findings: Finding[] = []
  using bench = new Bench(options)
  const make = async (check: string, run: () => Promise<Verdict>): Promise<Finding> => {
    const start = performance.now()
    const { todo = "", ...verdict } = await run().catch((error: Error) =>
      failed(
        "a connection",
        error.message,
        "the plugin must listen there at all times, for gRPC over HTTP/2",
      ),
    )
    const finding = { check, todo, ...verdict, ms: Math.round((performance.now() - start) * 10) / 10 }
    findings.push(finding)
    onFinding(finding)
    return finding
  }
  let said: ReturnType<typeof description> | null = null
  await make("Server: answers Describe", async () => {
    const { answer, ended } = await bench.unary(DESCRIBE, encoded(DESCRIBE, bench.context), bench.patienceMs)
    const sent = `Describe to ${options.target.address}`
    if (answer === null || ended.code !== 0)
      return failed(
        sent,
        endedText(ended),
        "serve conduit.plugin.v1.PluginService there, over HTTP/2 (--tls where it has a certificate)",
      )
    try {
      said = description(answer)
    } catch (error) {
      return failed(
        sent,
        `no DescribeResponse: ${(error as Error).message}`,
        "answer with conduit.plugin.v1.DescribeResponse",
      )
    }
    return ok(sent, `${answer.length} bytes`)
  })
  if (said === null) return findings
  const { only = "" } = options
  const probes = probesOf(said).filter(({ check }) => check.includes(only))
  if (probes.length === 0) {
    await make("Server: has what is to be checked", async () =>
      failed(
        `--only ${only}`,
        "no check of this plugin has that in its name",
        "leave --only out: every check that there is shows its name",
      ),
    )
  }
  for (const probe of probes) {
    const { state } = await make(probe.check, () => probe.run(bench))
    if (probe.rough !== true && state !== "failed") continue
    const illness = await bench.illness(DESCRIBE)
    if (illness === null) continue
    await make(`${probe.check}: answers after it`, async () =>
      failed(
        "Describe on a new connection",
        illness,
        "the plugin must outlive what it is sent: catch what the handler throws",
      ),
    )
    // Nothing that is tried after this would say anything.
    if (!(await comesBack(bench))) break
  }
  return findings
}

function probesOf(said: ReturnType<typeof description>): Probe[] {
  const hooks = HOOK_METHODS.filter(({ number }) => said.hooks.includes(number))
  return [
    ...describeProbes(said),
    ...[DESCRIBE, ...hooks].flatMap(method =>
      method.method.methodKind === "unary" ? unaryProbes(method) : streamProbes(method),
    ),
    ...hooks.filter(({ hook }) => hook === "Api").flatMap(panelProbes),
  ]
}

/** Waits for a plugin that is started again by whoever runs it. */
async function comesBack(bench: Bench): Promise<boolean> {
  const until = performance.now() + bench.patienceMs
  while (performance.now() < until) {
    if ((await bench.illness(DESCRIBE)) === null) return true
    await Bun.sleep(300)
  }
  return false
}
