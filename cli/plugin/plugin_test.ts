// `conduit plugin new` and `check` as people and pipelines meet them: a process, its two outputs and its exit code.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pluginV1 } from "../../protos/mod.ts"
import { LabPlugin } from "../plugin_kit/lab_plugin.ts"

const MAIN = join(import.meta.dir, "../main.ts")
let folder = ""

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "conduit-plugin-"))
})

afterAll(() => rmSync(folder, { recursive: true }))

async function conduit(...args: readonly string[]): Promise<{ out: string; err: string; code: number }> {
  const child = Bun.spawn([process.execPath, MAIN, "plugin", ...args], {
    ...{ cwd: folder, stdin: "ignore", stdout: "pipe", stderr: "pipe" },
  })
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  return { out, err, code }
}

test("new makes a project, says the three commands, and leaves one that is there alone", async () => {
  const { err, code } = await conduit("new", "quiet-hours", "--lang", "python")
  expect(code).toBe(0)
  expect(err).toContain("conduit dev apply -f plugin.yaml")
  const hook = join(folder, "quiet-hours/hook.py")
  writeFileSync(hook, "# mine\n")
  const again = await conduit("new", "quiet-hours", "--lang", "go")
  expect(again).toMatchObject({ code: 1, out: "" })
  expect(again.err).toContain("./quiet-hours is there already")
  expect(readFileSync(hook, "utf8")).toBe("# mine\n")
}, 20_000)

test("new takes a folder that is empty", async () => {
  mkdirSync(join(folder, "empty"))
  expect((await conduit("new", "empty", "--lang", "go", "--hook", "Destination")).code).toBe(0)
  expect(existsSync(join(folder, "empty/hook.go"))).toBe(true)
}, 20_000)

test("new says what is wrong with a name, a language and a hook", async () => {
  for (const [words, sentence] of [
    [["Bad_Name", "--lang", "go"], 'cannot name a plugin "Bad_Name"'],
    [["../up", "--lang", "go"], 'cannot name a plugin "../up"'],
    [["hours"], "needs --lang; it is one of typescript, python, go"],
    [["hours", "--lang", "pyton"], 'did you mean "python"?'],
    [["hours", "--lang", "go", "--hook", "polcy"], 'did you mean "policy"?'],
    [["hours", "--lang", "go", "--hook", "api"], "begin with deploy/plugins/cost"],
  ] as const) {
    const { err, code } = await conduit("new", ...words)
    expect({ words, err, code }).toEqual({ words, err: expect.stringContaining(sentence), code: 2 })
  }
  expect(existsSync(join(folder, "hours"))).toBe(false)
}, 30_000)

test("check takes the configuration of -f, writes JUnit, and exits 1 where something failed", async () => {
  await using plugin = await LabPlugin.start("version-is-no-semver", [pluginV1.Hook.CHECK])
  writeFileSync(
    join(folder, "plugin.yaml"),
    `apiVersion: conduit.io/v1alpha1
kind: Plugin
metadata: { name: lab }
spec:
  address: ${plugin.address}
  hooks: [{ name: Check, deadline: 3s }]
  configuration: { hours: 9-5 }
`,
  )
  const words = [
    plugin.address,
    "-f",
    "plugin.yaml",
    "--only",
    "Describe",
    "--junit",
    "kit.xml",
    "-o",
    "json",
  ]
  const { out, code } = await conduit("check", ...words)
  expect(code).toBe(1)
  const { passed, findings } = JSON.parse(out) as { passed: boolean; findings: Record<string, string>[] }
  expect(passed).toBe(false)
  const failed = findings.filter(({ state }) => state === "failed")
  expect(failed.map(({ check, came }) => [check, came])).toEqual([
    ["Describe: a version", 'version "latest"'],
  ])
  expect(findings.find(({ check }) => check === "Describe: the configuration fits")?.sent).toContain("9-5")
  expect(readFileSync(join(folder, "kit.xml"), "utf8")).toContain('failures="1"')
}, 30_000)

test("check says what is wrong with an address and a file", async () => {
  for (const [words, sentence, code] of [
    [["nowhere"], 'cannot call "nowhere"; write host:port', 2],
    [["127.0.0.1:99999"], 'cannot call "127.0.0.1:99999"', 2],
    [["127.0.0.1:1", "-f", "missing.yaml"], "-f missing.yaml cannot be read", 1],
    [["127.0.0.1:1", "--server-name", "x"], "--server-name needs --tls or --ca", 2],
    [["127.0.0.1:1", "--deadline", "1m"], "--deadline cannot be", 2],
  ] as const) {
    const ended = await conduit("check", ...words)
    expect({ words, ...ended }).toEqual({ words, out: "", err: expect.stringContaining(sentence), code })
  }
}, 30_000)
