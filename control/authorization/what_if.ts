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
import { MAX_PLUGINS, type Supplied } from "../plugins/mod.ts"
import { type PolicyOptions, type PolicyProblem, policyProblems } from "../policy/mod.ts"
import { calledSide, callerOf, compareResources, type ResourceName, resourceKey } from "../resources/mod.ts"
import { invalid } from "../rpc/mod.ts"
import { AccessSum, type TelemetryQueries } from "../telemetry/mod.ts"
import { windowOf } from "../traffic/mod.ts"
import { type Decision, Judge } from "./judge.ts"
import { type AskPlugin, askTried, type TriedRequest } from "./tried_questions.ts"

/** Files of one question at most. */
export const MAX_WHAT_IF_FILES = 1000

/** Rows of one answer at most, so that it can be read and sent; those that change come first. */
export const MAX_WHAT_IF_ROWS = 5000

/** Plugins as they are tried. */
export interface TriedPlugins {
  /** Null where none of that name has the hook Policy or Authorize. */
  readonly supplied: (name: string) => Supplied | null
  readonly ask: AskPlugin
}

const NO_PLUGINS: TriedPlugins = {
  supplied: () => null,
  ask: plugin => Promise.reject(new Error(`there is no plugin "${plugin}"`)),
}

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
 * @param plugins  those that may be tried
 * @throws ConnectError for too many files, no policy among them, a plugin that supplies none, or when telemetry cannot be asked
 */
export async function whatIf(
  store: ClusterStore,
  queries: TelemetryQueries,
  options: PolicyOptions,
  request: WhatIfRequest,
  plugins: TriedPlugins = NO_PLUGINS,
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
  const tried = new Set(request.plugins)
  const ofPlugins = request.plugins.flatMap(name => triedOf(name, plugins, notes))
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
  const judged: (TriedRequest & { readonly was: Decision })[] = []
  for (const access of accesses) {
    const to = calledSide(store, access)
    const was = access.other ? null : before.decide(access)
    const decision = access.other ? null : after.decide(access)
    if (to === null || was === null || decision === null) {
      unjudged += access.count
      continue
    }
    // What is asked about already has the same answer before and after.
    const matches = after
      .asks(access)
      .filter(({ question, allowed }) => tried.has(question.plugin) || names.has(nameOf(allowed)))
    judged.push({ access, to, was, decision, matches })
  }
  const asked = judged.filter(({ matches }) => matches.length > 0)
  const answers = await askTried(asked, plugins.ask, notes)
  const said = new Map(asked.map((request, at) => [request, answers[at] ?? request.decision]))
  for (const request of judged) {
    const { access, to, was, decision } = request
    const from = callerOf(store, access).workload
    const row = rowOf(rows, access, from, to, was, said.get(request) ?? decision)
    row.sum.add(access)
    row.clientIps.add(access.clientIp)
    row.approximate ||= said.has(request) || [before, after].some(judge => tellsApart(judge, access))
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
function triedOf(name: string, { supplied }: TriedPlugins, notes: string[]): readonly PolicyRecord[] {
  const found = supplied(name)
  if (found === null) {
    const sentence = `there is no plugin ${JSON.stringify(name.slice(0, 63))} with the hook Policy or Authorize`
    throw invalid("NO_SUCH_PLUGIN", "plugins", sentence)
  }
  if (found.inForce) notes.push(`what the plugin "${name}" says is in force already: its mode is Enforce`)
  else if (found.policies.length === 0 && !found.asked)
    notes.push(`the plugin "${name}" supplies no policy now`)
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
