// `conduit plugin new` in Go, to a changed mesh; and the API's code in Go, which is what its generators make.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { type DevMesh, PROJECT_ROOT, run } from "../lab/dev_mesh.ts"
import { tempFolder } from "../lab/temp_folder.ts"
import { meshToChange, projectChangesMesh } from "./plugin_project.ts"

const TEST_MS = 300_000

let mesh: DevMesh

beforeAll(async () => {
  mesh = await meshToChange()
}, TEST_MS)

afterAll(async () => {
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
  "the API's code in Go is what its generators make (npm run generate:go)",
  async () => {
    const folder = tempFolder("go-stubs")
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
