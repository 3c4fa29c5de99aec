// A test that is killed leaves nothing of its cluster: no process, mount, cgroup, folder, file of /run or /var, rule.
import { expect, test } from "bun:test"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** Folders that containerd, kubelet and CNI plugins write to where nobody keeps them from it. */
const WATCHED = [
  "/run",
  "/run/netns",
  "/var/lib",
  "/var/lib/cni",
  "/var/lib/kubelet",
  "/var/log",
  "/etc/cni",
  "/sys/fs/cgroup",
]

/** What iproute2 and iptables make at their first use on a machine, and keep; what is in the first is watched too. */
const KEPT_BY_TOOLS = new Set(["netns", "xtables.lock"])

const VICTIM = `
  import { Cluster } from "${join(import.meta.dir, "mod.ts")}"
  const cluster = await Cluster.up({ parts: "node" })
  await cluster.kubectl(["run", "victim", "--image=conduit.test/pause:1"])
  await cluster.kubectl(["wait", "pod/victim", "--for=condition=Ready", "--timeout=60s"])
  console.log(cluster.id)
  await new Promise(() => {})
`

function machine(): object {
  const read = (command: string[]): string => Bun.spawnSync(command).stdout.toString()
  const list = (path: string): string[] => (existsSync(path) ? readdirSync(path).sort() : [])
  return {
    folders: WATCHED.map(path => [path, list(path).filter(name => !KEPT_BY_TOOLS.has(name))]),
    rules: read(["iptables-save"]).replaceAll(/^#.*|\[\d+:\d+\]/gm, ""),
    links: read(["ip", "-brief", "link"]),
    memoryOvercommit: readFileSync("/proc/sys/vm/overcommit_memory", "utf8"),
  }
}

function processesNaming(id: string): string[] {
  return readdirSync("/proc").filter(pid => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, "latin1").includes(id)
    } catch {
      return false
    }
  })
}

function cgroupsNamed(id: string): string[] {
  return readdirSync("/sys/fs/cgroup")
    .map(hierarchy => join("/sys/fs/cgroup", hierarchy, id))
    .filter(existsSync)
}

test(
  "after kill -9 of the test process, with a pod running",
  async () => {
    const before = machine()
    const victim = Bun.spawn([process.execPath, "-e", VICTIM], { stdout: "pipe", stderr: "inherit" })
    const { value } = await victim.stdout.getReader().read()
    const id = new TextDecoder().decode(value).trim()
    expect(id).toStartWith("conduit-cluster-")
    expect(processesNaming(id).length).toBeGreaterThan(5)
    expect(cgroupsNamed(id).length).toBeGreaterThan(0)

    victim.kill("SIGKILL")
    await victim.exited
    const deadline = performance.now() + 30_000
    while (existsSync(join(tmpdir(), id)) && performance.now() < deadline) await Bun.sleep(100)

    expect(existsSync(join(tmpdir(), id))).toBe(false)
    expect(processesNaming(id)).toEqual([])
    expect(cgroupsNamed(id)).toEqual([])
    expect(readFileSync("/proc/mounts", "utf8")).not.toContain(id)
    expect(machine()).toEqual(before)
  },
  30 * 60_000,
)
