// `conduit uninject`: manifests in, the same manifests without the proxy out, and a report on standard error.
import { joinTexts, uninjectInputs } from "../../deploy/manifests/mod.ts"
import { command } from "../command_line/command.ts"
import { GLOBAL_FLAGS } from "../flags.ts"
import { readManifests, refuseOutputFlag, sayReports } from "./manifests.ts"
import { writeOut } from "../output.ts"

/** `conduit uninject FILE|DIR|URL|- ...`. */
export const uninject = command({
  meta: {
    name: "uninject",
    description: [
      "Takes the proxy out of the workloads of manifests, whichever version of Conduit put it there, and gives back what",
      "was there before inject, byte for byte where nobody changed it since. With an error anywhere nothing is printed.",
    ].join("\n"),
  },
  args: {
    ...GLOBAL_FLAGS,
    file: {
      type: "positional",
      valueHint: "FILE|DIR|URL|-",
      description: "manifests: files, folders with all below them, web addresses, - for standard input",
      required: true,
    },
  },
  variadic: true,
  examples: [
    {
      line: "kubectl get deploy -o yaml | conduit uninject - | kubectl apply -f -",
      why: "takes what runs out of the mesh",
    },
    { line: "conduit uninject web.yml > plain.yml", why: "the manifest as it was" },
  ],
  async run({ args }) {
    refuseOutputFlag(args.output, "uninject")
    const inputs = await readManifests(args._)
    const treated = uninjectInputs(inputs)
    sayReports(
      inputs,
      treated.flatMap(one => one.reports),
    )
    writeOut(joinTexts(treated.map(one => one.text)))
  },
})
