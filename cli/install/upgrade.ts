// `conduit upgrade`: prints the objects of this release with the values and secrets that the running one has; refuses
// what would break the mesh.
import { findConfig, installYaml, type Values } from "../../deploy/install/mod.ts"
import { command } from "../command_line/command.ts"
import { Failure } from "../failure.ts"
import { partOf } from "./install.ts"
import { installationValues, UPGRADE_FLAGS } from "./installation.ts"
import { planeNamespace, withKubernetes } from "../kubernetes.ts"
import { say, writeOut } from "../output.ts"
import { CLIENT_VERSION } from "../version.ts"

/** `conduit upgrade`. */
export const upgrade = command({
  meta: { name: "upgrade", description: "Prints this release's YAML with the settings of the running one" },
  args: UPGRADE_FLAGS,
  examples: [
    { line: "conduit upgrade | kubectl apply --server-side -f -", why: "the settings stay as they are" },
    { line: "conduit upgrade --ha | kubectl apply --server-side -f -", why: "changes one of them" },
  ],
  async run({ args, rawArgs }) {
    const part = partOf(args)
    const namespace = planeNamespace(args)
    const running = await withKubernetes(args, "read the running installation", api =>
      findConfig(api, namespace),
    )
    if (running === null) {
      throw new Failure(
        `no control plane is installed in namespace "${namespace}" (-c names another); conduit install prints a new one`,
      )
    }
    const from = `ConfigMap ${namespace}/conduit-config`
    const values = await installationValues(args, rawArgs, part, { values: running.values, from })
    const complaint = breaks(running.version, running.values, values)
    if (complaint !== null && !args.force) throw new Failure(`${complaint}; --force prints it all the same`)
    if (part !== "crds" && running.values.identityTrustAnchorsPEM === "") {
      say(
        "this mesh gets identities now: the control plane will refuse proxies that have none, so inject them anew after it is applied",
      )
    }
    writeOut(installYaml({ namespace, version: CLIENT_VERSION, values }, part))
  },
})

/** Why an upgrade would break a running mesh; null when it would not. */
export function breaks(version: string, before: Values, after: Values, own = CLIENT_VERSION): string | null {
  if (newer(version, own)) {
    return `the running control plane is ${version}, newer than this conduit (${own}): install that version of conduit`
  }
  const domain = before.identityTrustDomain
  if (domain !== undefined && domain !== after.identityTrustDomain) {
    return `the trust domain cannot change from "${domain}" to "${after.identityTrustDomain}": no proxy would trust another`
  }
  const kept = certificates(after.identityTrustAnchorsPEM)
  const lost = certificates(before.identityTrustAnchorsPEM).filter(anchor => !kept.includes(anchor))
  if (lost.length > 0) {
    return (
      "the new trust anchors leave out ones that proxies have certificates of: " +
      "bundle old and new ones in one file first, and drop the old ones when every proxy has a new certificate"
    )
  }
  return null
}

function certificates(pem: unknown): string[] {
  const blocks = String(pem ?? "").match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  return blocks.map(block => block.replace(/\s+/g, ""))
}

/** Whether a release comes after another, by its numbers. */
function newer(version: string, than: string): boolean {
  const numbers = (text: string): number[] => text.split(/[.-]/, 3).map(part => Number(part) || 0)
  const [a, b] = [numbers(version), numbers(than)]
  for (const [index, number] of a.entries()) {
    const other = b[index] ?? 0
    if (number !== other) return number > other
  }
  return false
}
