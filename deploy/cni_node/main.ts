// The program of the DaemonSet conduit-cni: installs the plugin on its node, repairs pods that came before it, and takes
// the plugin away again when it is told to end.
import { readFileSync } from "node:fs"
import { join } from "node:path"
import type { Pod } from "../cni/mod.ts"
import { KubeApi, SERVICE_ACCOUNT_FOLDER, serviceAccountCredentials } from "../kubernetes/mod.ts"
import { parseRedirectArgs } from "../redirect/mod.ts"
import { PLUGIN_TYPE } from "./conflist.ts"
import { Installer, KUBECONFIG_NAME } from "./installer.ts"
import { redirectByAddress } from "./pod_network.ts"
import { type Repair, repairOf } from "./repair.ts"
import { watchPods } from "./watch_pods.ts"

/** Repairs that are remembered so as not to be made twice. */
export const MAX_REPAIRS_REMEMBERED = 10_000

/** Where the DaemonSet mounts the node's folders; deploy/install/cni.ts says the same. */
const MOUNTS = { conf: "/host/conf", bin: "/host/bin", netns: "/host/netns" } as const

function say(line: string): void {
  console.log(`${new Date().toISOString()} conduit-cni: ${line}`)
}

function needed(name: string): string {
  const value = process.env[name] ?? ""
  if (value === "")
    throw new Error(`${name} is not set; this program runs in the DaemonSet of conduit install`)
  return value
}

/** `repair ADDRESSES ARGUMENTS...`, see `repair` below. */
function repairMain([addresses = "", ...args]: readonly string[]): void {
  const complaint = redirectByAddress(MOUNTS.netns, addresses.split(","), parseRedirectArgs(args))
  if (complaint === null) return
  process.stderr.write(complaint)
  process.exitCode = 1
}

/** A process per repair: it leaves the node's network for the pod's. */
async function repair({ pod, addresses, args }: Repair): Promise<void> {
  const command = [process.execPath, Bun.main, "repair", addresses.join(","), ...args]
  const child = Bun.spawn(command, { stdin: "ignore", stdout: "ignore", stderr: "pipe" })
  const [complaint, code] = await Promise.all([child.stderr.text(), child.exited])
  if (code === 0) say(`redirected pod ${pod}, which had started without the plugin`)
  else say(`pod ${pod} started without the plugin and cannot be redirected: ${complaint.trim()}`)
}

async function main(): Promise<void> {
  const node = needed("CONDUIT_NODE")
  const env = process.env
  const credentials = serviceAccountCredentials({ env, nowMs: () => performance.now() })
  const installer = new Installer({
    confFolder: MOUNTS.conf,
    binFolder: MOUNTS.bin,
    program: join(import.meta.dir, `${PLUGIN_TYPE}.js`),
    iptablesRoot: "/",
    entry: {
      type: PLUGIN_TYPE,
      kubeconfig: join(needed("CONDUIT_CNI_CONF_DIR"), KUBECONFIG_NAME),
      excludeNamespaces: needed("CONDUIT_CNI_EXCLUDE_NAMESPACES").split(","),
    },
    kubeconfig: () => ({
      server: credentials.server,
      authority: readFileSync(join(SERVICE_ACCOUNT_FOLDER, "ca.crt"), "utf8"),
      token: readFileSync(join(SERVICE_ACCOUNT_FOLDER, "token"), "utf8").trim(),
    }),
    say,
    nowMs: () => Date.now(),
  })
  const end = new AbortController()
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => end.abort())
  const admin = Bun.serve({
    hostname: "127.0.0.1",
    port: Number(needed("CONDUIT_ADMIN_PORT")),
    fetch: request => {
      const { pathname } = new URL(request.url)
      if (pathname === "/live") return new Response("live\n")
      if (pathname !== "/ready") return new Response("not found\n", { status: 404 })
      return installer.ready ? new Response("ready\n") : new Response("not installed yet\n", { status: 503 })
    },
  })
  const done = new Set<string>()
  // One after another: on a new node all pods may come at once.
  let repairs = Promise.resolve()
  const onPod = (pod: Pod): void => {
    const wanted = repairOf(pod, installer.readyAtMs ?? 0)
    if (wanted === null || done.has(wanted.key)) return
    if (done.size >= MAX_REPAIRS_REMEMBERED) done.clear()
    done.add(wanted.key)
    repairs = repairs.then(() => repair(wanted))
  }
  const api = new KubeApi(credentials)
  let watching: Promise<void> | undefined
  await installer.keep(end.signal, () => {
    say("ready: pods that start now are redirected")
    const onTrouble = (reason: string): void => say(`pods of node ${node} cannot be watched: ${reason}`)
    watching = watchPods(api, { node, signal: end.signal, onPod, onTrouble })
  })
  await Promise.all([watching, repairs])
  await admin.stop(true)
  installer.remove()
}

try {
  if (process.argv[2] === "repair") repairMain(process.argv.slice(3))
  else await main()
} catch (error) {
  say(error instanceof Error ? error.message : String(error))
  process.exitCode = 1
}
