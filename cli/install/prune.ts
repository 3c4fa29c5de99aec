// `conduit prune`: prints objects of earlier releases or settings that this release's installation no longer has.
import { findConfig, findInstalled, installObjects, readValues } from "../../deploy/install/mod.ts"
import { command } from "../command_line/command.ts"
import { Failure } from "../failure.ts"
import { GLOBAL_FLAGS } from "../flags.ts"
import { planeNamespace, withKubernetes } from "../kubernetes.ts"
import { say, writeOut } from "../output.ts"
import { deletionYaml } from "./uninstall.ts"
import { CLIENT_VERSION } from "../version.ts"

/** `conduit prune`. */
export const prune = command({
  meta: { name: "prune", description: "Prints what earlier releases or settings left over" },
  args: GLOBAL_FLAGS,
  examples: [{ line: "conduit prune | kubectl delete -f -", why: "after an upgrade was applied" }],
  async run({ args }) {
    const namespace = planeNamespace(args)
    const { installed, config } = await withKubernetes(args, "look for the control plane", async api => ({
      installed: await findInstalled(api, namespace),
      config: await findConfig(api, namespace),
    }))
    if (config === null) {
      throw new Failure(`no control plane is installed in namespace "${namespace}" (-c names another)`)
    }
    if (config.version !== CLIENT_VERSION) {
      throw new Failure(
        `the control plane in "${namespace}" is ${config.version}, and this conduit ${CLIENT_VERSION}: upgrade first`,
      )
    }
    const from = `ConfigMap ${namespace}/conduit-config`
    const values = readValues([{ values: config.values, from }])
    const wanted = new Set(
      installObjects({ namespace, version: CLIENT_VERSION, values }).map(
        ({ kind, metadata }) => `${kind}/${metadata.namespace ?? ""}/${metadata.name}`,
      ),
    )
    const left = installed.filter(one => !wanted.has(`${one.kind}/${one.namespace}/${one.name}`))
    if (left.length === 0) say("Nothing is left over.")
    writeOut(deletionYaml(left))
  },
})
