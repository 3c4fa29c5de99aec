// WhatIf: the live traffic of a window under proposed policies. Both clusters, the one that is and the one that would be,
// are judged by the proxies' own code (judge.ts), so that nothing else differs but the policies.
import type { MessageInitShape } from "@bufbuild/protobuf"
import {
  PolicyChange,
  type telemetryQueryV1,
  type WhatIfRequest,
  type WhatIfResponseSchema,
  type WhatIfRowSchema,
} from "../../protos/mod.ts"
import { type ClusterStore, objectKey, type PolicyRecord, readManifestFile } from "../cluster/mod.ts"
import { MAX_PLUGINS, type PluginSupervisor } from "../plugins/mod.ts"
import { type PolicyOptions, type PolicyProblem, policyProblems } from "../policy/mod.ts"
import { calledSide, callerOf, compareResources, type ResourceName, resourceKey } from "../resources/mod.ts"
import { invalid } from "../rpc/mod.ts"
import { AccessSum, type TelemetryQueries } from "../telemetry/mod.ts"
import { windowOf } from "../traffic/mod.ts"
import { type Decision, Judge } from "./judge.ts"

/** Files of one question at most. */
export const MAX_WHAT_IF_FILES = 1000

/** Rows of one answer at most, so that it can be read and sent; those that change come first. */
export const MAX_WHAT_IF_ROWS = 5000

/** What a plugin supplies; null where none of that name has the hook Policy. */
export type SuppliedBy = PluginSupervisor["supplied"]

interface Row {
  readonly change: PolicyChange
  readonly from: ResourceName | null
  readonly to: ResourceName
  readonly access: telemetryQueryV1.Access
  readonly before: Decision
  readonly after: Decision
  readonly sum: AccessSum
  readonly clientIps: Set<string>
  approximate: boolean
}

/**
 * Answers a WhatIf request.
 *
 * @param supplied  what plugins supply
 * @throws ConnectError for too many files, no policy among them, a plugin that supplies none, or when telemetry cannot be asked
 */
export async function whatIf(
  store: ClusterStore,
  queries: TelemetryQueries,
  options: PolicyOptions,
  request: WhatIfRequest,
  supplied: SuppliedBy = () => null,
): Promise<MessageInitShape<typeof WhatIfResponseSchema>> {
  const windowMs = windowOf(request.windowMs)
  const { files, namespace } = request
  if (request.plugins.length > MAX_PLUGINS)
    throw invalid("TOO_MANY_PLUGINS", "plugins", `${MAX_PLUGINS} plugins can be tried at most`)
  if ((files.length === 0 && request.plugins.length === 0) || files.length > MAX_WHAT_IF_FILES) {
    const sentence = `1 to ${MAX_WHAT_IF_FILES} files can be tried, not ${files.length}`
    throw invalid(files.length === 0 ? "NO_FILES" : "TOO_MANY_FILES", "files", sentence)
  }
  const read = files.map(file => readManifestFile(file.name, file.content, namespace || "default"))
  const problems = read.flatMap(file => file.problems.map(problemOf))
  if (problems.length > 0) return { problems }
  const objects = new Map(read.flatMap(file => [...file.objects]))
  const policies = [...objects.values()].filter(
    (object): object is PolicyRecord => object.kind === "authorizationpolicy",
  )
  const notes: string[] = []
  const ofPlugins = request.plugins.flatMap(name => triedOf(name, supplied, notes))
  if (policies.length === 0 && request.plugins.length === 0) {
    throw invalid("NO_POLICIES", "files", "the files hold no AuthorizationPolicy to try")
  }
  const proposed = store.with([...objects.values(), ...ofPlugins].map(put => ({ put })))
  const names = new Set([...policies, ...ofPlugins].map(nameOf))
  const found = policyProblems(proposed, options).filter(problem => names.has(nameOf(problem)))
  const hard = found.filter(({ reason }) => reason === "PortNotFound")
  if (hard.length > 0) {
    const placed = hard.map(problem => {
      const key = objectKey({ ...problem, kind: "authorizationpolicy" })
      const file = read.find(one => one.objects.has(key))
      const message = `${problem.field} of AuthorizationPolicy "${problem.name}" ${problem.message}`
      const where = file?.whereOf(key, pathOf(problem.field)) ?? `${problem.namespace}/${problem.name}`
      return { where, message }
    })
    return { problems: placed }
  }

  const { accesses } = await queries.access(windowMs)
  const before = new Judge(store, options)
  const after = new Judge(proposed, options)
  const rows = new Map<string, Row>()
  let unjudged = 0n
  for (const access of accesses) {
    const to = calledSide(store, access)
    const was = access.other ? null : before.decide(access)
    const would = access.other ? null : after.decide(access)
    if (to === null || was === null || would === null) {
      unjudged += access.count
      continue
    }
    const from = callerOf(store, access).workload
    const row = rowOf(rows, access, from, to, was, would)
    row.sum.add(access)
    row.clientIps.add(access.clientIp)
    row.approximate ||= [before, after].some(judge => tellsApart(judge, access))
  }
  const ordered = [...rows.values()].sort(compareRows)
  notes.push(...found.map(({ namespace: ns, name, field, message }) => `${ns}/${name}: ${field}: ${message}`))
  if (ordered.length > MAX_WHAT_IF_ROWS) {
    notes.push(
      `${ordered.length} kinds of traffic were judged; the last ${ordered.length - MAX_WHAT_IF_ROWS} are left out`,
    )
  }
  return {
    rows: ordered.slice(0, MAX_WHAT_IF_ROWS).map(shown),
    unjudged,
    policies: [...names].sort(),
    notes,
  }
}

