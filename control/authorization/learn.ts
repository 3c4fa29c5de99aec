// Learn: policies that allow exactly what was seen, by Deployment and route. Who proved no identity cannot be allowed by
// name, and is told instead; what was refused is not learnt.
import type { MessageInitShape } from "@bufbuild/protobuf"
import { readPattern } from "../../protos/authorization/mod.ts"
import type {
  LearnedRuleSchema,
  LearnRequest,
  LearnResponseSchema,
  telemetryQueryV1,
} from "../../protos/mod.ts"
import type { ClusterStore } from "../cluster/mod.ts"
import {
  accountOf,
  calledSide,
  callerOf,
  compareResources,
  type ResourceName,
  resourceKey,
  resourcesOfName,
  select,
} from "../resources/mod.ts"
import { MAX_WINDOW_MS, type TelemetryQueries } from "../telemetry/mod.ts"
import { windowOf } from "../traffic/mod.ts"
import { isConnection } from "./judge.ts"

/** What a request of the kubelet is recorded as; it stays allowed whatever policies say. */
const PROBE = "probe"

interface Route {
  readonly method: string
  readonly path: string
  readonly pattern: string
  count: bigint
}

interface Rule {
  readonly source: string
  readonly caller: string
  readonly routes: Map<string, Route>
  /** It made connections into which nobody looks: no request can describe them. */
  connects: boolean
  count: bigint
}

interface Policy {
  readonly target: ResourceName
  readonly port: number
  readonly rules: Map<string, Rule>
}

interface Unproven {
  readonly from: ResourceName | null
  readonly clientIp: string
  readonly to: ResourceName
  readonly port: number
  readonly reason: string
  count: bigint
}

/**
 * Answers a Learn request.
 *
 * @param nowMs  milliseconds since 1970
 * @throws ConnectError for what cannot be selected, or when telemetry cannot be asked
 */
export async function learn(
  store: ClusterStore,
  queries: TelemetryQueries,
  request: LearnRequest,
  nowMs: number,
): Promise<MessageInitShape<typeof LearnResponseSchema>> {
  const windowMs = request.windowMs === 0 ? MAX_WINDOW_MS : windowOf(request.windowMs)
  const target = select(store, request.target, "target")
  const isTarget = (pod: telemetryQueryV1.PodRef | undefined): boolean =>
    pod !== undefined &&
    resourcesOfName(store, pod, target.kind).some(resource => target.resources.has(resourceKey(resource)))
  const [{ accesses }, { reporters }] = await Promise.all([queries.access(windowMs), queries.reporters()])
  const policies = new Map<string, Policy>()
  const unproven = new Map<string, Unproven>()
  let denied = 0n
  let unlearnt = 0n
  for (const access of accesses) {
    const to = calledSide(store, access)
    if (to === null || !isTarget(access.reporter) || access.policy === PROBE) continue
    if (access.verdict === "deny") denied += access.count
    else if (access.other) unlearnt += access.count
    else if (access.clientId === "") addUnproven(unproven, store, access, to)
    else if (!addRule(policies, store, access, to)) unlearnt += access.count
  }
  return {
    policies: [...policies.values()]
      .sort((a, b) => compareResources(a.target, b.target) || a.port - b.port)
      .map(({ target: called, port, rules }) => ({
        target: called,
        port,
        portName: portName(store, called, port),
        rules: [...rules.values()]
          .sort((a, b) => compareText(a.source, b.source) || compareText(a.caller, b.caller))
          .map(shown),
      })),
    unproven: [...unproven.values()]
      .sort((a, b) => compareResources(a.to, b.to) || a.port - b.port || compareText(a.clientIp, b.clientIp))
      .map(({ from, ...caller }) => ({ ...caller, ...(from === null ? {} : { from }) })),
    seenMs: seenMs(
      reporters.filter(known => known.live && isTarget(known.pod)),
      windowMs,
      nowMs,
    ),
    denied,
    unlearnt,
  }
}

