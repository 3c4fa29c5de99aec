// `conduit plugin new` in TypeScript and in Python: built with npm and with Debian's Python, to a changed mesh.
import { afterAll, beforeAll, test } from "bun:test"
import type { DevMesh } from "../lab/dev_mesh.ts"
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
  "a new plugin in TypeScript passes its tests and the kit, and changes a running mesh",
  async () => {
    await projectChangesMesh(mesh, "typescript", {
      install: "npm install --no-audit --no-fund",
      ownTests: "npm test",
    })
  },
  TEST_MS,
)

test(
  "a new plugin in Python passes its tests and the kit, and changes a running mesh",
  async () => {
    await projectChangesMesh(mesh, "python", {
      // grpcio and protobuf as Debian has them, the oldest that the project names.
      install: "/usr/bin/python3 -m venv --system-site-packages --without-pip .venv",
      ownTests: ".venv/bin/python -m unittest",
    })
  },
  TEST_MS,
)
