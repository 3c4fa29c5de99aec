// Reading manifests from everywhere: bounded, as text, and with a sentence for whatever goes wrong.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseAllDocuments } from "yaml"
import { type InputWorld, joinTexts, readInputs } from "./inputs.ts"

let folder = ""
let server: ReturnType<typeof Bun.serve>

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "conduit-inputs-"))
  mkdirSync(join(folder, "k8s/deeper/.hidden"), { recursive: true })
  mkdirSync(join(folder, "empty"))
  writeFileSync(join(folder, "k8s/b.yml"), "b: 1\n")
  writeFileSync(join(folder, "k8s/a.json"), "{}")
  writeFileSync(join(folder, "k8s/read.me"), "no manifest")
  writeFileSync(join(folder, "k8s/.secret.yml"), "hidden: 1\n")
  writeFileSync(join(folder, "k8s/deeper/c.yaml"), "c: 1\n")
  writeFileSync(join(folder, "k8s/deeper/.hidden/d.yaml"), "d: 1\n")
  symlinkSync(join(folder, "k8s"), join(folder, "k8s/deeper/loop"))
  writeFileSync(join(folder, "binary"), new Uint8Array([1, 0, 2]))
  writeFileSync(join(folder, "latin"), new Uint8Array([0x61, 0xe9, 0x62]))
  writeFileSync(join(folder, "wide"), new Uint8Array([0xff, 0xfe, 0x61, 0]))
  writeFileSync(join(folder, "bom"), "\ufeffa: 1\n")
  writeFileSync(join(folder, "large"), "x".repeat(2000))
  server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch(request) {
      switch (new URL(request.url).pathname) {
        case "/ok":
          return new Response("ok: 1\n")
        case "/page":
          return new Response("<html>", { headers: { "content-type": "text/html; charset=utf-8" } })
        case "/endless":
          return new Response(
            new ReadableStream({
              pull: controller => controller.enqueue(new TextEncoder().encode("x".repeat(500))),
            }),
          )
        case "/silent":
          return new Promise<Response>(() => {})
        default:
          return new Response("", { status: 404 })
      }
    },
  })
})

afterAll(async () => {
  await server.stop(true)
  rmSync(folder, { recursive: true })
})

function world(stdin = ""): InputWorld {
  return {
    stdin: () => new Blob([stdin]).stream() as unknown as AsyncIterable<Uint8Array>,
    fetch,
    fetchTimeoutMs: 300,
    maxBytes: 1000,
  }
}

async function read(...paths: string[]): Promise<string[]> {
  return (await readInputs(paths, world("in: 1\n"))).map(input => input.text)
}

function failure(path: string, stdin?: string): Promise<string> {
  return readInputs([path], world(stdin)).then(
    () => "it was read",
    (error: Error) => error.message,
  )
}

test("files, folders with all below them, addresses and standard input come in the order given", async () => {
  const address = `http://127.0.0.1:${server.port}/ok`
  expect(await read("-", join(folder, "k8s"), address)).toEqual([
    "in: 1\n",
    "{}",
    "b: 1\n",
    "c: 1\n",
    "ok: 1\n",
  ])
})

test("a byte order mark is kept", async () => {
  expect(await read(join(folder, "bom"))).toEqual(["\ufeffa: 1\n"])
})

test("whatever cannot be used has its sentence", async () => {
  const at = (name: string): string => join(folder, name)
  const web = (path: string): string => `http://127.0.0.1:${server.port}${path}`
  for (const [path, sentence] of [
    [at("none.yml"), "none.yml: cannot be read: no such file or folder"],
    [at("empty"), "empty: no .yaml, .yml, .json file is below this folder"],
    [at("binary"), "binary: this is no text but binary data"],
    [at("latin"), "latin: this is no UTF-8 text"],
    [at("wide"), "wide: this is UTF-16 text; save it as UTF-8"],
    [at("large"), "large: this is too large"],
    [web("/missing"), "/missing: the server answered 404"],
    [web("/page"), "/page: this is a web page (text/html; charset=utf-8), not a manifest"],
    [web("/endless"), "/endless: this is too large"],
    [web("/silent"), "/silent: cannot be fetched: no whole answer within 0.3 s"],
    ["http://127.0.0.1:1/", "cannot be fetched: nobody listens there"],
  ] as const)
    expect(await failure(path)).toContain(sentence)
  expect(await failure("-", " \n")).toContain("standard input is empty")
  expect(await failure("-", "x".repeat(1001))).toContain("standard input: this is too large")
})

test("standard input is read once only", async () => {
  expect(read("-", "-")).rejects.toThrow("can be read once only")
})

test("texts are joined into one stream of as many documents", () => {
  expect(joinTexts(["a: 1"])).toBe("a: 1")
  expect(joinTexts(["a: 1", "# b\n---\nb: 1\n", "c: 1\n"])).toBe("a: 1\n# b\n---\nb: 1\n---\nc: 1\n")
  expect(joinTexts(['{"a": 1}', '{"b": 1}\n'])).toBe('{"a": 1}\n{"b": 1}\n')
  const mixed = joinTexts(['{"a": 1}', "\ufeffb: 1\n", "%YAML 1.2\n---\nc: 1\n"])
  expect(mixed.startsWith("---\n")).toBe(true)
  const documents = parseAllDocuments(mixed)
  expect([...documents].map(one => one.toJS())).toEqual([{ a: 1 }, { b: 1 }, { c: 1 }])
})
