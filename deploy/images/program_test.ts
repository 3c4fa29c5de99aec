// Programs as they go into images: one file that runs without the project beside it.
import { afterAll, expect, test } from "bun:test"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { bundleProgram } from "./program.ts"

const folder = mkdtempSync(join(tmpdir(), "conduit-program-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test("the bundled command line makes a mesh's identity: its X.509 library finds the polyfill loaded", async () => {
  const { bytes } = await bundleProgram("cli/main.ts")
  const file = join(folder, "cli.js")
  writeFileSync(file, bytes)
  const child = Bun.spawn([process.execPath, file, "install"], {
    cwd: folder,
    env: { ...process.env, KUBECONFIG: join(folder, "none"), HOME: folder },
    stdout: "pipe",
    stderr: "pipe",
  })
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ])
  expect([code, err.includes("polyfill")]).toEqual([0, false])
  expect(out).toContain("-----BEGIN CERTIFICATE-----")
}, 30_000)
