// What people get wrong, as one table: each mistake is answered by a sentence that names it and by the right exit
// code, never by a stack trace, and nothing is left behind.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs"
import { createServer, type Server } from "node:net"
import { join } from "node:path"
import { tempFolder } from "../lab/temp_folder.ts"

const ROOT = new URL("../..", import.meta.url).pathname
const TEST_MS = 60_000
const MESH = "bad-input"

interface Mistake {
  readonly what: string
  readonly words: readonly string[]
  readonly code: 1 | 2
  /** All of these stand on stderr. */
  readonly says: readonly string[]
  /** Environment of the command, besides that of the test. */
  readonly env?: Readonly<Record<string, string>>
}

function deployment(command: string): string {
  return `apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      containers:
        - { name: web, image: web, command: [${command}] }
`
}

let folder = ""
let taken: Server
let takenPort = 0

beforeAll(async () => {
  folder = tempFolder("bad-input")
  mkdirSync(join(folder, "empty"))
  const files: Readonly<Record<string, string | Uint8Array>> = {
    "good.yaml": deployment("sleep, infinity"),
    "not-yaml.yaml": "kind: Service\nmetadata: [broken\n",
    "unknown-kind.yaml": "apiVersion: example.com/v1\nkind: Widget\nmetadata: { name: w }\n",
    "no-containers.yaml": deployment("sleep").replace("containers:", "container:"),
    "no-command.yaml": deployment("sleep").replace(", command: [sleep]", ""),
    "binary.yaml": new Uint8Array(4096).fill(0x80),
    "exits.yaml": deployment('"false"'),
    "no-program.yaml": deployment("no-such-program"),
    "bad-port.yaml":
      "apiVersion: v1\nkind: Service\nmetadata: { name: web }\nspec:\n  ports:\n    - { port: 99999 }\n",
    "bad-setting.yaml": deployment("sleep, infinity").replace(
      "metadata: { labels: { app: web } }",
      'metadata: { labels: { app: web }, annotations: { config.conduit.io/skip-inbound-ports: "80,x" } }',
    ),
  }
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content)
  taken = createServer()
  await new Promise<void>(resolve => taken.listen(0, "127.0.0.1", resolve))
  const address = taken.address()
  takenPort = typeof address === "object" && address !== null ? address.port : 0
})

afterAll(() => {
  taken.close()
  rmSync(folder, { recursive: true, force: true })
})

async function run(command: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const child = Bun.spawn([process.execPath, ...command], {
    cwd: folder,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { PATH: process.env.PATH ?? "", HOME: folder, ...env },
  })
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ])
  return { stdout, stderr, code }
}

const CLI = join(ROOT, "cli/main.ts")
const up = (...words: string[]) => [CLI, "dev", "up", "--detach", "--name", MESH, ...words]
const nowhere = ["--api-addr", "127.0.0.1:1"]

