// What is written into the status of each Plugin: Accepted, whether the object is understood and its configuration fits, and
// Ready, whether the plugin answers; Ordered, whether its place among others is said.
import { dottedField } from "../../deploy/policy/mod.ts"
import { PLUGIN_KIND, type Plugin, type PluginHook, readPlugin } from "../../deploy/plugin_object/mod.ts"
import { type ConditionKind, timed, type WantedCondition } from "../conditions/mod.ts"
import { RESOURCES } from "../kubernetes/mod.ts"
import type { PluginReport, PluginSupervisor } from "./supervisor.ts"

const OURS: readonly string[] = ["Accepted", "Ready", "Ordered"]

/** Hooks of which the answer of one plugin may depend on its place before or behind another's. */
const ORDERED: readonly PluginHook[] = ["Destination", "Injection"]

/** The conditions of Plugins; those of other types are others'. */
export function pluginConditions(supervisor: PluginSupervisor): ConditionKind[] {
  return RESOURCES.filter(({ kind }) => kind === PLUGIN_KIND).map(resource => ({
    resource,
    list: "conditions",
    lists: (objects, now) => {
      const reports = new Map(supervisor.report().map(report => [report.plugin.name, report]))
      return objects.map(object => {
        const { name, generation = 0 } = object.metadata
        const { complaints } = readPlugin({ ...object, kind: PLUGIN_KIND })
        const faults = complaints.map(({ path, message }) => `${dottedField(path)} ${message}`)
        const report = reports.get(name)
        const wanted = [...conditionsOf(faults, report), ...orderOf(report, reports.values())].map(one => ({
          ...one,
          observedGeneration: generation,
        }))
        const before = (object.status?.conditions ?? []) as WantedCondition[]
        return [...before.filter(({ type }) => !OURS.includes(type)), ...timed(wanted, before, now)]
      })
    },
  }))
}

function conditionsOf(
  faults: readonly string[],
  report: PluginReport | undefined,
): Omit<WantedCondition, "observedGeneration">[] {
  if (faults.length > 0) {
    const message = `${faults.join("; ")}; this version is not in force; the last good one stays, if there was one`
    return [
      { type: "Accepted", status: "False", reason: "Invalid", message },
      { type: "Ready", status: "False", reason: "Invalid", message: "the object is not accepted" },
    ]
  }
  const { state = "Connecting", reason = "" } = report ?? {}
  const invalid = state === "Invalid"
  const ready = state === "Ready" || state === "Degraded"
  return [
    invalid
      ? { type: "Accepted", status: "False", reason: "Invalid", message: reason }
      : { type: "Accepted", status: "True", reason: "Accepted", message: "" },
    { type: "Ready", status: ready ? "True" : "False", reason: state, message: reason },
  ]
}

/** A warning where another plugin with such a hook has the same order: then their names decide, which nobody meant. */
function orderOf(
  report: PluginReport | undefined,
  others: Iterable<PluginReport>,
): Omit<WantedCondition, "observedGeneration">[] {
  if (report === undefined) return []
  const { plugin } = report
  const hooks = orderedHooks(plugin)
  const alike = [...others]
    .map(other => other.plugin)
    .filter(other => other.name !== plugin.name && other.order === plugin.order)
    .filter(other => orderedHooks(other).some(hook => hooks.includes(hook)))
  if (alike.length === 0) return []
  const names = alike.map(({ name }) => name).join(", ")
  const message = `spec.order is ${plugin.order}, as that of ${names}: of these, names decide who is asked first`
  return [{ type: "Ordered", status: "False", reason: "SameOrder", message }]
}

function orderedHooks({ hooks }: Plugin): PluginHook[] {
  return hooks.map(({ name }) => name).filter(name => ORDERED.includes(name))
}
