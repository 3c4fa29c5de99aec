// Images: the same bytes from the same input, and what they promise about themselves.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { gunzipSync } from "node:zlib"
import { buildImages, type WrittenImage } from "../../deploy/images/mod.ts"
import { ARCHITECTURE, TEST_IMAGES, TEST_TAG } from "./test_images.ts"

const folder = mkdtempSync(join(tmpdir(), "conduit-images-"))
let images: WrittenImage[] = []

async function build(name: string): Promise<WrittenImage[]> {
  return await buildImages({
    images: TEST_IMAGES,
    architectures: ["amd64", "arm64"],
    folder: join(folder, name),
    tag: TEST_TAG,
  })
}

beforeAll(async () => {
  images = await build("first")
}, 300_000)

afterAll(() => rmSync(folder, { recursive: true }))

/** A file of an image's tar, or of a layer. */
function fromTar(archive: string, path: string): Buffer {
  const { stdout, exitCode } = Bun.spawnSync(["tar", "--extract", "--to-stdout", "--file", archive, path])
  if (exitCode !== 0) throw new Error(`${archive} has no ${path}`)
  return stdout
}

/** A layer, unpacked into a tar file. */
function layerOf(image: WrittenImage, index: number): string {
  const { digest = "" } = read(image).layers[index] ?? {}
  const path = join(folder, "layer.tar")
  writeFileSync(path, gunzipSync(blob(image.path, digest)))
  return path
}

function blob(archive: string, digest: string): Buffer {
  return fromTar(archive, `blobs/${digest.replace(":", "/")}`)
}

/** Manifest and configuration, found as a runtime finds them. */
function read(image: WrittenImage): { layers: { digest: string }[]; config: Record<string, unknown> } {
  const index = JSON.parse(fromTar(image.path, "index.json").toString())
  const manifest = JSON.parse(blob(image.path, index.manifests[0].digest).toString())
  return { layers: manifest.layers, config: JSON.parse(blob(image.path, manifest.config.digest).toString()) }
}

test("built twice, every image is the same byte for byte", async () => {
  const again = await build("second")
  expect(again.map(image => image.digest)).toEqual(images.map(image => image.digest))
  for (const [index, image] of images.entries()) {
    const other = again[index]?.path ?? ""
    expect(readFileSync(image.path).equals(readFileSync(other))).toBe(true)
    const bom = (path: string): string => readFileSync(path.replace(/\.tar$/, ".cdx.json"), "utf8")
    expect(bom(other)).toBe(bom(image.path))
  }
}, 300_000)

test("each architecture has its own Bun and its own C library", () => {
  // ELF's e_machine: https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html
  const machine = { amd64: 62, arm64: 183 }
  for (const image of images.filter(one => one.name.startsWith("conduit/proxy:"))) {
    const { config } = read(image)
    expect(config.architecture).toBe(image.architecture)
    expect(fromTar(layerOf(image, 1), "usr/bin/bun").readUInt16LE(18)).toBe(machine[image.architecture])
  }
})

test("all images share the layers of Bun and the C library", () => {
  const ours = images.filter(image => image.architecture === ARCHITECTURE)
  const shared = ours.map(image =>
    read(image)
      .layers.slice(0, 2)
      .map(layer => layer.digest),
  )
  expect(new Set(shared.map(String)).size).toBe(1)
})

test("the proxy runs as its own user, and what it adds to the shared layers is small", () => {
  const proxy = images.find(image => image.name.startsWith("conduit/proxy:"))
  if (proxy === undefined) throw new Error("no image of the proxy")
  const { config, layers } = read(proxy)
  expect(config.config).toMatchObject({ User: "2102:2102", Entrypoint: ["/usr/bin/bun", "/app/proxy.js"] })
  expect(blob(proxy.path, layers[2]?.digest ?? "").length).toBeLessThan(200_000)
})

test("no file in an image knows where it was built", () => {
  const root = join(import.meta.dir, "../..")
  for (const image of images.filter(one => one.architecture === ARCHITECTURE)) {
    const own = readFileSync(layerOf(image, 2))
    expect({ image: image.name, at: own.indexOf(root) }).toEqual({ image: image.name, at: -1 })
  }
})

test("a bill of materials names Bun, what is linked into it, Debian's packages, and bundled ones, with licences", () => {
  const control = images.find(image => image.name.startsWith("conduit/control:"))
  const bom = JSON.parse(readFileSync(control?.path.replace(/\.tar$/, ".cdx.json") ?? "", "utf8"))
  const purls: string[] = bom.components.flatMap((one: { purl?: string }) => one.purl ?? [])
  for (const start of [
    "pkg:npm/%40oven/bun-linux-",
    "pkg:deb/debian/libc6@",
    "pkg:npm/%40connectrpc/connect@",
  ])
    expect(purls.filter(purl => purl.startsWith(start)).length).toBe(1)
  const names = bom.components.map((one: { name: string }) => one.name)
  expect(names).toContain("JavaScriptCore and WebCore")
  const unlicensed = bom.components.filter(
    (one: { licenses?: unknown; purl?: string }) => !one.licenses && !one.purl?.startsWith("pkg:deb/"),
  )
  expect(unlicensed).toEqual([])
})