/** For how long all workloads have been watched: of each the pod that has been longest counts. */
function seenMs(
  reporters: readonly telemetryQueryV1.ProxyReporter[],
  windowMs: number,
  nowMs: number,
): number {
  const since = new Map<string, number>()
  for (const { pod, sinceMs } of reporters) {
    const key = `${pod?.namespace}/${pod?.workloadKind}/${pod?.workload}`
    since.set(key, Math.min(since.get(key) ?? nowMs, sinceMs === 0 ? nowMs : sinceMs))
  }
  if (since.size === 0) return 0
  return Math.max(0, Math.min(windowMs, nowMs - Math.max(...since.values())))
}

function addUnproven(
  unproven: Map<string, Unproven>,
  store: ClusterStore,
  { clientId, clientIp, port, count }: telemetryQueryV1.Access,
  to: ResourceName,
): void {
  const key = `${clientIp} ${resourceKey(to)} ${port}`
  const known = unproven.get(key)
  if (known !== undefined) {
    known.count += count
    return
  }
  const { workload, pod } = callerOf(store, { clientId, clientIp })
  const reason =
    pod === undefined
      ? "no pod has its address"
      : pod.meshed
        ? "its pod is meshed, but proved no identity"
        : "its pod is not meshed"
  unproven.set(key, { from: workload, clientIp, to, port, reason, count })
}

/** False for what no policy can name. */
function addRule(
  policies: Map<string, Policy>,
  store: ClusterStore,
  access: telemetryQueryV1.Access,
  to: ResourceName,
): boolean {
  const account = accountOf(access.clientId)
  if (account === null) return false
  const { port, protocol, method, path, count } = access
  const connects = isConnection(protocol)
  const pattern = connects ? "" : patternOf(path)
  if (pattern === null || (!connects && method !== method.toUpperCase())) return false
  const { workload } = callerOf(store, access)
  const source = workload?.kind === "deployment" ? "deployments" : "serviceAccounts"
  const caller =
    workload?.kind === "deployment"
      ? `${workload.namespace}/${workload.name}`
      : `${account.namespace}/${account.name}`
  const key = `${resourceKey(to)} ${port}`
  const policy = policies.get(key) ?? { target: to, port, rules: new Map<string, Rule>() }
  policies.set(key, policy)
  const ruleKey = `${source} ${caller}`
  const rule = policy.rules.get(ruleKey) ?? { source, caller, routes: new Map(), connects: false, count: 0n }
  policy.rules.set(ruleKey, rule)
  rule.count += count
  rule.connects ||= connects
  if (connects) return true
  const routeKey = `${method} ${path}`
  const route = rule.routes.get(routeKey) ?? { method, path, pattern, count: 0n }
  rule.routes.set(routeKey, route)
  route.count += count
  return true
}

/** A template as a policy can say it; null for what none can. */
function patternOf(path: string): string | null {
  if (path === "") return null
  const open = path.indexOf("{")
  const read = readPattern(open < 0 ? path : `${path.slice(0, open)}*`)
  return typeof read === "string" ? null : read.pattern
}

function shown({ routes, connects, ...rule }: Rule): MessageInitShape<typeof LearnedRuleSchema> {
  const ordered = [...routes.values()].sort(
    (a, b) => compareText(a.path, b.path) || compareText(a.method, b.method),
  )
  return { ...rule, routes: connects ? [] : ordered }
}

/** Name of a port, where every pod of the workload that declares it gives it the same one. */
function portName(store: ClusterStore, { namespace, kind, name }: ResourceName, port: number): string {
  const names = new Set<string>()
  for (const pod of store.pods(namespace)) {
    const workload = kind === "pod" ? { kind, name: pod.name } : store.workloadOf(pod)
    if (pod.finished || workload.kind !== kind || workload.name !== name) continue
    for (const declared of pod.ports) {
      if (declared.port === port && declared.protocol === "TCP") names.add(declared.name)
    }
  }
  const [only = ""] = names.size === 1 ? names : []
  return only
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
