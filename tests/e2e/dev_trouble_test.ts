// `conduit dev` when things go wrong around it: a clear sentence, the right exit code, and nothing left behind.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { PROJECT_ROOT } from "../lab/dev_mesh.ts"
import { tempFolder } from "../lab/temp_folder.ts"

const TEST_MS = 60_000
const STATES = "/run/conduit/dev"
const NAME = `trouble-${process.pid}`

let folder = ""
beforeAll(() => {
  folder = tempFolder("trouble")
})
afterAll(async () => {
  await dev("down")
  rmSync(folder, { recursive: true, force: true })
})

interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

function start(before: readonly string[], ...words: string[]) {
  const line = [
    ...before,
    process.execPath,
    join(PROJECT_ROOT, "cli/main.ts"),
    "dev",
    ...words,
    "--name",
    NAME,
  ]
  return Bun.spawn(line, { stdin: "ignore", stdout: "pipe", stderr: "pipe" })
}

async function ended(child: ReturnType<typeof start>): Promise<Outcome> {
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ])
  return { code, stdout, stderr }
}

function dev(...words: string[]): Promise<Outcome> {
  return ended(start([], ...words))
}

function podFile(script: string, more: object = {}): string {
  const metadata = { name: "box", namespace: "x", annotations: { "conduit.io/inject": "disabled" } }
  const containers = [{ name: "box", command: ["sh", "-c", script], ...more }]
  const path = join(folder, "pod.json")
  const spec = { terminationGracePeriodSeconds: 30, containers }
  writeFileSync(path, JSON.stringify({ apiVersion: "v1", kind: "Pod", metadata, spec }))
  return path
}

const QUIET = "exec sleep infinity"
/** A pod that never gets ready, so that `up` is found at work. */
const NEVER_READY = { readinessProbe: { exec: { command: ["false"] } } }

function runnerPid(): number | null {
  try {
    return JSON.parse(readFileSync(join(STATES, NAME, "state.json"), "utf8")).runner.pid
  } catch {
    return null
  }
}

async function until<T>(what: string, look: () => T | null): Promise<T> {
  for (let waited = 0; waited < 20_000; waited += 10) {
    const found = look()
    if (found !== null) return found
    await Bun.sleep(10)
  }
  throw new Error(`not within 20 s: ${what}`)
}

/** Files and processes that belong to the mesh. */
function leftovers(): string[] {
  const files = existsSync(STATES) ? readdirSync(STATES).filter(name => name.startsWith(NAME)) : []
  const processes = readdirSync("/proc").filter(pid => {
    try {
      const line = readFileSync(`/proc/${pid}/cmdline`, "latin1")
      return /^\d+$/.test(pid) && line.includes(NAME) && !line.includes(`dev\0down`)
    } catch {
      return false
    }
  })
  return [...files, ...processes.map(pid => `process ${pid}`)]
}

test.each([
  ["detached", ["--detach"]],
  ["in the foreground", []],
])(
  "a full disk is named, %s",
  async (_how, flags) => {
    const script = `mkdir -p ${STATES} && mount -t tmpfs -o size=200k tmpfs ${STATES} && "$@"; code=$?; ls -A ${STATES}; exit $code`
    const inOwnMounts = ["unshare", "--mount", "sh", "-c", script, "sh"]
    const outcome = await ended(start(inOwnMounts, "up", "-f", podFile(QUIET), ...flags))
    expect(outcome.stderr).toContain(
      `the mesh's files cannot be written to ${STATES}/${NAME}: no space is left on its disk; a mesh needs some 10 MB there`,
    )
    expect(outcome).toMatchObject({ code: 1, stdout: "" })
    expect(leftovers()).toEqual([])
  },
  TEST_MS,
)

test(
  "of two that begin at the same moment one comes up and stays, the other says who has the name",
  async () => {
    const both = await Promise.all([0, 1].map(() => dev("up", "-f", podFile(QUIET), "--detach")))
    both.sort((a, b) => a.code - b.code)
    expect(both.map(({ code }) => code)).toEqual([0, 1])
    expect(both[0]?.stderr).toContain("is ready")
    expect(both[1]?.stderr).toContain(`a local mesh named "${NAME}" runs already`)
    expect((await dev("ps")).code).toBe(0)
    expect((await dev("down")).code).toBe(0)
    expect(leftovers()).toEqual([])
  },
  TEST_MS,
)

test.each([
  ["while it starts", () => runnerPid()],
  ["while its pods start", () => (existsSync(join(STATES, NAME, "control.sock")) ? runnerPid() : null)],
])(
  "a runner that is killed %s is told of at once, and leaves nothing",
  async (_when, look) => {
    const up = ended(start([], "up", "-f", podFile(QUIET, NEVER_READY), "--detach"))
    process.kill(await until("the runner lives", look), "SIGKILL")
    const { code, stderr } = await up
    expect([code, stderr]).toEqual([1, expect.stringMatching(/was ended (by SIGKILL )?before/)])
    expect(leftovers()).toEqual([])
  },
  TEST_MS,
)

test.each([
  ["while it starts", () => runnerPid()],
  ["while its pods start", () => (existsSync(join(STATES, NAME, "control.sock")) ? runnerPid() : null)],
])(
  "down %s ends it within seconds, and up says so",
  async (_when, look) => {
    const up = ended(start([], "up", "-f", podFile(QUIET, NEVER_READY), "--detach"))
    await until("the runner lives", look)
    const begunMs = performance.now()
    expect((await dev("down")).code).toBe(0)
    expect(performance.now() - begunMs).toBeLessThan(8_000)
    const { code, stderr } = await up
    expect([code, stderr]).toEqual([1, expect.stringMatching(/was ended (by SIGTERM )?before/)])
    expect(leftovers()).toEqual([])
  },
  TEST_MS,
)

test(
  "a pod that ignores SIGTERM does not hold up down",
  async () => {
    const file = podFile("trap '' TERM INT HUP; while :; do sleep 0.1; done")
    expect((await dev("up", "-f", file, "--detach")).code).toBe(0)
    const begunMs = performance.now()
    expect((await dev("down")).code).toBe(0)
    expect(performance.now() - begunMs).toBeLessThan(8_000)
    expect(leftovers()).toEqual([])
  },
  TEST_MS,
)

test(
  "a pod that writes 100 MB takes a bounded part of it, and its last words are kept",
  async () => {
    const file = podFile(
      "head -c 100000000 /dev/zero | tr '\\0' x; sleep 1; echo; echo last words; exec sleep infinity",
    )
    expect((await dev("up", "-f", file, "--detach")).code).toBe(0)
    const log = join(STATES, NAME, "logs/x/box/box.log")
    await until("it has written all", () =>
      readFileSync(log, "utf8").endsWith("last words\n") ? true : null,
    )
    const size = (path: string) => (existsSync(path) ? statSync(path).size : 0)
    await until("its log is short again", () => (size(log) <= 10 * 1024 * 1024 ? true : null))
    expect((await dev("logs", "box", "--tail", "1")).stdout).toBe("last words\n")
    expect((await dev("down")).code).toBe(0)
    expect(leftovers()).toEqual([])
  },
  TEST_MS,
)
