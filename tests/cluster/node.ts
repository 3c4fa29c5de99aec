// The machine that the cluster runs on: namespaces of its own for network, processes, mounts and names, held by one
// process that dies with this one. Everything in them dies with it, so that nothing is left behind however a test
// ends; what no namespace holds (one folder, cgroups) is removed by a process that waits for that.
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs"
import { mkdtemp } from "node:fs/promises"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import type { FileSink, Subprocess } from "bun"

/** First part of the folder's and the cgroups' names. */
const PREFIX = "conduit-cluster-"

/** Longest wait for the namespaces to be made, in milliseconds: it takes a tenth of a second. */
export const NODE_DEADLINE_MS = 15_000

/** Addresses inside the node's network; nothing of them is seen outside. */
export const NODE_ADDRESS = "10.99.0.1"

/** Kernel settings that kubelet writes and that no namespace holds: it is shown files instead. */
const KERNEL_SETTINGS = {
  "vm/overcommit_memory": "1",
  "vm/panic_on_oom": "0",
  "kernel/panic": "10",
  "kernel/panic_on_oops": "1",
  "kernel/keys/root_maxkeys": "1000000",
  "kernel/keys/root_maxbytes": "25000000",
} as const

/** Where programs write what must not be seen on this machine. */
const PRIVATE_FOLDERS = ["/var/lib", "/var/log"]

/** The network that this process is in. */
const OWN_NETWORK = "/proc/self/ns/net"

/** One end of a forward: network namespace, address, port. */
type ForwardEnd = readonly [network: string, address: string, port: number]

/** The namespaces, and the folder that goes with them. */
export class Node implements AsyncDisposable {
  /** Where everything of this cluster is; removed at the end. */
  readonly folder: string
  /** Name that no other node has; its cgroups are called so. */
  readonly id: string
  readonly #holder: Subprocess<"ignore", "pipe", "pipe">
  readonly #remover: Subprocess<"pipe", "ignore", "ignore">
  readonly #pid: number
  readonly #forwards: Subprocess[] = []

  private constructor(
    folder: string,
    holder: Subprocess<"ignore", "pipe", "pipe">,
    remover: Subprocess<"pipe", "ignore", "ignore">,
    pid: number,
  ) {
    this.folder = folder
    this.id = basename(folder)
    this.#holder = holder
    this.#remover = remover
    this.#pid = pid
  }

  /**
   * Makes the namespaces, with a bridge that bears {@link NODE_ADDRESS}.
   *
   * @throws Error saying what the machine lacks
   */
  static async start(): Promise<Node> {
    if (process.getuid?.() !== 0) throw new Error("cluster: its namespaces need root; run the tests as root")
    removeLeftovers()
    const folder = await mkdtemp(join(tmpdir(), PREFIX))
    writeFileSync(join(folder, "owner"), `${process.pid} ${startTimeOf(process.pid)}`)
    for (const [name, value] of Object.entries(KERNEL_SETTINGS))
      writeFileSync(join(folder, name.replaceAll("/", ".")), value)
    const flags = [
      "--fork",
      "--kill-child=KILL",
      "--pid",
      "--mount-proc",
      "--mount",
      "--net",
      "--uts",
      "--ipc",
    ]
    const holder = Bun.spawn(
      ["setpriv", "--pdeathsig", "KILL", "unshare", ...flags, "sh", "-c", script(folder)],
      {
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
        // A signal of the terminal is for the test, which ends the node in its own way.
        detached: true,
      },
    )
    const late = setTimeout(() => holder.kill("SIGKILL"), NODE_DEADLINE_MS)
    const reader = holder.stdout.getReader()
    const ready = (await reader.read()).value !== undefined
    clearTimeout(late)
    void reader.cancel()
    const pid = childrenOf(holder.pid)[0]
    if (!ready || pid === undefined) {
      holder.kill("SIGKILL")
      const said = (await holder.stderr.text()).trim()
      rmSync(folder, { recursive: true, force: true })
      throw new Error(`cluster: the node's namespaces could not be made: ${said || "unshare ended at once"}`)
    }
    return new Node(folder, holder, startRemover(folder, pid), pid)
  }

  /** The network namespace, as a file that setns(2) takes. */
  get network(): string {
    return `/proc/${this.#pid}/ns/net`
  }

  /** Prefix of a command that is to run inside. */
  get enter(): string[] {
    return ["nsenter", `--target=${this.#pid}`, "--mount", "--net", "--pid", "--uts", "--ipc", "--"]
  }

