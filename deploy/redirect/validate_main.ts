// `conduit-validate` in the proxy's image: the init container of pods that the CNI plugin redirects. Takes the arguments
// of conduit-init; ends with 0 once the redirect is seen to work, with 1 when it is not there in time.
import { networkInterfaces } from "node:os"
import { parseRedirectArgs } from "./redirect.ts"
import { validate, waysOut } from "./validate.ts"

/** Longest wait for a redirect: a plugin that is just being installed on a new node repairs the pod meanwhile. */
export const VALIDATE_TIMEOUT_MS = 30_000

function say(line: string): void {
  process.stderr.write(`conduit-validate: ${line}\n`)
}

/** Addresses of the pod but those of loopback and links. */
function ownAddresses(): string[] {
  return Object.values(networkInterfaces())
    .flatMap(list => list ?? [])
    .filter(({ internal, address }) => !internal && !address.startsWith("fe80:"))
    .map(({ address }) => address)
}

async function main(): Promise<string | null> {
  const ways = waysOut(ownAddresses())
  if (ways.length === 0) return "the pod has no address"
  const options = parseRedirectArgs(process.argv.slice(2))
  const open = await validate(ways, options, { timeoutMs: VALIDATE_TIMEOUT_MS, say })
  return open === null
    ? null
    : `${open}. The pod was injected for Conduit's CNI plugin: is the DaemonSet conduit-cni ready on this node? Without the plugin, inject without --cni`
}

let complaint: string | null
try {
  complaint = await main()
} catch (error) {
  complaint = error instanceof Error ? error.message.replace(/^conduit-init: /, "") : String(error)
}
say(complaint ?? "TCP is redirected to the proxy")
process.exit(complaint === null ? 0 : 1)
