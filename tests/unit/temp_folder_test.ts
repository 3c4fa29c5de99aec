// Tests that are killed from outside leave folders; the next ones sweep them, and nobody else's.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"

const MODULE = join(import.meta.dir, "../lab/temp_folder.ts")

let root = ""
const children: Bun.Subprocess[] = []
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "conduit-sweep-"))
})
afterAll(() => {
  for (const child of children) child.kill("SIGKILL")
  rmSync(root, { recursive: true, force: true })
})

/** A process that makes a folder with something in it, says where, and stays until it is killed. */
async function owner() {
  const script = `
    const { tempFolder } = await import(${JSON.stringify(MODULE)})
    const folder = tempFolder("lab")
    require("node:fs").mkdirSync(folder + "/in/side", { recursive: true })
    console.log(folder)
    setInterval(() => {}, 1000)`
  const child = Bun.spawn([process.execPath, "-e", script], {
    env: { ...process.env, TMPDIR: root },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  })
  children.push(child)
  let folder = ""
  for await (const bytes of child.stdout) {
    folder += Buffer.from(bytes).toString()
    if (folder.endsWith("\n")) break
  }
  return {
    folder: folder.trim(),
    async kill(): Promise<void> {
      child.kill("SIGKILL")
      await child.exited
    },
  }
}

test("folders of processes that were killed are swept by the next one, those of others are left", async () => {
  const [killed, alive] = [await owner(), await owner()]
  await killed.kill()
  expect(existsSync(killed.folder)).toBe(true)
  const foreign = ["conduit-lab-abcdef", "conduit-lab-1xabc", "conduitx-lab-999999999xabcdef", "other"]
  for (const name of foreign) mkdirSync(join(root, name))
  const next = await owner()
  expect(readdirSync(root).sort()).toEqual([...foreign, basename(alive.folder), basename(next.folder)].sort())
})
