// The Gateway API's own conformance suite for meshes, profiles MESH-HTTP and MESH-GRPC, with its echo servers built from
// source into images of the names that its manifests have. https://gateway-api.sigs.k8s.io/concepts/conformance/
import { afterAll, beforeAll, expect, test } from "bun:test"
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parse, parseAllDocuments } from "yaml"
import { imageArchive, layerOf } from "../../deploy/images/mod.ts"
import packageJson from "../../package.json" with { type: "json" }
import { Authority } from "./certificates.ts"
import { gatewayCrds, gatewayModule } from "./gateway_api.ts"
import { ensureGoProgram } from "./go_program.ts"
import { INSTALL_FLAGS, Mesh } from "./mesh.ts"
import { ARCHITECTURE } from "./test_images.ts"

const ROOT = join(import.meta.dir, "../..")
/** Kept for who wants to see it, or to hand it in. */
const REPORT = join(ROOT, ".build/conformance/gateway-api-mesh.yaml")
const LOG = join(REPORT, "../suite.log")
/** Longest run of the suite, in milliseconds: two minutes on a machine that does nothing else. */
const SUITE_DEADLINE_MS = 10 * 60_000
/** Every feature of meshes beyond the core, in Gateway API 1.5. */
const EXTENDED_FEATURES = [
  "MeshClusterIPMatching",
  "MeshConsumerRoute",
  "MeshHTTPRouteBackendRequestHeaderModification",
  "MeshHTTPRouteNamedRouteRule",
  "MeshHTTPRouteQueryParamMatching",
  "MeshHTTPRouteRedirectPath",
  "MeshHTTPRouteRedirectPort",
  "MeshHTTPRouteRewritePath",
  "MeshHTTPRouteSchemeRedirect",
  // Features of routes of any kind, which tests of meshes ask for as well.
  "HTTPRoute303RedirectStatusCode",
  "HTTPRoute307RedirectStatusCode",
  "HTTPRoute308RedirectStatusCode",
  "HTTPRouteParentRefPort",
  "HTTPRouteResponseHeaderModification",
]

/** A provisional test that applies another one's manifest (tests/mesh/httproute-307-redirect.go), so that none can pass it. */
const BROKEN = "MeshHTTPRoute307Redirect"

/** What we read of the suite's report. */
interface Report {
  readonly profiles: readonly {
    readonly name: string
    readonly core: Outcome
    readonly extended?: Outcome & { readonly unsupportedFeatures?: readonly string[] }
  }[]
  readonly succeededProvisionalTests?: readonly string[]
}

interface Outcome {
  readonly result: string
  readonly statistics: { readonly Passed: number; readonly Skipped: number; readonly Failed: number }
  readonly failedTests?: readonly string[]
  readonly skippedTests?: readonly string[]
}

let mesh: Mesh
let suite = ""
let said = ""
let code: number | null = null
let report: Report

beforeAll(async () => {
  suite = await ensureGoProgram({
    name: "gateway-conformance",
    module: "conformance",
    of: "sigs.k8s.io/gateway-api/conformance",
    tests: true,
  })
  const folder = mkdtempSync(join(tmpdir(), "conduit-echo-"))
  try {
    const archive = join(folder, "echo.tar")
    writeFileSync(archive, await echoImage(folder))
    mesh = await Mesh.up()
    await mesh.cluster.loadImage(archive)
  } finally {
    rmSync(folder, { recursive: true })
  }
  await mesh.apply(await gatewayCrds())
  await mesh.apply((await mesh.conduit(["install", ...INSTALL_FLAGS])).stdout)
  await mesh.controlPlaneRolledOut()
  await mesh.injectedNamespace("probe")
  await startEchoServers()
  await runSuite()
}, 40 * 60_000)

afterAll(async () => {
  await mesh?.[Symbol.asyncDispose]()
})

