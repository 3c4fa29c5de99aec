// `conduit version`: versions of this program, of the control plane and of the proxies.
import manifest from "../package.json" with { type: "json" }
import { command } from "./command_line/command.ts"
import { openApi } from "./connect.ts"
import { GLOBAL_FLAGS } from "./flags.ts"
import { formatOf, renderData, writeOut } from "./output.ts"

/** Version of this program. */
export const CLIENT_VERSION: string = manifest.version

/** `conduit version`. */
export const version = command({
  meta: { name: "version", description: "Versions of client, control plane and proxies" },
  args: {
    ...GLOBAL_FLAGS,
    client: { type: "boolean", description: "only this program's version; asks no one" },
  },
  offers: { output: ["table", "json", "yaml"] },
  examples: [
    { line: "conduit version", why: "client, control plane, proxies" },
    { line: "conduit version --client -o json", why: "works without a mesh" },
  ],
  async run({ args }) {
    const format = formatOf(args.output, ["table", "json", "yaml"])
    const table = format === "table"
    if (args.client) {
      writeOut(
        table ? `client         ${CLIENT_VERSION}\n` : await renderData({ client: CLIENT_VERSION }, format),
      )
      return
    }
    // The client's own version is worth having also when no control plane answers.
    if (table) writeOut(`client         ${CLIENT_VERSION}\n`)
    await using plane = await openApi(args)
    const answer = await plane.call(api => api.version({}))
    const proxies = answer.proxies.map(proxy => ({ version: proxy.version, pods: proxy.pods }))
    if (!table) {
      writeOut(
        await renderData({ client: CLIENT_VERSION, controlPlane: answer.controlPlane, proxies }, format),
      )
      return
    }
    const counts = proxies.map(
      proxy => `${proxy.version} (${proxy.pods} ${proxy.pods === 1 ? "pod" : "pods"})`,
    )
    writeOut(
      `control plane  ${answer.controlPlane} (${plane.what})\nproxies        ${counts.join(", ") || "none report"}\n`,
    )
  },
})
