// The documents at the root claim nothing that is not there: every path that they link exists, and every command of
// `conduit` that they show is one that the command line knows.
import { expect, test } from "bun:test"
import { existsSync, readFileSync, rmSync } from "node:fs"
import { join } from "node:path"
import manifest from "../../package.json" with { type: "json" }
import { tempFolder } from "../lab/temp_folder.ts"
import { DEBIAN_PACKAGES } from "../programs/every_program.ts"

const ROOT = join(import.meta.dir, "../..")
const DOCUMENTS = ["README.md", "API.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "CHECKS.md", "PLUGINS.md"]

function textOf(document: string): string {
  return readFileSync(join(ROOT, document), "utf8")
}

for (const document of DOCUMENTS) {
  test(`every path that ${document} links exists`, () => {
    const links = [...textOf(document).matchAll(/\]\(([^)#]+)/g)].map(match => match[1] ?? "")
    const paths = links.filter(link => !/^https?:/.test(link))
    expect(paths.filter(path => !existsSync(join(ROOT, path)))).toEqual([])
  })

  test(`every npm script that ${document} names exists`, () => {
    const names = [...textOf(document).matchAll(/npm run ([a-z:]+)/g)].map(match => match[1] ?? "")
    expect(names.filter(name => !(name in manifest.scripts))).toEqual([])
  })
}

test("every conduit command in the documents is one that the command line reads without complaint", async () => {
  const lines = DOCUMENTS.flatMap(document =>
    [...textOf(document).matchAll(/npx (conduit [^`<>|)]*)/g)].map(match => (match[1] ?? "").trim()),
  )
  expect(lines.length).toBeGreaterThan(5)
  const elsewhere = tempFolder("documents")
  for (const line of new Set(lines)) {
    const words = line.split(" ").slice(1)
    // Read, but never carried out: no control plane is there; what needs none, or goes on, is only asked for help.
    const harmless = ["dev", "check", "dashboard"].includes(words[0] ?? "") ? ["--help"] : []
    const child = Bun.spawn([process.execPath, join(ROOT, "cli/main.ts"), ...words, ...harmless], {
      // What a command makes where it stands is made where it is tidied up.
      cwd: elsewhere,
      env: { ...process.env, CONDUIT_API_ADDR: "127.0.0.1:1" },
      stdout: "pipe",
      stderr: "pipe",
    })
    const [said, code] = await Promise.all([child.stderr.text(), child.exited])
    expect({ line, said, wrongUsage: code === 2 }).toMatchObject({ line, wrongUsage: false })
  }
  rmSync(elsewhere, { recursive: true })
}, 60_000)

test("the README names every Debian package that the demo and the tests install, and no other", () => {
  const print =
    'import("./deploy/bootstrap/debian_packages.mjs").then(all => console.log(JSON.stringify(all.PURPOSES)))'
  const purposes = JSON.parse(Bun.spawnSync(["node", "-e", print], { cwd: ROOT }).stdout.toString())
  const listOf = (start: string): string[] => {
    const list = new RegExp(`- the ${start}:[^\`]*\`([^\`]+)\``).exec(textOf("README.md"))?.[1] ?? ""
    return list.split(/\s+/).sort()
  }
  expect(DEBIAN_PACKAGES.filter(name => !(name in purposes.test))).toEqual([])
  const demo = Object.keys(purposes.demo)
  expect(listOf("demo")).toEqual(demo.sort())
  expect(listOf("tests")).toEqual(
    Object.keys(purposes.test)
      .filter(name => !demo.includes(name))
      .sort(),
  )
})