/** The suite's echo server, and the client that it runs in pods, under the name that its manifests have. */
async function echoImage(folder: string): Promise<Uint8Array> {
  const programs = await Promise.all(
    ["client", "server"].map(name =>
      ensureGoProgram({ name, module: "echo", of: `istio.io/istio/pkg/test/echo/cmd/${name}` }),
    ),
  )
  const [client = "", server = ""] = programs
  const authority = await Authority.create(folder)
  const pair = await authority.issue({ user: "echo", names: "DNS:echo" })
  const manifests = readFileSync(join(await gatewayModule("conformance"), "mesh/manifests.yaml"), "utf8")
  const names = new Set(
    [...manifests.matchAll(/^\s*image: (\S*echo-advanced\S*)$/gm)].map(([, name = ""]) => name),
  )
  expect(names.size).toBe(1)
  const [name = ""] = names
  const file = (path: string, mode: number, from: string) => ({ path, mode, content: readFileSync(from) })
  const layer = layerOf([
    file("usr/bin/client", 0o755, client),
    file("usr/bin/server", 0o755, server),
    file("cert.crt", 0o644, pair.certificate),
    file("cert.key", 0o644, pair.key),
  ])
  return imageArchive({
    name,
    architecture: ARCHITECTURE,
    layers: [layer],
    entrypoint: ["/usr/bin/server"],
    user: "1338:1338",
  }).archive
}

/** The suite's echo servers, meshed: it takes a namespace without pods for ready, and then finds none. */
async function startEchoServers(): Promise<void> {
  const text = readFileSync(join(await gatewayModule("conformance"), "mesh/manifests.yaml"), "utf8")
  const objects = parseAllDocuments(text).map(document => document.toJS())
  const annotations = { "conduit.io/inject": "enabled" }
  const namespaces = objects.filter(({ kind }) => kind === "Namespace")
  await mesh.applyObjects(namespaces.map(one => ({ ...one, metadata: { ...one.metadata, annotations } })))
  await mesh.applyObjects(objects.filter(({ kind }) => kind !== "Namespace"))
  for (const { metadata } of namespaces) {
    await mesh.rolledOut(metadata.name, ...(await mesh.deployments(metadata.name)))
  }
}

async function runSuite(): Promise<void> {
  mkdirSync(join(REPORT, ".."), { recursive: true })
  rmSync(REPORT, { force: true })
  const flags = {
    "conformance-profiles": "MESH-HTTP,MESH-GRPC",
    "supported-features": EXTENDED_FEATURES.join(","),
    "skip-tests": BROKEN,
    "namespace-annotations": "conduit.io/inject=enabled",
    "cleanup-base-resources": "false",
    organization: "conduit",
    project: "conduit",
    url: "https://conduit.io",
    version: packageJson.version,
    contact: "none",
    "report-output": REPORT,
  }
  const child = Bun.spawn(
    [
      suite,
      "-test.run=TestConformance",
      "-test.v",
      ...Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`),
    ],
    {
      env: { ...process.env, KUBECONFIG: mesh.cluster.kubeconfig },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "inherit",
      timeout: SUITE_DEADLINE_MS,
    },
  )
  const [text, ended] = await Promise.all([child.stdout.text(), child.exited])
  said = text
  code = ended
  writeFileSync(LOG, said)
  if (!existsSync(REPORT)) throw new Error(`the suite ended with ${code} and wrote no report:\n${failures()}`)
  report = parse(readFileSync(REPORT, "utf8")) as Report
}

/** The suite's lines of failures, with what came before each. */
function failures(): string {
  const lines = said.split("\n")
  const failed = lines.flatMap((line, at) =>
    line.includes("--- FAIL") ? lines.slice(Math.max(0, at - 12), at + 1) : [],
  )
  return (failed.length > 0 ? failed : lines.slice(-60)).join("\n")
}

test("the suite passes, and skips no test of meshes but a broken one", () => {
  if (code !== 0) console.log(failures())
  expect(code).toBe(0)
  const ended = [...said.matchAll(/^ {4}--- (\w+): TestConformance\/(Mesh\w+)/gm)]
  expect(ended.filter(([, result]) => result !== "PASS").map(([, , name]) => name)).toEqual([BROKEN])
  expect(ended.length).toBeGreaterThan(20)
})

for (const name of ["MESH-HTTP", "MESH-GRPC"]) {
  test(`${name}: the core in full, and every extended feature, with no test skipped`, () => {
    const profile = report.profiles.find(one => one.name === name)
    if (profile === undefined) throw new Error(`the report has no ${name}`)
    console.log(
      `${name}: core ${profile.core.statistics.Passed} passed, extended ${profile.extended?.statistics.Passed ?? 0} passed`,
    )
    for (const outcome of [profile.core, profile.extended].filter(one => one !== undefined)) {
      expect(outcome).toMatchObject({ result: "success", statistics: { Skipped: 0, Failed: 0 } })
      expect(outcome.statistics.Passed).toBeGreaterThan(0)
    }
    expect(profile.extended?.unsupportedFeatures ?? []).toEqual([])
  })
}
