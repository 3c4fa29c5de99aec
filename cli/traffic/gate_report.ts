// What `conduit gate` prints: a table for people, JSON and YAML for programs, JUnit for CI systems.
import { type GateRow, GateVerdict } from "../../protos/mod.ts"
import { junitXml } from "../junit.ts"
import { type Column, millis, percent, rate, renderData, renderTable } from "../output.ts"
import { resourceText } from "../resource.ts"
import { type HttpLine, httpLine } from "./stat.ts"

/** The formats of `-o`. */
export const GATE_FORMATS = ["table", "json", "yaml", "junit"] as const

/** How one resource stands; null is a figure that no traffic stands behind. */
export interface GateLine extends HttpLine {
  readonly namespace: string
  readonly kind: string
  readonly name: string
  /** `undecided` when the gate ended because another resource failed. */
  readonly verdict: "passed" | "failed" | "undecided"
  readonly responses: number
  readonly failures: number
  /** Why it failed, a sentence each. */
  readonly reasons: readonly string[]
}

/** A row of the API as it is printed. */
export function gateLine({ resource, verdict, http, reasons }: GateRow): GateLine {
  return {
    namespace: resource?.namespace ?? "",
    kind: resource?.kind ?? "",
    name: resource?.name ?? "",
    verdict:
      verdict === GateVerdict.PASSED ? "passed" : verdict === GateVerdict.FAILED ? "failed" : "undecided",
    responses: Number(http?.responses ?? 0n),
    failures: Number(http?.failures ?? 0n),
    ...httpLine(http),
    reasons,
  }
}

/** The verdicts in the format asked for; JSON and YAML are `{passed, windowSeconds, resources}`. */
export async function renderGate(
  format: (typeof GATE_FORMATS)[number],
  lines: readonly GateLine[],
  options: { readonly namespaces: boolean; readonly windowMs: number },
): Promise<string> {
  if (format === "table") return renderTable(lines, columns(options.namespaces), "table")
  if (format === "junit") return junit(lines, options.windowMs)
  const passed = lines.every(line => line.verdict === "passed")
  return await renderData({ passed, windowSeconds: options.windowMs / 1000, resources: lines }, format)
}

function columns(namespaces: boolean): Column<GateLine>[] {
  return [
    ...(namespaces ? [{ title: "NAMESPACE", cell: (line: GateLine) => line.namespace }] : []),
    { title: "NAME", cell: line => resourceText(line.kind, line.name) },
    { title: "VERDICT", cell: line => line.verdict },
    { title: "SUCCESS", cell: line => percent(line.success), right: true },
    { title: "REQUESTS", cell: line => String(line.responses), right: true },
    { title: "RPS", cell: line => rate(line.rps), right: true },
    { title: "P50", cell: line => millis(line.latencyMs.p50), right: true },
    { title: "P95", cell: line => millis(line.latencyMs.p95), right: true },
    { title: "P99", cell: line => millis(line.latencyMs.p99), right: true },
  ]
}

/** As CI systems read it: a case per resource, skipped where nothing was decided. */
function junit(lines: readonly GateLine[], windowMs: number): string {
  const seconds = windowMs / 1000
  const cases = lines.map(line => ({
    name: `${line.namespace}/${resourceText(line.kind, line.name)}`,
    seconds,
    failure: line.verdict === "passed" ? null : line.reasons.join("; "),
    skipped: line.verdict === "undecided",
  }))
  return junitXml("conduit gate", cases, seconds)
}
