// The Gateway API's own definitions of routes and grants, as its Go module has them.
import { existsSync, readFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** Release of the Gateway API: modules with their sums. */
const MODULES = {
  definitions: {
    path: "sigs.k8s.io/gateway-api@v1.5.1",
    sum: "h1:RqVRIlkhLhUO8wOHKTLnTJA6o/1un4po4/6M1nRzdd0=",
  },
  conformance: {
    path: "sigs.k8s.io/gateway-api/conformance@v1.5.1",
    sum: "h1:5eruSMKcwKnkX42PFek8oO6BgPNBD5FbWbTcRV76KIw=",
  },
} as const
/** Longest download, in milliseconds: it is 3 MB. */
const DOWNLOAD_DEADLINE_MS = 120_000

/** Kinds that the control plane reads, by their names in paths. */
export const GATEWAY_PLURALS = [
  "httproutes",
  "grpcroutes",
  "tlsroutes",
  "tcproutes",
  "referencegrants",
] as const

/**
 * Definitions of `GATEWAY_PLURALS` as YAML documents, for kubectl: the experimental channel, which alone has all of them.
 *
 * @throws Error saying what is missing
 */
export async function gatewayCrds(): Promise<string> {
  const folder = await gatewayModule("definitions")
  return GATEWAY_PLURALS.map(plural =>
    readFileSync(join(folder, `config/crd/experimental/gateway.networking.k8s.io_${plural}.yaml`), "utf8"),
  ).join("\n---\n")
}

/** Folder of a module of the Gateway API, fetched where it is not there yet. @throws Error saying what is missing */
export async function gatewayModule(name: keyof typeof MODULES): Promise<string> {
  const { path, sum } = MODULES[name]
  if (Bun.which("go") === null)
    throw new Error("cluster: the Gateway API's module is fetched by go, and there is none")
  const child = Bun.spawn(["go", "mod", "download", "-json", path], {
    cwd: tmpdir(),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: DOWNLOAD_DEADLINE_MS,
  })
  const [text, said] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  const { Dir = "", Sum = "", Error: error = said } = JSON.parse(text || "{}")
  if (!existsSync(Dir)) throw new Error(`cluster: ${path} could not be downloaded: ${error}`)
  if (Sum !== sum) throw new Error(`cluster: ${path} has the sum ${Sum}, not ${sum}`)
  return Dir
}
