// Learnt policies as YAML that people read, keep and apply; the same traffic gives the same text.
import type { LearnedPolicy, LearnedRoute, LearnedRule, UnprovenCaller } from "../../protos/mod.ts"

/** `kind` of a manifest by the API's kind. */
const KINDS: Readonly<Record<string, string>> = {
  deployment: "Deployment",
  statefulset: "StatefulSet",
  daemonset: "DaemonSet",
  replicaset: "ReplicaSet",
  job: "Job",
  cronjob: "CronJob",
  pod: "Pod",
}

/** Longest name of an object (a DNS name, RFC 1123). */
const NAME_LENGTH_MAX = 253

/** All policies as one YAML text with counts as comments; empty for none. */
export function learnedYaml(policies: readonly LearnedPolicy[], unproven: readonly UnprovenCaller[]): string {
  return policies
    .map(policy =>
      policyYaml(
        policy,
        unproven.filter(caller => calls(caller, policy)),
      ).join("\n"),
    )
    .map(text => `${text}\n`)
    .join("---\n")
}

function calls({ to, port }: UnprovenCaller, { target, port: own }: LearnedPolicy): boolean {
  return (
    port === own &&
    to?.namespace === target?.namespace &&
    to?.kind === target?.kind &&
    to?.name === target?.name
  )
}

function policyYaml(policy: LearnedPolicy, unproven: readonly UnprovenCaller[]): string[] {
  const { port, portName, rules } = policy
  const { namespace = "", kind = "", name = "" } = policy.target ?? {}
  const suffix = `-${portName || port}-learned`
  return [
    "apiVersion: policy.conduit.io/v1alpha1",
    "kind: AuthorizationPolicy",
    "metadata:",
    `  name: ${name.slice(0, NAME_LENGTH_MAX - suffix.length)}${suffix}`,
    `  namespace: ${quoted(namespace)}`,
    "spec:",
    "  target:",
    `    kind: ${KINDS[kind] ?? kind}`,
    `    name: ${quoted(name)}`,
    `    ports: [${portName === "" ? port : quoted(portName)}]`,
    "  action: Allow",
    "  rules:",
    ...rules.flatMap(ruleYaml),
    ...unproven.flatMap(unprovenYaml),
  ]
}

function ruleYaml({ source, caller, routes, count }: LearnedRule): string[] {
  const lines = [`    # ${count} seen`, "    - from:", `        - ${source}: [${quoted(caller)}]`]
  if (routes.length === 0)
    return [...lines, "      # connections that are not HTTP: nothing to say of requests"]
  lines.push("      to:")
  for (const [methods, patterns] of byMethods(routes)) {
    lines.push(`        - methods: [${methods.split(" ").map(quoted).join(", ")}]`, "          paths:")
    for (const [pattern, of] of patterns) {
      const paths = [...new Set(of.map(route => route.path))]
      const shown = paths.length === 1 && paths[0] === pattern ? "" : `${paths.join(", ")}: `
      const counts = [...countsOf(of)].map(([method, total]) => `${method} ${total}`).join(", ")
      lines.push(`            - ${quoted(pattern)} # ${shown}${counts}`)
    }
  }
  return lines
}

/** Patterns with their routes, by the methods that they were asked with. */
function byMethods(routes: readonly LearnedRoute[]): [string, [string, LearnedRoute[]][]][] {
  const patterns = new Map<string, LearnedRoute[]>()
  for (const route of routes) patterns.set(route.pattern, [...(patterns.get(route.pattern) ?? []), route])
  const groups = new Map<string, [string, LearnedRoute[]][]>()
  for (const [pattern, of] of [...patterns].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const methods = [...countsOf(of).keys()].join(" ")
    groups.set(methods, [...(groups.get(methods) ?? []), [pattern, of]])
  }
  return [...groups].sort(([a], [b]) => (a < b ? -1 : 1))
}

function countsOf(routes: readonly LearnedRoute[]): Map<string, bigint> {
  const counts = new Map<string, bigint>()
  for (const { method, count } of routes) counts.set(method, (counts.get(method) ?? 0n) + count)
  return new Map([...counts].sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** By address only, and only if somebody wants it so: what they do not prove, others can claim. */
function unprovenYaml({ clientIp, from, count, reason }: UnprovenCaller): string[] {
  const who = from === undefined ? "" : `${from.namespace}/${from.name}, `
  return [
    `    # ${count} seen of a caller that is not authenticated (${who}${reason}). To allow its address:`,
    "    # - from:",
    `    #     - networks: [${quoted(`${clientIp}/${clientIp.includes(":") ? 128 : 32}`)}]`,
  ]
}

/** Text as YAML reads it back: plain where nothing in it means anything else. */
function quoted(text: string): string {
  return /^[A-Za-z/][A-Za-z0-9/._-]*$/.test(text) && !/^(true|false|null|yes|no|on|off|y|n)$/i.test(text)
    ? text
    : JSON.stringify(text)
}
