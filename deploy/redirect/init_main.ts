// The program of the `conduit-init` container: gives its pod the redirect that its arguments describe.
import { applyRedirect, iptablesInPath } from "./apply.ts"
import { parseRedirectArgs } from "./redirect.ts"

let complaint: string | null
try {
  // The older tables have a lock file, and the pod's root may be read-only.
  complaint = applyRedirect(parseRedirectArgs(process.argv.slice(2)), iptablesInPath("/dev/shm/xtables.lock"))
  if (complaint !== null) {
    complaint += `. The container needs NET_ADMIN and NET_RAW, the node's kernel nftables (nft_redir) or ip_tables (xt_REDIRECT)`
  }
} catch (error) {
  complaint = error instanceof Error ? error.message.replace(/^conduit-init: /, "") : String(error)
}
if (complaint !== null) process.stderr.write(`conduit-init: ${complaint}\n`)
process.exitCode = complaint === null ? 0 : 1
