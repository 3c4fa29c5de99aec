// What is written into the status of each Plugin: Accepted, whether the object is understood and its configuration fits, and
// Ready, whether the plugin answers.
import { dottedField } from "../../deploy/policy/mod.ts"
import { PLUGIN_KIND, readPlugin } from "../../deploy/plugin_object/mod.ts"
import { type ConditionKind, timed, type WantedCondition } from "../conditions/mod.ts"
import { RESOURCES } from "../kubernetes/mod.ts"
import type { PluginReport, PluginSupervisor } from "./supervisor.ts"

const OURS: readonly string[] = ["Accepted", "Ready"]

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
        const wanted = conditionsOf(faults, reports.get(name)).map(one => ({
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
