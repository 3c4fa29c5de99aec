// What plugin_new_test.ts and plugin_new_go_test.ts share: a project as `conduit plugin new` makes it, built and tested with its
// own toolchain, applied to a running mesh, and seen there.
import { expect } from "bun:test"
import { join } from "node:path"
import { conduit, DevMesh, PROJECT_ROOT, run } from "../lab/dev_mesh.ts"
import { tempFolder } from "../lab/temp_folder.ts"

/** Longest wait for what takes a second. */
const PATIENCE_MS = 60_000
/** Longest wait for a toolchain that has to fetch everything. */
const BUILD_MS = 280_000

const SERVER = 'Bun.serve({ hostname: "0.0.0.0", port: 8080, fetch: () => new Response("hello") })'

function deployment(name: string, command: readonly string[]): object {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace: "default" },
    spec: {
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: { containers: [{ name: "app", image: "app", command }] },
      },
    },
  }
}

/** A mesh with a client, and `web`, which projects close at first. */
export async function meshToChange(): Promise<DevMesh> {
  const web = {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "web", namespace: "default" },
    spec: { selector: { app: "web" }, ports: [{ name: "http", port: 80, targetPort: 8080 }] },
  }
  const objects = [
    deployment("web", [process.execPath, "-e", SERVER]),
    web,
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
  const folder = join(tempFolder(name), name)
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
    join(folder, ".."),
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
  await until(mesh, "403")
  console.log(
    `${language}: installed in ${seconds(builtMs - startMs)}, own tests in ${seconds(appliedMs - builtMs)}, the mesh is another ${seconds(performance.now() - appliedMs)} after conduit dev apply`,
  )
  const listed = await mesh.cli("plugin", "list", "-o", "json")
  expect(JSON.parse(listed.stdout)).toMatchObject([{ name, state: "Ready" }])
  const kit = [process.execPath, join(PROJECT_ROOT, "cli/main.ts"), "plugin", "check", "127.0.0.1:9090"]
  const checked = await mesh.exec("conduit-plugins", name, [
    ...kit,
    "-f",
    join(folder, "plugin.yaml"),
    "-o",
    "json",
  ])
  const { findings } = JSON.parse(checked.stdout) as { findings: { state: string }[] }
  expect(findings.filter(({ state }) => state !== "ok")).toEqual([])
  expect(checked.status).toBe(0)
  await conduit(["dev", "delete", "-f", join(folder, "plugin.yaml"), "--name", mesh.name])
  await until(mesh, "200")
}

async function statusOf(mesh: DevMesh): Promise<string> {
  const curl = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "http://web.default/"]
  return (await mesh.exec("default", "client", curl)).stdout
}

async function until(mesh: DevMesh, wanted: string): Promise<void> {
  const end = performance.now() + PATIENCE_MS
  let last = ""
  while (performance.now() < end) {
    last = await statusOf(mesh)
    if (last === wanted) return
    await Bun.sleep(100)
  }
  const { stdout } = await mesh.cli("plugin", "list")
  throw new Error(`web answers ${last} and not ${wanted}; conduit plugin list:\n${stdout}`)
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}
