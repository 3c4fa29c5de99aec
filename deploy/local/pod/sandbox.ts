// A pod's sandbox: namespaces for network, processes, mounts, host name and IPC, held by one small process that
// dies with the runner. Everything in the pod dies with it: that is what makes "nothing left behind" true.
import { existsSync, mkdirSync, realpathSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { childrenOf, DIE_WITH_PARENT, MESH_MARK } from "../net/processes.ts"

/** What a sandbox is made of. */
export interface SandboxOptions {
  readonly meshId: string
  /** Folder of this pod; hosts, resolv.conf and scripts are written there. */
  readonly folder: string
  readonly hostname: string
  readonly hosts: string
  readonly resolvConf: string
  /** Files shown at other paths, besides those of names and hosts. */
  readonly mounts: readonly [from: string, to: string][]
}

/** A running sandbox. */
export interface Sandbox {
  /** Host process id of the first process in the pod's namespaces. */
  readonly pid: number
  /** Ends when the sandbox does, whoever ended it. */
  readonly exited: Promise<number>
  /** Kills everything in the pod at once. */
  kill(): void
}

/** Makes the namespaces of one pod; the network has only an unconfigured loopback. @throws Error saying what failed */
export async function startSandbox(options: SandboxOptions): Promise<Sandbox> {
  mkdirSync(options.folder, { recursive: true })
  const file = (name: string, content: string) => {
    const path = join(options.folder, name)
    writeFileSync(path, content, { mode: 0o644 })
    return path
  }
  const binds: [string, string][] = [
    [file("resolv.conf", options.resolvConf), "/etc/resolv.conf"],
    [file("hosts", options.hosts), "/etc/hosts"],
    [file("hostname", `${options.hostname}\n`), "/etc/hostname"],
    // Names go to the mesh's name server, not around it by systemd-resolved or nscd.
    [file("nsswitch.conf", NSSWITCH), "/etc/nsswitch.conf"],
    ...options.mounts,
  ]
  const script = [
    "set -e",
    ...binds.flatMap(([from, to]) => {
      const target = realTarget(to)
      return target === null ? [] : [`mount --bind ${quote(from)} ${quote(target)}`]
    }),
    // The file is not writable in a user namespace; the program may be missing.
    `hostname ${quote(options.hostname)} 2>/dev/null || printf %s ${quote(options.hostname)} > /proc/sys/kernel/hostname`,
    "[ ! -e /proc/sys/net/ipv6/conf/default/accept_dad ] || echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad",
    // As container runtimes set it: ports below 1024 need no rights inside a pod.
    "echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start || true",
    "echo ready",
    "exec >/dev/null 2>&1",
    // The shell stays as the pod's first process and reaps what its containers leave behind.
    "trap : TERM INT HUP",
    "while :; do sleep 2147483647 & wait; done",
  ].join("\n")
  const flags = ["--fork", "--kill-child=KILL", "--pid", "--mount-proc", "--net", "--uts", "--ipc"]
  const holder = Bun.spawn([...DIE_WITH_PARENT, "unshare", ...flags, "sh", "-c", script], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { PATH: process.env.PATH ?? "/usr/sbin:/usr/bin:/sbin:/bin", [MESH_MARK]: options.meshId },
  })
  const reader = holder.stdout.getReader()
  const first = await reader.read()
  void reader.cancel()
  const pid = childrenOf(holder.pid)[0]
  if (first.value === undefined || pid === undefined) {
    const said = (await new Response(holder.stderr).text()).trim()
    throw new Error(`the pod's namespaces could not be made: ${said === "" ? "unshare ended at once" : said}`)
  }
  return { pid, exited: holder.exited, kill: () => holder.kill("SIGKILL") }
}

/** Quotes text for sh. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}

const NSSWITCH =
  "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\nservices: files\nprotocols: files\n"

/** A mount cannot follow a symbolic link that leads nowhere. */
function realTarget(path: string): string | null {
  try {
    return existsSync(path) ? realpathSync(path) : null
  } catch {
    return null
  }
}
