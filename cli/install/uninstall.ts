// `conduit uninstall`: prints what to delete, found by its labels; warns while pods still have a proxy.
import { findInjected, findInstalled, type Installed } from "../../deploy/install/mod.ts"
import { command } from "../command_line/command.ts"
import { Failure } from "../failure.ts"
import { GLOBAL_FLAGS } from "../flags.ts"
import { planeNamespace, withKubernetes } from "../kubernetes.ts"
import { say, writeOut } from "../output.ts"

/** Objects as `kubectl delete -f -` takes them. */
export function deletionYaml(objects: readonly Installed[]): string {
  const lines = objects.map(({ apiVersion, kind, name, namespace }) => {
    const where = namespace === "" ? "" : `\n  namespace: ${namespace}`
    return `---\napiVersion: ${apiVersion}\nkind: ${kind}\nmetadata:\n  name: ${JSON.stringify(name)}${where}\n`
  })
  return lines.join("")
}

/** `conduit uninstall`. */
export const uninstall = command({
  meta: { name: "uninstall", description: "Prints what to delete" },
  args: GLOBAL_FLAGS,
  examples: [{ line: "conduit uninstall | kubectl delete -f -", why: "removes the control plane" }],
  async run({ args }) {
    const namespace = planeNamespace(args)
    const { installed, injected } = await withKubernetes(args, "look for the control plane", async api => ({
      installed: await findInstalled(api, namespace),
      injected: await findInjected(api, namespace),
    }))
    if (installed.length === 0) {
      throw new Failure(`no control plane is installed in namespace "${namespace}" (-c names another)`)
    }
    if (injected.size > 0) {
      const counts = [...injected].map(([where, pods]) => `${pods} in ${where}`).join(", ")
      say(
        `conduit: warning: pods still have a proxy of this control plane (${counts}): they lose discovery and, within a day, ` +
          "their certificates; conduit uninject them and roll them out first",
      )
    }
    writeOut(deletionYaml(installed))
  },
})
