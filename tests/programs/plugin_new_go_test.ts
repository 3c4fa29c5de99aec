// `conduit plugin new` in Go, to a changed mesh; and the API's code in Go, which is what its generators make.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { type DevMesh, PROJECT_ROOT, run } from "../lab/dev_mesh.ts"
import { tempFolder } from "../lab/temp_folder.ts"
import { eventually, kitPasses, meshToChange, projectChangesMesh } from "./plugin_project.ts"

const TEST_MS = 300_000

let mesh: DevMesh

beforeAll(async () => {
  mesh = await meshToChange()
}, TEST_MS)

const folders: string[] = []

afterAll(async () => {
  for (const folder of folders) rmSync(folder, { recursive: true })
  await mesh?.[Symbol.asyncDispose]()
}, TEST_MS)

test(
  "a new plugin in Go passes its tests and the kit, and changes a running mesh",
  async () => {
    await projectChangesMesh(mesh, "go", { install: "go build -o plugin .", ownTests: "go test ./..." })
  },
  TEST_MS,
)

test(
  "file-registry adds what its file has to a Service that Kubernetes has no endpoints of, and takes it back",
  async () => {
    const folder = tempFolder("registry")
    folders.push(folder)
    const program = join(folder, "file-registry")
    const source = join(PROJECT_ROOT, "deploy/plugins/file_registry")
    for (const words of [`build -o ${program} .`, "test ./..."]) {
      const { status, stderr } = await run(["sh", "-c", `cd ${source} && go ${words}`], {
        timeoutMs: TEST_MS,
      })
      expect({ status, stderr: status === 0 ? "" : stderr }).toEqual({ status: 0, stderr: "" })
    }
    const file = join(folder, "registry.json")
    const { ip } = await mesh.pod("default", "hook")
    const entry = {
      namespace: "default",
      service: "legacy",
      port: 80,
      endpoints: [{ address: ip, port: 8080 }],
    }
    writeFileSync(file, JSON.stringify([entry]))
    await mesh.apply(
      {
        apiVersion: "v1",
        kind: "Service",
        metadata: { name: "legacy", namespace: "default" },
        spec: { ports: [{ name: "http", port: 80, targetPort: 8080 }] },
      },
      {
        apiVersion: "conduit.io/v1alpha1",
        kind: "Plugin",
        metadata: { name: "file-registry" },
        spec: { command: ["env", `REGISTRY_FILE=${file}`, program], hooks: [{ name: "Destination" }] },
      },
    )
    const status = async (): Promise<string> => {
      const curl = [
        "curl",
        "-sS",
        "-m",
        "5",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "http://legacy.default/",
      ]
      return (await mesh.exec("default", "client", curl)).stdout
    }
    await eventually("legacy answers", async () => (await status()) === "200", mesh)
    await kitPasses(mesh, "file-registry")
    writeFileSync(file, "[]")
    await eventually("legacy has no endpoint", async () => (await status()) === "503", mesh)
  },
  TEST_MS,
)

test(
  "the API's code in Go is what its generators make (npm run generate:go)",
  async () => {
    const folder = tempFolder("go-stubs")
    folders.push(folder)
    const made = await run(["buf", "generate", "--template", "buf.gen.go.yaml", "--output", folder], {
      timeoutMs: TEST_MS,
    })
    expect(made).toMatchObject({ status: 0 })
    const contents = (root: string) =>
      readdirSync(join(root, "protos/go/v1"))
        .sort()
        .map(file => [file, readFileSync(join(root, "protos/go/v1", file), "utf8")])
    expect(contents(PROJECT_ROOT)).toEqual(contents(folder))
  },
  TEST_MS,
)
