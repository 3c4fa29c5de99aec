// `conduit-cni`, the executable that a container runtime runs for each pod of its node: `bun build --compile` makes it.
import { dirname } from "node:path"
import { applyRedirect, isRedirected } from "../redirect/mod.ts"
import { nodeIptables } from "./iptables_copy.ts"
import { fileCredentials } from "./kubeconfig.ts"
import { enterNetwork, ownNetwork } from "./network_namespace.ts"
import { answer } from "./plugin.ts"
import { readPod } from "./read_pod.ts"

// The API server is this cluster's own: the runtime's proxy for pulling images does not lead there.
for (const name of ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"]) {
  delete process.env[name]
  delete process.env[name.toLowerCase()]
}
const iptables = nodeIptables(dirname(process.execPath))
const { stdout, exitCode } = await answer(process.env, await Bun.stdin.text(), {
  readPod: async (pod, kubeconfig) => await readPod(pod, fileCredentials(kubeconfig)),
  redirect: (netns, options) => {
    enterNetwork(netns, ownNetwork())
    return applyRedirect(options, iptables)
  },
  isRedirected: netns => {
    enterNetwork(netns, ownNetwork())
    return isRedirected(iptables)
  },
  say: line => process.stderr.write(`conduit-cni: ${line}\n`),
})
await Bun.write(Bun.stdout, stdout)
process.exit(exitCode)
