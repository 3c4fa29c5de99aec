// What plugin_new_test.ts and plugin_new_go_test.ts share: a project as `conduit plugin new` makes it, built and tested with its
// own toolchain, applied to a running mesh, and seen there.
import { expect } from "bun:test"
import { rmSync } from "node:fs"
import { join } from "node:path"
import { conduit, DevMesh, PROJECT_ROOT, run } from "../lab/dev_mesh.ts"
import { tempFolder } from "../lab/temp_folder.ts"

/** Longest wait for what takes a second. */
const PATIENCE_MS = 60_000
/** Longest wait for a toolchain that has to fetch everything. */
const BUILD_MS = 280_000

/** Answers, fails where it is asked to, and prints what it is posted. */
const SERVER = `Bun.serve({ hostname: "0.0.0.0", port: 8080, async fetch(request) {
  if (request.method === "POST") console.log(await request.text())
  return new Response("hello", { status: request.url.endsWith("/fail") ? 500 : 200 })
} })`

function deployment(name: string, command: readonly string[], labels: object = {}): object {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace: "default" },
    spec: {
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name, ...labels } },
        spec: { containers: [{ name: "app", image: "app", command }] },
      },
    },
  }
}

function service(name: string, port: number): object {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "default" },
    spec: { selector: { app: name }, ports: [{ name: "http", port, targetPort: 8080 }] },
  }
}

/** A mesh with a client, a webhook called `hook`, and `web`, which projects close at first. @param labels of web's pods */
export async function meshToChange(labels: object = {}): Promise<DevMesh> {
  const program = [process.execPath, "-e", SERVER]
  const objects = [
    deployment("web", program, labels),
    service("web", 80),
    deployment("hook", program),
    service("hook", 8080),
    deployment("client", ["sleep", "infinity"]),
  ]
  return await DevMesh.up({ name: "new", objects })
}

/**
 * Makes a project, and has it change the mesh.
 *
 * @param install  shell script that installs what it needs, in its folder
 * @param ownTests  shell script that runs its tests
 */
export async function projectChangesMesh(
  mesh: DevMesh,
  language: string,
  { install, ownTests }: { readonly install: string; readonly ownTests: string },
): Promise<void> {
  const name = `closes-${language}`
  const temporary = tempFolder(name)
  const folder = join(temporary, name)
  const inFolder = async (script: string): Promise<void> => {
    const { status, stdout, stderr } = await run(["sh", "-c", `cd "$0" && ${script}`, folder], {
      timeoutMs: BUILD_MS,
    })
    if (status !== 0) throw new Error(`${language}: ${script} ended with ${status}:\n${stdout}${stderr}`)
  }
  const made = await run([
    "sh",
    "-c",
    `cd "$0" && "$1" "$2" plugin new ${name} --lang ${language}`,
    temporary,
    process.execPath,
    join(PROJECT_ROOT, "cli/main.ts"),
  ])
  expect(made.stderr).toContain(`in ./${name}`)
  const startMs = performance.now()
  await inFolder(install)
  const builtMs = performance.now()
  await inFolder(ownTests)
  const appliedMs = performance.now()
  expect(await statusOf(mesh)).toBe("200")
  const applied = await conduit(["dev", "apply", "-f", join(folder, "plugin.yaml"), "--name", mesh.name])
  expect(applied.status).toBe(0)
  await eventually("web is closed", async () => (await statusOf(mesh)) === "403", mesh)
  console.log(
    `${language}: installed in ${seconds(builtMs - startMs)}, own tests in ${seconds(appliedMs - builtMs)}, the mesh is another ${seconds(performance.now() - appliedMs)} after conduit dev apply`,
  )
  const listed = await mesh.cli("plugin", "list", "-o", "json")
  expect(JSON.parse(listed.stdout)).toMatchObject([{ name, state: "Ready" }])
  await kitPasses(mesh, name, join(folder, "plugin.yaml"))
  await conduit(["dev", "delete", "-f", join(folder, "plugin.yaml"), "--name", mesh.name])
  await eventually("web is open", async () => (await statusOf(mesh)) === "200", mesh)
  rmSync(temporary, { recursive: true })
}

/** Has the conformance kit try a plugin where it runs. @param file  its Plugin object */
export async function kitPasses(mesh: DevMesh, name: string, file?: string): Promise<void> {
  const kit = [process.execPath, join(PROJECT_ROOT, "cli/main.ts"), "plugin", "check", "127.0.0.1:9090"]
  const words = [...kit, ...(file === undefined ? [] : ["-f", file]), "-o", "json"]
  const { stdout, stderr, status } = await mesh.exec("conduit-plugins", name, words)
  if (stdout === "") throw new Error(`plugin check of ${name} ended with ${status}: ${stderr}`)
  const { findings } = JSON.parse(stdout) as { findings: { check: string; state: string }[] }
  // What an example cannot do without is a warning where the kit gives it none: a configuration.
  const bad = findings.filter(
    ({ check, state }) => state !== "ok" && check !== "Describe: the configuration fits",
  )
  expect(bad).toEqual([])
  expect(status).toBe(0)
}

/** Status that the client gets of web. */
export async function statusOf(mesh: DevMesh): Promise<string> {
  const curl = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "http://web.default/"]
  return (await mesh.exec("default", "client", curl)).stdout
}

/** Waits until something is so. @throws Error with what plugins say, when it never is */
export async function eventually(what: string, look: () => Promise<boolean>, mesh: DevMesh): Promise<void> {
  const end = performance.now() + PATIENCE_MS
  while (performance.now() < end) {
    if (await look()) return
    await Bun.sleep(100)
  }
  const { stdout } = await mesh.cli("plugin", "list", "-o", "json")
  throw new Error(`it never is so that ${what}; conduit plugin list:\n${stdout}`)
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}
