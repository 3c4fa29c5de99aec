// The Injection hook: pods say whose they are. A pod without the label gets that of its namespace's team, or is refused.
import { pluginHooksV1, pluginV1 } from "../../../protos/mod.ts"
import type { ServedPlugin } from "../serve.ts"

interface Configuration {
  /** Name of the label. */
  readonly label?: string
  /** Team by namespace. */
  readonly teams?: Readonly<Record<string, string>>
  /** What becomes of a pod whose team is not known. */
  readonly unknown?: "deny" | "warn"
}

/** JSON Pointer (RFC 6901) of a label. */
function pointerOf(label: string): string {
  return `/metadata/labels/${label.replaceAll("~", "~0").replaceAll("/", "~1")}`
}

/** What is said of a pod. @param pod  as JSON */
export function judge(
  namespace: string,
  pod: string,
  { label = "team", teams = {}, unknown = "warn" }: Configuration,
): { patchJson?: string; denied?: string; warnings?: string[] } {
  const { metadata } = JSON.parse(pod || "{}") as { metadata?: { labels?: Record<string, string> } }
  if ((metadata?.labels?.[label] ?? "") !== "") return {}
  const team = teams[namespace]
  if (team === undefined) {
    const sentence = `the pod has no label "${label}", and no team has the namespace "${namespace}": add the label to the pod template`
    return unknown === "deny" ? { denied: sentence } : { warnings: [sentence] }
  }
  const patch = [{ op: "add", path: pointerOf(label), value: team as unknown }]
  if (metadata?.labels === undefined) patch.unshift({ op: "add", path: "/metadata/labels", value: {} })
  return { patchJson: JSON.stringify(patch), warnings: [`the pod has no label "${label}": it gets ${team}`] }
}

/** The plugin. */
export const teamLabel: ServedPlugin = {
  name: "team-label",
  version: "1.0.0",
  hooks: [pluginV1.Hook.INJECTION],
  schema: {
    type: "object",
    properties: {
      label: { type: "string", minLength: 1, maxLength: 317 },
      teams: {
        type: "object",
        additionalProperties: { type: "string", pattern: "^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$" },
      },
      unknown: { enum: ["deny", "warn"] },
    },
    additionalProperties: false,
  },
  routes: router => {
    router.service(pluginHooksV1.InjectionHookService, {
      mutate: ({ context, namespace, podJson }) => judge(namespace, podJson, context?.configuration ?? {}),
    })
  },
}
