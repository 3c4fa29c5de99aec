// Files of ConfigMaps and Secrets: what is in them, and what changes when the objects do.
import { afterEach, expect, test } from "bun:test"
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { TokenIssuer } from "../../identity/mod.ts"
import type { KubeObject } from "../objects/kube_object.ts"
import { PodSources } from "../pod_sources.ts"
import { filesOf, writeFiles } from "./volume_files.ts"
import { refreshVolumes } from "./volumes.ts"

const folders: string[] = []
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true })
})

const POD: KubeObject = { apiVersion: "v1", kind: "Pod", metadata: { name: "p", namespace: "n" }, spec: {} }
const SPEC = { containers: [] }

function object(kind: string, name: string, more: Partial<KubeObject>): KubeObject {
  return { apiVersion: "v1", kind, metadata: { name, namespace: "n" }, ...more }
}

function sourcesOf(...objects: KubeObject[]) {
  const known = new Map(objects.map(each => [`${each.kind}/n/${each.metadata.name}`, each]))
  return new PodSources(known, "/nowhere", new TokenIssuer("https://lab", Date.now), Date.now).of(POD)
}

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "conduit-volume-"))
  folders.push(path)
  return path
}

test("binaryData and Secrets come as the bytes that they are, text as text", () => {
  const bytes = Buffer.from([0, 255, 128, 10, 0])
  const sources = sourcesOf(
    object("ConfigMap", "conf", { data: { text: "grüß" }, binaryData: { raw: bytes.toString("base64") } }),
    object("Secret", "key", { data: { der: bytes.toString("base64") } }),
  )
  const conf = filesOf({ name: "v", configMap: { name: "conf" } }, SPEC, sources)
  expect(Buffer.from(conf.get("text")?.content ?? []).toString()).toBe("grüß")
  expect(Buffer.from(conf.get("raw")?.content ?? []).equals(bytes)).toBe(true)
  const secret = filesOf({ name: "v", secret: { secretName: "key", defaultMode: 0o400 } }, SPEC, sources)
  expect(Buffer.from(secret.get("der")?.content ?? []).equals(bytes)).toBe(true)
  expect(secret.get("der")?.mode).toBe(0o400)
})

test("a folder holds what it should after a change: new, changed, gone, and others untouched", () => {
  const path = folder()
  const file = (text: string) => ({ content: Buffer.from(text), mode: 0o644 })
  writeFiles(
    path,
    new Map([
      ["a", file("1")],
      ["sub/b", file("2")],
      ["c", file("3")],
    ]),
  )
  const untouched = statSync(join(path, "c")).ino
  writeFiles(
    path,
    new Map([
      ["a", file("one")],
      ["sub/d", file("4")],
      ["c", file("3")],
    ]),
  )
  const names = readdirSync(path, { recursive: true }).map(String).sort()
  expect(names).toEqual(["a", "c", "sub", "sub/d"])
  expect(readFileSync(join(path, "a"), "utf8")).toBe("one")
  expect(statSync(join(path, "c")).ino).toBe(untouched)
})

test("no key can write outside of its volume", () => {
  const sources = sourcesOf(object("ConfigMap", "conf", { data: { a: "x" } }))
  for (const path of ["../a", "a/../../b", "/etc/passwd"]) {
    const volume = { name: "v", configMap: { name: "conf", items: [{ key: "a", path }] } }
    expect(() => filesOf(volume, SPEC, sources)).toThrow("would leave its volume")
  }
})

test("volumes follow their objects, and keep what they have when an object goes", () => {
  const path = folder()
  const spec = { containers: [], volumes: [{ name: "v", configMap: { name: "conf" } }] }
  const shown = () => readFileSync(join(path, "volumes", "v", "a"), "utf8")
  refreshVolumes(spec, path, sourcesOf(object("ConfigMap", "conf", { data: { a: "1" } })))
  expect(shown()).toBe("1")
  refreshVolumes(spec, path, sourcesOf(object("ConfigMap", "conf", { data: { a: "2" } })))
  expect(shown()).toBe("2")
  refreshVolumes(spec, path, sourcesOf())
  expect(shown()).toBe("2")
})