  /** Starts a program inside that goes on until it is stopped or the node ends; its output goes to a log. */
  start(name: string, command: readonly string[]): Daemon {
    const words = [...this.enter, ...command]
    return new Daemon(name, join(this.folder, `${name}.log`), output =>
      Bun.spawn(words, {
        cwd: "/",
        env: { PATH: process.env.PATH ?? "", HOME: this.folder },
        stdin: "ignore",
        stdout: output,
        stderr: output,
        detached: true,
      }),
    )
  }

  /** Opens a port of 127.0.0.1 that leads to an address inside. @returns the port */
  async publish(address: string, port: number): Promise<number> {
    return await this.#forward([OWN_NETWORK, "127.0.0.1", 0], [this.network, address, port])
  }

  /** Opens a port of {@link NODE_ADDRESS} that leads to one of 127.0.0.1 outside. @returns the port */
  async invite(port: number): Promise<number> {
    return await this.#forward([this.network, NODE_ADDRESS, 0], [OWN_NETWORK, "127.0.0.1", port])
  }

  async #forward(listen: ForwardEnd, connect: ForwardEnd): Promise<number> {
    const program = join(import.meta.dir, "forward_main.ts")
    const words = [...listen, ...connect].map(String)
    const child = Bun.spawn(["setpriv", "--pdeathsig", "KILL", process.execPath, program, ...words], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      detached: true,
    })
    this.#forwards.push(child)
    const { value } = await child.stdout.getReader().read()
    if (value !== undefined) return Number(new TextDecoder().decode(value))
    throw new Error(`cluster: no way into the node's network: ${(await child.stderr.text()).trim()}`)
  }

  /** Runs a command inside to its end. @throws Error with what it said when it fails */
  async run(command: readonly string[]): Promise<string> {
    const child = Bun.spawn([...this.enter, ...command], { stdin: "ignore", stdout: "pipe", stderr: "pipe" })
    const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
    if (code === 0) return stdout
    throw new Error(`cluster: ${command.join(" ")} failed: ${stderr.trim() || `exit code ${code}`}`)
  }

  /** Makes the cgroups that kubelet puts pods into, in every hierarchy. */
  makeCgroups(): void {
    for (const hierarchy of cgroupHierarchies()) {
      const folder = join(hierarchy, this.id)
      mkdirSync(folder, { recursive: true })
      // A new cpuset is empty, and nothing can run in it.
      for (const file of ["cpuset.cpus", "cpuset.mems"]) {
        if (!existsSync(join(folder, file)) || existsSync(join(folder, "cgroup.controllers"))) continue
        writeFileSync(join(folder, file), readFileSync(join(hierarchy, file)))
      }
    }
  }

  /** Ends every process inside at once, then removes the folder and the cgroups. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of [...this.#forwards, this.#holder]) child.kill("SIGKILL")
    await this.#holder.exited
    ;(this.#remover.stdin as FileSink).end()
    const code = await this.#remover.exited
    if (code !== 0) throw new Error(`cluster: ${this.folder} or cgroups of that name could not be removed`)
  }
}

/** A program that runs inside the node. */
export class Daemon {
  readonly name: string
  /** Path of everything that it wrote. */
  readonly log: string
  readonly #spawn: (output: number) => Subprocess
  #enterer: Subprocess

  /** @param spawn starts it, its output going to that file descriptor */
  constructor(name: string, log: string, spawn: (output: number) => Subprocess) {
    this.name = name
    this.log = log
    this.#spawn = spawn
    this.#enterer = this.#begin()
  }

  /** Why it does not run, or null while it does. */
  get ended(): string | null {
    const { exitCode, signalCode } = this.#enterer
    if (signalCode !== null) return `signal ${signalCode}`
    return exitCode === null ? null : `exit code ${exitCode}`
  }

  /** Process id outside the node; null when it has ended. */
  get pid(): number | null {
    return childrenOf(this.#enterer.pid)[0] ?? null
  }

  /** The last lines that it wrote. */
  tail(lines = 15): string {
    return readFileSync(this.log, "utf8").trimEnd().split("\n").slice(-lines).join("\n")
  }

  /** Kills it and waits for the end. (Told politely, an API server waits a minute for its watches.) */
  async stop(): Promise<void> {
    const { pid } = this
    if (pid !== null) process.kill(pid, "SIGKILL")
    await this.#enterer.exited
  }

  /** Starts it again after it has ended. */
  start(): void {
    if (this.ended === null) throw new Error(`cluster: ${this.name} runs already`)
    this.#enterer = this.#begin()
  }

  #begin(): Subprocess {
    const output = openSync(this.log, "a")
    try {
      return this.#spawn(output)
    } finally {
      closeSync(output)
    }
  }
}