/** Policies of a plugin that are tried. @throws ConnectError where there are none to try */
function triedOf(name: string, supplied: SuppliedBy, notes: string[]): readonly PolicyRecord[] {
  const found = supplied(name)
  if (found === null) {
    const sentence = `there is no plugin ${JSON.stringify(name.slice(0, 63))} with the hook Policy`
    throw invalid("NO_SUCH_PLUGIN", "plugins", sentence)
  }
  if (found.inForce) notes.push(`what the plugin "${name}" supplies is in force already: its mode is Enforce`)
  else if (found.policies.length === 0) notes.push(`the plugin "${name}" supplies no policy now`)
  return found.policies
}

function problemOf({ where, message }: { where: string; message: string }) {
  return { where, message: message.replace(/; the (object|file)'s last good state stays in force$/, "") }
}

function nameOf({ namespace, name }: { namespace: string; name: string } | PolicyProblem): string {
  return `${namespace}/${name}`
}

/** `spec.target.ports[0]` as a path. */
function pathOf(field: string): (string | number)[] {
  return [...field.matchAll(/[^.[\]]+/g)].map(([step]) => (/^\d+$/.test(step) ? Number(step) : step))
}

function rowOf(
  rows: Map<string, Row>,
  access: telemetryQueryV1.Access,
  from: ResourceName | null,
  to: ResourceName,
  before: Decision,
  after: Decision,
): Row {
  const { clientId, port, protocol, method, path } = access
  const caller = from === null ? `${clientId} ${clientId === "" ? access.clientIp : ""}` : resourceKey(from)
  const parts = [caller, clientId, resourceKey(to), port, protocol, method, path, before, after]
  const key = JSON.stringify(parts)
  const known = rows.get(key)
  if (known !== undefined) return known
  const change =
    before.allowed === after.allowed
      ? PolicyChange.UNCHANGED
      : after.allowed
        ? PolicyChange.ALLOWED
        : PolicyChange.DENIED
  const sum = new AccessSum()
  const row: Row = { change, from, to, access, before, after, sum, clientIps: new Set(), approximate: false }
  rows.set(key, row)
  return row
}

/** Whether rules tell paths of one route apart, so that one of them does not speak for all. */
function tellsApart(judge: Judge, access: telemetryQueryV1.Access): boolean {
  const open = access.path.indexOf("{")
  if (open < 0) return false
  const begin = access.path.slice(0, open)
  const patterns = (judge.policyOf(access)?.policies ?? [])
    .filter(policy => policy.allPorts || policy.ports.includes(access.port))
    .flatMap(policy => policy.rules.flatMap(rule => rule.to.flatMap(operation => operation.paths)))
  return patterns.some(
    pattern => pattern.replace(/\*$/, "").length > begin.length && pattern.startsWith(begin),
  )
}

function compareRows(a: Row, b: Row): number {
  return (
    a.change - b.change ||
    compareResources(a.from ?? NOBODY, b.from ?? NOBODY) ||
    compareResources(a.to, b.to) ||
    a.access.port - b.access.port ||
    compareText(a.access.path, b.access.path) ||
    compareText(a.access.method, b.access.method) ||
    compareText(a.access.clientId, b.access.clientId) ||
    compareText(a.access.clientIp, b.access.clientIp)
  )
}

/** Orders callers that are not known behind all others. */
const NOBODY: ResourceName = { namespace: "\uffff", kind: "", name: "" }

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function shown({ access, from, clientIps, sum, ...row }: Row): MessageInitShape<typeof WhatIfRowSchema> {
  const { clientId, port, protocol, method, path } = access
  return {
    ...row,
    ...(from === null ? {} : { from }),
    clientId,
    clientIps: [...clientIps].sort(),
    port,
    protocol,
    method,
    path,
    rps: sum.rps,
    count: sum.count,
  }
}
