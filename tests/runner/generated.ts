// Checks that protos/gen is what buf generates from protos/ now; names each file that is not.
import { mkdtemp, readdir, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

const root = join(import.meta.dir, "../..")
const fresh = await mkdtemp(join(tmpdir(), "conduit-generated-"))
try {
  const buf = Bun.spawnSync(["buf", "generate", "--output", fresh], { cwd: root, stderr: "inherit" })
  if (!buf.success) throw new Error(`buf generate ended with exit code ${buf.exitCode}`)
  const wanted = await contents(join(fresh, "protos/gen"))
  const committed = await contents(join(root, "protos/gen"))
  const differing = [...new Set([...wanted.keys(), ...committed.keys()])]
    .filter(file => wanted.get(file) !== committed.get(file))
    .sort()
  for (const file of differing)
    console.error(`protos/gen/${file} is not what buf generates: npm run generate`)
  if (differing.length > 0) process.exitCode = 1
} finally {
  await rm(fresh, { recursive: true })
}

async function contents(folder: string): Promise<Map<string, string>> {
  const files = new Map<string, string>()
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    files.set(path.slice(folder.length + 1), await Bun.file(path).text())
  }
  return files
}
