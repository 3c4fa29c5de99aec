// `conduit dev exec` as fingers used to kubectl expect it: input, output, signals, exit codes, terminals.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { createHash } from "node:crypto"
import { rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { DevMesh, PROJECT_ROOT } from "../lab/dev_mesh.ts"
import { tempFolder } from "../lab/temp_folder.ts"

const TEST_MS = 60_000

let mesh: DevMesh
let folder = ""

beforeAll(async () => {
  folder = tempFolder("exec")
  const metadata = { name: "box", namespace: "x", annotations: { "conduit.io/inject": "disabled" } }
  const spec = {
    terminationGracePeriodSeconds: 1,
    containers: [{ name: "box", command: ["sleep", "infinity"] }],
  }
  mesh = await DevMesh.up({ name: "exec", objects: [{ apiVersion: "v1", kind: "Pod", metadata, spec }] })
}, TEST_MS)

afterAll(async () => {
  await mesh?.[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
})

function words(...more: string[]): string[] {
  const cli = [process.execPath, join(PROJECT_ROOT, "cli/main.ts"), "dev", "exec", "--name", mesh.name]
  return [...cli, ...more]
}

interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

async function ended(
  child: Bun.Subprocess<"ignore" | Bun.BunFile | "pipe", "pipe", "pipe">,
): Promise<Outcome> {
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ])
  return { code, stdout, stderr }
}

/** A shell line with `$X` for `conduit dev exec`. */
async function shell(script: string): Promise<Outcome> {
  const line = words()
    .map(word => `'${word}'`)
    .join(" ")
  const command = ["bash", "-c", `x() { ${line} "$@"; }; ${script}`]
  return await ended(Bun.spawn(command, { stdin: "ignore", stdout: "pipe", stderr: "pipe" }))
}

/** Runs `exec` at a terminal of its own, with script(1); `keys` are typed once it has printed `ready`. */
async function atTerminal(ready: string, keys: string, ...command: string[]): Promise<Outcome> {
  const line = words(...command)
    .map(word => `'${word}'`)
    .join(" ")
  // script(1) asks $SHELL to run the line, and what stays there waiting would meet the Ctrl-C too: sh, taken where
  // SHELL is not set, would end by it and answer 130 in the command's place.
  const terminal = Bun.spawn(["script", "-qec", `exec ${line}`, "/dev/null"], {
    env: { ...process.env, SHELL: "/bin/sh" },
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
  })
  let seen = ""
  const text = new TextDecoder()
  for await (const bytes of terminal.stdout) {
    const before = seen
    seen += text.decode(bytes, { stream: true })
    if (before.includes(ready) || !seen.includes(ready)) continue
    terminal.stdin.write(keys)
    terminal.stdin.flush()
  }
  return { stdout: seen, stderr: await new Response(terminal.stderr).text(), code: await terminal.exited }
}

test.each([
  ["exit 0", 0],
  ["exit 9", 9],
  ["exit 255", 255],
  ["kill -TERM $$", 143],
  ["kill -KILL $$", 137],
])("%p ends it with %p", async (script, code) => {
  expect((await shell(`x box -- sh -c '${script}'`)).code).toBe(code)
})

test(
  "100 MB of input pass intact with -i",
  async () => {
    const input = join(folder, "input")
    const bytes = Buffer.alloc(100_000_000)
    for (let at = 0; at < bytes.length; at += 4) bytes.writeUInt32LE(Math.imul(at, 2654435761) >>> 0, at)
    writeFileSync(input, bytes)
    const sum = createHash("sha256").update(bytes).digest("hex")
    expect((await shell(`x -i box -- sha256sum < ${input}`)).stdout).toBe(`${sum}  -\n`)
    expect((await shell(`x -i box -- cat < ${input} | sha256sum`)).stdout).toBe(`${sum}  -\n`)
    expect((await shell(`cat ${input} | x -i box -- sha256sum`)).stdout).toBe(`${sum}  -\n`)
  },
  TEST_MS,
)

test("without -i a script's own input is left alone", async () => {
  const { stdout } = await shell(`printf 'a\\nb\\n' | while read line; do x box -- echo $line; done`)
  expect(stdout).toBe("a\nb\n")
})

test("a reader that has seen enough ends it quietly", async () => {
  const { stdout, stderr, code } = await shell(`x box -- sh -c 'yes; echo $? >&2' | head -n 2`)
  expect([stdout, code]).toEqual(["y\ny\n", 0])
  // 141: ended by SIGPIPE, as at home.
  expect(stderr).toBe("141\n")
})

test.each(["SIGTERM", "SIGINT", "SIGHUP"] as const)(
  "%s reaches the command, whose answer counts",
  async name => {
    const script = `trap 'echo heard; exit 7' ${name.slice(3)}; echo ready; while :; do sleep 0.05; done`
    const child = Bun.spawn(words("box", "--", "sh", "-c", script), {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    })
    const reader = child.stdout.getReader()
    let said = ""
    const readOn = async (until: string) => {
      while (!said.includes(until)) {
        const { value, done } = await reader.read()
        if (done) break
        said += Buffer.from(value).toString()
      }
    }
    await readOn("ready\n")
    child.kill(name)
    await readOn("heard\n")
    expect(said).toBe("ready\nheard\n")
    expect(await child.exited).toBe(7)
  },
)

test("a command that a signal ends is not left behind", async () => {
  const child = Bun.spawn(words("box", "--", "sleep", "4711"), {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  })
  const running = async () => (await shell("x box -- pgrep -f 'sleep 471[1]'")).stdout !== ""
  while (!(await running())) await Bun.sleep(50)
  child.kill("SIGTERM")
  expect(await child.exited).toBe(143)
  expect(await running()).toBe(false)
})

test(
  "-it gives a shell at this terminal, and Ctrl-C goes to the command alone",
  async () => {
    const seen = await atTerminal(
      "bash-",
      "tty; echo in$((40+2))\nexit 5\n",
      "-it",
      "box",
      "--",
      "bash",
      "--norc",
    )
    expect(seen.stdout).toContain("/dev/pts/")
    expect(seen.stdout).toContain("in42")
    expect(seen.code).toBe(5)
    const script = join(folder, "interrupted.sh")
    writeFileSync(script, "trap 'echo heard; exit 6' INT\necho ready\nwhile :; do sleep 0.1; done\n")
    const stopped = await atTerminal("ready", "\x03", "-t", "-i", "box", "--", "sh", script)
    expect([stopped.stdout.includes("heard"), stopped.code]).toEqual([true, 6])
  },
  TEST_MS,
)

test("-t without a terminal says so and goes on", async () => {
  const { stdout, stderr, code } = await shell("echo hello | x -it box -- cat")
  expect([stdout, stderr, code]).toEqual(["hello\n", "no terminal for -t: standard input is none\n", 0])
})
