// `conduit install`: prints the control plane's objects. Needs no cluster: the same flags give the same
// bytes, but for trust anchors and issuer, which it makes where none are given and no control plane has any.
import { installYaml, type Part } from "../../deploy/install/mod.ts"
import { command } from "../command_line/command.ts"
import { UsageError } from "../failure.ts"
import { INSTALL_FLAGS, installationValues } from "./installation.ts"
import { planeNamespace } from "../kubernetes.ts"
import { writeOut } from "../output.ts"
import { CLIENT_VERSION } from "../version.ts"

/** Which part the flags ask for. @throws UsageError for both flags at once */
export function partOf(args: {
  readonly crds?: boolean | undefined
  readonly "skip-crds"?: boolean | undefined
}): Part {
  if (args.crds && args["skip-crds"]) throw new UsageError("--crds and --skip-crds exclude each other")
  return args.crds ? "crds" : args["skip-crds"] ? "without-crds" : "all"
}

/** `conduit install`. */
export const install = command({
  meta: { name: "install", description: "Prints the control plane's YAML for kubectl apply" },
  args: INSTALL_FLAGS,
  examples: [
    { line: "conduit install | kubectl apply -f -", why: "everything, with defaults" },
    { line: "conduit install --crds | kubectl apply -f -", why: "the custom resource definitions only" },
    {
      line: "conduit install --ha -f values.yaml --set image.registry=registry.example/conduit",
      why: "own values",
    },
  ],
  async run({ args, rawArgs }) {
    const part = partOf(args)
    const values = await installationValues(args, rawArgs, part, null)
    writeOut(installYaml({ namespace: planeNamespace(args), version: CLIENT_VERSION, values }, part))
  },
})
