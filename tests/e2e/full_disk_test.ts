// A disk that is really full: telemetry's history stops, says so once, and goes on by itself when there is room.
import { expect, test } from "bun:test"
import { mkdirSync, rmSync } from "node:fs"
import { join } from "node:path"
import { tempFolder } from "../lab/temp_folder.ts"

test("a full disk costs history, no answer of the live hour, and heals when there is room", () => {
  const folder = tempFolder("full-disk")
  try {
    const disk = join(folder, "disk")
    mkdirSync(disk)
    const program = join(import.meta.dir, "full_disk_main.ts")
    const mine = process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"]
    const script = 'mount -t tmpfs -o size=900k none "$1" && exec "$2" "$3" "$1"'
    const command = ["unshare", ...mine, "--mount", "sh", "-c", script, "sh", disk, process.execPath, program]
    const { exitCode, stdout, stderr } = Bun.spawnSync(command)
    expect({ exitCode, stderr: String(stderr) }).toEqual({ exitCode: 0, stderr: "ENOSPC\n" })
    const { full, healed, answered, lines } = JSON.parse(String(stdout))
    expect(full).toMatchObject({ healthy: false, failures: 30, setAside: 0 })
    // Sixty seconds of thirty callers.
    expect(answered).toBe(18_000)
    expect(lines).toEqual([
      expect.stringMatching(/^warn history: .* cannot be used: database or disk is full; /),
      expect.stringMatching(/^info history: .* can be used again$/),
    ])
    // What waited was written.
    expect(healed).toMatchObject({ healthy: true, lost: 0 })
    expect(healed.windows - full.windows).toBeGreaterThanOrEqual(30)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}, 60_000)
