// Programs as images have them: one file each, in which what is loaded on demand must still begin in the right order.
import { afterAll, expect, test } from "bun:test"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { bundleProgram } from "./program.ts"

const folder = mkdtempSync(join(tmpdir(), "conduit-program-"))
afterAll(() => rmSync(folder, { recursive: true }))

test("the command line as one file looks for local meshes and for a kubeconfig", async () => {
  const path = join(folder, "cli.js")
  writeFileSync(path, (await bundleProgram("cli/main.ts")).bytes)
  const env = { PATH: process.env.PATH ?? "", HOME: folder, XDG_RUNTIME_DIR: folder }
  const { stderr, exitCode } = Bun.spawnSync([process.execPath, path, "version"], { env, cwd: folder })
  expect(stderr.toString()).toStartWith("conduit: no control plane found: no local mesh runs on this machine")
  expect(exitCode).toBe(1)
}, 20_000)