const MISTAKES: readonly Mistake[] = [
  {
    what: "a manifest that is no YAML",
    words: up("-f", "not-yaml.yaml"),
    code: 1,
    says: ["not-yaml.yaml, document 1, line", "not YAML"],
  },
  { what: "a binary file", words: up("-f", "binary.yaml"), code: 1, says: ["binary.yaml, document 1"] },
  {
    what: "only an unknown kind",
    words: up("-f", "unknown-kind.yaml"),
    code: 1,
    says: ['unknown-kind.yaml, document 1, line 1: Widget "w" is ignored', "nothing to run"],
  },
  {
    what: "a Deployment without containers",
    words: up("-f", "no-containers.yaml"),
    code: 1,
    says: ["no-containers.yaml, document 1, line", 'containers of Deployment "web" is missing'],
  },
  {
    what: "a container without a command",
    words: up("-f", "no-command.yaml"),
    code: 1,
    says: ["no-command.yaml, document 1, line", "has no command"],
  },
  {
    what: "a Service with a port that is none",
    words: up("-f", "bad-port.yaml"),
    code: 1,
    says: ["bad-port.yaml, document 1, line", "99999"],
  },
  {
    what: "a setting that is no port list",
    words: up("-f", "bad-setting.yaml"),
    code: 1,
    says: ["skip-inbound-ports", '"x"'],
  },
  {
    what: "a file that does not exist",
    words: up("-f", "nope.yaml"),
    code: 1,
    says: ["nope.yaml: cannot be read"],
  },
  {
    what: "a folder without manifests",
    words: up("-f", "empty"),
    code: 1,
    says: ["empty: the folder holds no"],
  },
  { what: "no file at all", words: up(), code: 2, says: ["-f FILE is missing"] },
  {
    what: "a command that exits at once",
    words: up("-f", "exits.yaml"),
    code: 1,
    says: ["1 pod is not ready", "default/web-", "it ended with 1"],
  },
  {
    what: "a program that does not exist",
    words: up("-f", "no-program.yaml"),
    code: 1,
    says: ["default/web-", "no-such-program"],
  },
  {
    what: "a mesh name that is none",
    words: up("-f", "good.yaml", "--name", "a/b"),
    code: 2,
    says: ['"a/b"'],
  },
  {
    what: "a duration that is none",
    words: up("-f", "good.yaml", "--timeout", "soon"),
    code: 2,
    says: ["--timeout", '"soon"', "30s"],
  },
  {
    what: "an unknown flag",
    words: up("-f", "good.yaml", "--detatch"),
    code: 2,
    says: ["--detatch", "--detach"],
  },
  { what: "an unknown command", words: [CLI, "stta"], code: 2, says: ['did you mean "stat"'] },
  { what: "an unknown resource", words: [CLI, "stat", "widgets", ...nowhere], code: 2, says: ['"widgets"'] },
  {
    what: "a mesh that does not run",
    words: [CLI, "dev", "exec", "--name", MESH, "web", "--", "true"],
    code: 1,
    says: [`no local mesh "${MESH}" runs`],
  },
  {
    what: "an API address where nothing answers",
    words: [CLI, "stat", "deploy", ...nowhere],
    code: 1,
    says: ["cannot reach 127.0.0.1:1"],
  },
]

for (const { what, words, code, says, env } of MISTAKES) {
  test(
    `${what} is answered by a sentence`,
    async () => {
      const result = await run(words, env)
      for (const part of says) expect(result.stderr).toContain(part)
      expect(result.stderr).not.toMatch(/^\s+at .+:\d+:\d+\)?$/m)
      expect(result.stdout).toBe("")
      expect(result.code).toBe(code)
      expect(existsSync(`/run/conduit/dev/${MESH}`)).toBe(false)
      expect(existsSync(`/run/conduit/dev/${MESH}.log`)).toBe(false)
    },
    TEST_MS,
  )
}

test(
  "a port that is taken is named by dev up, which leaves nothing",
  async () => {
    const result = await run(up("-f", "good.yaml", "--forward", `${takenPort}:web:80`))
    expect(result.stderr).toContain(`${takenPort}`)
    expect(result.stderr).not.toMatch(/^\s+at .+:\d+:\d+\)?$/m)
    expect(result.code).toBe(1)
    expect(existsSync(`/run/conduit/dev/${MESH}`)).toBe(false)
  },
  TEST_MS,
)

const PROXY_ENV = {
  CONDUIT_PROXY_NAMESPACE: "default",
  CONDUIT_PROXY_POD: "web",
  CONDUIT_PROXY_DESTINATION_ADDR: "127.0.0.1:1",
  CONDUIT_PROXY_TELEMETRY_ADDR: "127.0.0.1:1",
}

test("a proxy whose port is taken says which, and exits 1", async () => {
  const env = { ...PROXY_ENV, CONDUIT_PROXY_OUTBOUND_PORT: `${takenPort}` }
  const result = await run([join(ROOT, "proxy/main.ts")], env)
  expect(result.stderr).toContain(`${takenPort}`)
  expect(result.stderr).not.toMatch(/^\s+at .+:\d+:\d+\)?$/m)
  expect(result.code).toBe(1)
})

test("a proxy with a control-plane address that is none says which variable, and exits 2", async () => {
  const env = { ...PROXY_ENV, CONDUIT_PROXY_DESTINATION_ADDR: "nowhere" }
  const result = await run([join(ROOT, "proxy/main.ts")], env)
  expect(result.stderr).toContain('CONDUIT_PROXY_DESTINATION_ADDR="nowhere"')
  expect(result.code).toBe(2)
})

test("a control plane told to do the unknown says what it can do, and exits 2", async () => {
  const result = await run([join(ROOT, "control/main.ts"), "everything"])
  expect(result.stderr).toContain('unknown service "everything"')
  expect(result.code).toBe(2)
})
