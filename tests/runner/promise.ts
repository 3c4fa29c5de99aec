// Checks that plugins which were built before go on to work: the plugin API against protos/plugin_v1.binpb, which is what was
// promised last. `npm run generate:promise` promises what is there now; it belongs to a release, or to what none has had yet.
import { join } from "node:path"

const ROOT = join(import.meta.dir, "../..")

/** By file, since Python imports messages by it: neither wire, JSON nor source of plugins may break. */
const RULES = JSON.stringify({ version: "v2", breaking: { use: ["FILE"] } })

/** What is broken, a line each; empty when nothing is. @param protos  folder of the protos */
export function brokenPromises(protos: string): string {
  const { stdout, stderr, exitCode } = Bun.spawnSync(
    [
      ...["buf", "breaking", ".", "--path", "conduit/plugin", "--config", RULES],
      ...["--against", join(ROOT, "protos/plugin_v1.binpb")],
    ],
    { cwd: protos },
  )
  if (exitCode === 0) return ""
  return `${stdout}${stderr}` || `buf ended with ${exitCode}`
}

if (import.meta.main) {
  const broken = brokenPromises(join(ROOT, "protos"))
  if (broken !== "") {
    console.error(
      `${broken}plugins that were built before would break: add instead, or begin conduit.plugin.v2 (PLUGINS.md, "What may change")`,
    )
    process.exitCode = 1
  }
}
