// The floors of the house: an import from a part that stands higher, or past a part's public face, fails the lint.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import biome from "../../biome.json" with { type: "json" }

const PARTS = ["protos", "proxy", "deploy", "control", "cli"] as const

/** Who may import whom; the rule in biome.json must say the same. */
const MAY_IMPORT: Readonly<Record<(typeof PARTS)[number], readonly string[]>> = {
  protos: [],
  proxy: ["protos"],
  deploy: ["protos"],
  control: ["protos", "deploy"],
  cli: ["protos", "deploy"],
}

let house = ""
let complaints = ""

beforeAll(async () => {
  house = await mkdtemp(join(tmpdir(), "conduit-floors-"))
  const { vcs: _, $schema: __, ...rules } = biome
  await writeFile(join(house, "biome.json"), JSON.stringify(rules))
  for (const part of PARTS) {
    for (const other of [...PARTS, "tests"].filter(one => one !== part)) {
      await writeImport(`${part}/room/imports_${other}.ts`, `../../${other}/mod.ts`)
    }
    if (part !== "protos") await writeImport(`${part}/room/imports_inside.ts`, "../../protos/gen/inside.ts")
  }
  const lint = Bun.spawn(
    ["node_modules/.bin/biome", "lint", "--reporter=github", "--max-diagnostics=none", house],
    {
      cwd: join(import.meta.dir, "../.."),
      env: { ...process.env, BIOME_CONFIG_PATH: house },
      stdout: "pipe",
      stderr: "pipe",
    },
  )
  complaints = await lint.stdout.text()
  await lint.exited
})

afterAll(async () => {
  await rm(house, { recursive: true })
})

async function writeImport(path: string, from: string): Promise<void> {
  const file = join(house, path)
  await mkdir(dirname(file), { recursive: true })
  await writeFile(file, `import { thing } from "${from}"\n\nconsole.log(thing)\n`)
}

function refused(path: string): boolean {
  return complaints.includes(`title=lint/style/noRestrictedImports,file=${join(house, path)},`)
}

for (const part of PARTS) {
  test(`${part}/ may import ${MAY_IMPORT[part].join(" and ") || "no other part"}, and nothing else`, () => {
    for (const other of [...PARTS, "tests"].filter(one => one !== part)) {
      const file = `${part}/room/imports_${other}.ts`
      expect({ file, refused: refused(file) }).toEqual({ file, refused: !MAY_IMPORT[part].includes(other) })
    }
  })
}

test("a part is entered by its mod.ts only", () => {
  for (const part of PARTS.filter(one => one !== "protos")) {
    expect({ part, refused: refused(`${part}/room/imports_inside.ts`) }).toEqual({ part, refused: true })
  }
})
