// `npm test`: every check that this machine can run, quick ones side by side, those in namespaces one after the other,
// but for the few that may run beside others.
// `npm test -- types unit` runs some of them, `npm test -- --list` names them. Last line: `N passed, N failed`.
// `--cluster` runs those on a real Kubernetes instead.
import { join } from "node:path"
import manifest from "../package.json" with { type: "json" }
import { toolchainLack } from "./cluster/mod.ts"
import { Report } from "./runner/report.ts"
import { runStep, type Step, type StepResult } from "./runner/step.ts"
import { clusterSteps, stepsOf } from "./runner/steps.ts"

/** Checks that run side by side: more would only wait for each other on the two cores that CI has. */
const SIDE_BY_SIDE = 2

const root = join(import.meta.dir, "..")
const logs = join(root, ".build/test")

function testFiles(): { unit: string[]; e2e: string[]; cluster: string[] } {
  const files = [
    ...new Bun.Glob("{cli,control,deploy,protos,proxy,tests}/**/*_test.ts").scanSync(root),
  ].sort()
  const isUnit = (file: string): boolean => !file.startsWith("tests/") || file.startsWith("tests/unit/")
  const unit = files.filter(isUnit)
  const isCluster = (file: string): boolean => file.startsWith("tests/cluster/")
  const e2e = files.filter(file => !isUnit(file) && !isCluster(file))
  const [unitTests = [], e2eTests = [], cluster = []] = [unit, e2e, files.filter(isCluster)].map(list =>
    list.map(file => `./${file}`),
  )
  return { unit: unitTests, e2e: e2eTests, cluster }
}

function chosen(steps: readonly Step[], words: readonly string[]): Step[] {
  const unknown = words.find(word => !steps.some(step => step.name.startsWith(word)))
  if (unknown !== undefined) {
    console.error(`no check is called "${unknown}"; there are ${steps.map(step => step.name).join(", ")}`)
    process.exit(2)
  }
  return words.length === 0
    ? [...steps]
    : steps.filter(step => words.some(word => step.name.startsWith(word)))
}

async function main(given: readonly string[]): Promise<number> {
  const files = testFiles()
  const here = stepsOf(files.unit, files.e2e).filter(
    step => step.name !== "demo" || "demo" in manifest.scripts,
  )
  const cluster = clusterSteps(files.cluster)
  const all = given.includes("--cluster") ? cluster : here
  const words = given.filter(word => word !== "--cluster")
  if (words.includes("--list")) {
    for (const step of all) console.log(`${step.name.padEnd(24)} ${step.what}`)
    return 0
  }
  const steps = chosen(all, words)
  const strict = process.env.CI === "true" || process.env.CI === "1"
  const report = new Report(process.stdout, ".build/test")
  const results: StepResult[] = []
  const stop = new AbortController()
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => stop.abort())

  const runOne = async (step: Step): Promise<void> => {
    if (stop.signal.aborted) return
    const notRun = obstacle(step)
    if (notRun !== null) {
      const result = { step, passed: 0, failed: strict ? 1 : 0, seconds: 0, output: "", notRun }
      results.push(result)
      report.end(result)
      return
    }
    report.begin(step.name)
    const result = await runStep(step, root, logs, stop.signal)
    results.push(result)
    report.end(result)
  }

  /** Runs steps in their order, `width` at a time. */
  const run = async (some: readonly Step[], width: number): Promise<void> => {
    const queue = [...some]
    const worker = async (): Promise<void> => {
      for (let step = queue.shift(); step !== undefined; step = queue.shift()) await runOne(step)
    }
    await Promise.all(Array.from({ length: width }, worker))
  }

  await run(
    steps.filter(step => !step.namespaces),
    SIDE_BY_SIDE,
  )
  const inNamespaces = steps.filter(step => step.namespaces)
  const shared = inNamespaces.filter(step => step.alone !== true)
  await Promise.all([
    run(
      shared.filter(step => step.beside === true),
      SIDE_BY_SIDE,
    ),
    run(
      shared.filter(step => step.beside !== true),
      1,
    ),
  ])
  await run(
    inNamespaces.filter(step => step.alone === true),
    1,
  )
  report.finish(results)
  if (stop.signal.aborted) return 130
  // Nothing that ran is nothing that was shown.
  return results.some(result => result.failed > 0) || !results.some(result => result.passed > 0) ? 1 : 0
}

/** Why this machine cannot run a step, as the bootstrap found; null when it can. */
function obstacle(step: Step): string | null {
  const lacks = process.env.CONDUIT_MACHINE_LACKS ?? ""
  if (step.namespaces && lacks !== "") return lacks
  if (step.cluster) {
    if (process.getuid?.() !== 0) return "a cluster needs root"
    const lack = toolchainLack()
    if (lack !== null) return lack
  }
  if (step.go && Bun.which("go") === null)
    return "there is no go: install Go 1.24 or newer (go.dev/dl), and have it in PATH"
  const packages = process.env.CONDUIT_MISSING_PACKAGES ?? ""
  return (step.programs || step.cluster) && packages !== ""
    ? `Debian packages are missing: ${packages}`
    : null
}

process.exit(await main(process.argv.slice(2)))