/** What makes the node out of fresh namespaces, then holds them. */
function script(folder: string): string {
  const inside = join(folder, "private")
  return [
    "set -e",
    // Volumes of pods are mounted by kubelet and seen by containers: shared in here, and with nobody outside.
    "mount --make-rshared /",
    `mkdir ${inside}`,
    `mount -t tmpfs tmpfs ${inside}`,
    ...PRIVATE_FOLDERS.flatMap(path => {
      const name = join(inside, path.slice(1).replaceAll("/", "-"))
      return [
        `mkdir ${name} ${name}.work`,
        `mount -t overlay overlay -o lowerdir=${path},upperdir=${name},workdir=${name}.work ${path}`,
      ]
    }),
    "mount -t tmpfs tmpfs /run",
    "mkdir -p /run/netns /run/lock",
    ...Object.keys(KERNEL_SETTINGS).map(
      name =>
        `[ ! -e /proc/sys/${name} ] || mount --bind ${join(folder, name.replaceAll("/", "."))} /proc/sys/${name}`,
    ),
    "hostname node",
    "ip link set lo up",
    "ip link add node0 type bridge",
    `ip addr add ${NODE_ADDRESS}/24 dev node0`,
    // A bridge without a port has no carrier.
    "ip link add node0p type veth peer name node0q",
    "ip link set node0p master node0 up",
    "ip link set node0q up",
    "ip link set node0 up",
    // kubelet and Services want a default route; it leads nowhere.
    "ip route add default via 10.99.0.254 dev node0",
    "echo 1 > /proc/sys/net/ipv4/ip_forward",
    "echo ready",
    "exec >/dev/null 2>&1",
    // As the first process it reaps what others leave.
    "trap : TERM INT HUP",
    "while :; do sleep 2147483647 & wait; done",
  ].join("\n")
}

/**
 * A process that waits for this one to end or to say so, then for the node's processes, and removes what no namespace
 * holds. It outlives a kill -9 of the test and a Ctrl-C.
 */
function startRemover(folder: string, pid: number): Subprocess<"pipe", "ignore", "ignore"> {
  const script = `
    trap : INT TERM HUP
    read -r line
    # The first process of a process namespace is gone only after all the others.
    tries=0
    while kill -0 "$2" 2>/dev/null; do
      tries=$((tries + 1)); [ $tries -lt 300 ] || exit 1
      sleep 0.1
    done
    for cgroup in ${cgroupHierarchies()
      .map(hierarchy => `${hierarchy}/"$3"`)
      .join(" ")}; do
      [ -d "$cgroup" ] && find "$cgroup" -depth -type d -exec rmdir {} +
    done
    rm -rf --one-file-system "$1" || exit 1
    exit 0`
  return Bun.spawn(["sh", "-c", script, "sh", folder, `${pid}`, basename(folder)], {
    stdin: "pipe",
    stdout: "ignore",
    stderr: "ignore",
    detached: true,
    env: { PATH: process.env.PATH ?? "" },
  })
}

/** Removes what is left where the remover was ended too: folders, and cgroups, whose test process is gone. */
function removeLeftovers(): void {
  for (const name of readdirSync(tmpdir()).filter(name => name.startsWith(PREFIX))) {
    const folder = join(tmpdir(), name)
    const owner = existsSync(join(folder, "owner")) ? readFileSync(join(folder, "owner"), "utf8") : ""
    const [pid = "0", started] = owner.split(" ")
    if (owner !== "" && startTimeOf(Number(pid)) === started) continue
    // Without a name of an owner it may be just being made, or just being removed.
    if (owner === "") continue
    for (const hierarchy of cgroupHierarchies()) {
      Bun.spawnSync(["find", join(hierarchy, name), "-depth", "-type", "d", "-exec", "rmdir", "{}", "+"])
    }
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Folders under which cgroups are made: one per controller of version 1, or the one of version 2. */
function cgroupHierarchies(): string[] {
  return readFileSync("/proc/mounts", "utf8")
    .split("\n")
    .map(line => line.split(" "))
    .filter(
      ([, at = "", type]) => (type === "cgroup" || type === "cgroup2") && at.startsWith("/sys/fs/cgroup"),
    )
    .map(([, at = ""]) => at)
}

function childrenOf(pid: number): number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim()
    return text === "" ? [] : text.split(" ").map(Number)
  } catch {
    return []
  }
}

/** Start time in clock ticks since boot, which with the pid names a process for good; empty when it is gone. */
function startTimeOf(pid: number): string {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1")
    return text.slice(text.lastIndexOf(")") + 2).split(" ")[19] ?? ""
  } catch {
    return ""
  }
}
