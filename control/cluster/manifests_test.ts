// The manifests source: the shared table of cases, and what only a folder can do wrong.
import { afterEach, beforeEach, describe, expect, test } from "bun:test"
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DEBOUNCE_MS, ManifestsSource } from "./manifests.ts"
import { type KubernetesObject, SOURCE_CASES } from "./source_cases.ts"

let folder = ""
let source: ManifestsSource

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "conduit-manifests-"))
  source = new ManifestsSource(folder)
})

afterEach(() => {
  source.stop()
  rmSync(folder, { recursive: true, force: true })
})

function fileOf({ kind, metadata }: KubernetesObject): string {
  return `${kind}-${metadata.namespace ?? ""}-${metadata.name}.json`
}

function write(name: string, text: string): void {
  writeFileSync(join(folder, `.${name}`), text)
  renameSync(join(folder, `.${name}`), join(folder, name))
}

function problemLines(): string[] {
  return source.problems().map(({ where, message }) => `${where}: ${message}`)
}

describe("as every source", () => {
  for (const { name, steps } of SOURCE_CASES) {
    test(name, () => {
      for (const { put = [], remove = [], ask, answer } of steps) {
        for (const object of put) write(fileOf(object), JSON.stringify(object))
        for (const object of remove) rmSync(join(folder, fileOf(object)))
        source.scan()
        expect(problemLines()).toEqual([])
        expect(ask(source.store)).toEqual(answer)
      }
    })
  }

  test("a change tells which Services, addresses and pods may answer differently, once per batch", () => {
    const objects = SOURCE_CASES[0]?.steps[0]?.put ?? []
    for (const object of objects) write(fileOf(object), JSON.stringify(object))
    source.scan()
    const heard: string[][] = []
    source.store.subscribe(({ services, ips, pods }) => heard.push([...services, ...ips, ...pods].sort()))
    rmSync(join(folder, "Pod-shop-a.json"))
    source.scan()
    source.scan()
    expect(heard).toEqual([["10.0.0.1", "pod/shop/a", "service/shop/web"]])
  })
})

const SERVICE = `apiVersion: v1
kind: Service
metadata: { name: web, namespace: shop }
spec:
  clusterIP: 10.96.0.1
  ports:
    - port: 80
`

test("a file with several documents gives all of them, empty ones and Lists included", () => {
  const list = `---\n# nothing\n---\napiVersion: v1\nkind: List\nitems:\n  - { apiVersion: v1, kind: Namespace, metadata: { name: a } }\n  - { apiVersion: v1, kind: Namespace, metadata: { name: b } }\n`
  write("all.yml", `${SERVICE}${list}`)
  source.scan()
  expect(problemLines()).toEqual([])
  expect(
    source.store
      .namespaces()
      .map(({ name }) => name)
      .sort(),
  ).toEqual(["a", "b", "shop"])
  expect(source.store.serviceAt("10.96.0.1", 80)?.service.name).toBe("web")
})

test.each([
  [
    "a bad port",
    "  - port: 80",
    "  - port: eighty",
    'line 7: spec.ports[0].port must be a port from 1 to 65535, not "eighty" in Service "web"',
  ],
  [
    "a bad address",
    "10.96.0.1",
    "10.96.0.256",
    'line 5: spec.clusterIP must be an IP address, not "10.96.0.256" in Service "web"',
  ],
  ["a missing name", "name: web, ", "", "line 3: metadata.name is missing in a Service"],
  ["a missing kind", "kind: Service\n", "", "line 1: kind is missing"],
  [
    "a label that is no string",
    "namespace: shop",
    "namespace: shop, labels: { v: 1 }",
    'line 3: metadata.labels.v must be a string, not 1 in Service "web"',
  ],
  ["no mapping at all", SERVICE, "- just\n- a list\n", "line 1: the document must be a mapping"],
  ["no YAML", "metadata: {", "metadata: {{", "not YAML: "],
] as const)(
  "%s is named by file, document, line and field, and the last good state stays",
  (_name, from, to, sentence) => {
    write("web.yml", `# first\n---\n${SERVICE}`)
    source.scan()
    write("web.yml", SERVICE.replace(from, to))
    source.scan()
    expect(problemLines().join("\n")).toContain("web.yml, document 1, line ")
    expect(problemLines().join("\n")).toContain(sentence)
    expect(problemLines().join("\n")).toContain("last good state stays in force")
    expect(source.store.serviceAt("10.96.0.1", 80)?.service.name).toBe("web")
    write("web.yml", SERVICE.replace("10.96.0.1", "10.96.0.2"))
    source.scan()
    expect(problemLines()).toEqual([])
    expect(source.store.serviceAt("10.96.0.2", 80)?.service.name).toBe("web")
  },
)

test("a bad object does not keep the good ones beside it from changing", () => {
  write("all.yml", SERVICE)
  source.scan()
  write(
    "all.yml",
    `${SERVICE.replace("10.96.0.1", "10.96.0.2")}---\napiVersion: apps/v1\nkind: Deployment\nmetadata: { name: web }\nspec: {}\n`,
  )
  source.scan()
  expect(problemLines()).toEqual([
    'all.yml, document 2, line 12: spec.template is missing; a Deployment needs a pod template (is this a kustomize patch?) in Deployment "web"; the object\'s last good state stays in force',
  ])
  expect(source.store.serviceAt("10.96.0.2", 80)?.service.name).toBe("web")
})

test("a bad annotation is reported and ignored, the object stands", () => {
  write(
    "web.yml",
    SERVICE.replace(
      "namespace: shop",
      'namespace: shop, annotations: { config.conduit.io/opaque-ports: "80-" }',
    ),
  )
  source.scan()
  expect(problemLines()[0]).toContain(
    'metadata.annotations["config.conduit.io/opaque-ports"] "80-" is no port',
  )
  expect(source.store.service("shop", "web")?.opaquePorts).toBeNull()
})

test("an object defined twice is told, and the later file counts until it goes", () => {
  write("a.yml", SERVICE)
  write("b.yml", SERVICE.replace("10.96.0.1", "10.96.0.2"))
  source.scan()
  expect(problemLines()).toEqual(["b.yml: service/shop/web is also defined in a.yml; this one is in force"])
  expect(source.store.serviceAt("10.96.0.2", 80)).toBeDefined()
  rmSync(join(folder, "b.yml"))
  source.scan()
  expect(problemLines()).toEqual([])
  expect(source.store.serviceAt("10.96.0.1", 80)).toBeDefined()
})

test("aliases that explode are refused", () => {
  let bomb = 'a0: &a0 ["x","x","x","x","x","x","x","x","x","x"]\n'
  for (let level = 1; level < 9; level++)
    bomb += `a${level}: &a${level} [${new Array(9).fill(`*a${level - 1}`).join(",")}]\n`
  write("bomb.yml", bomb)
  source.scan()
  expect(problemLines()[0]).toContain("bomb.yml, document 1, line 1: not YAML: ")
})

test("hidden files, other files and folders do not count", () => {
  writeFileSync(join(folder, ".web.yml"), SERVICE)
  writeFileSync(join(folder, "README.md"), SERVICE)
  mkdirSync(join(folder, "more.yml"))
  source.scan()
  expect([source.store.size, problemLines()]).toEqual([0, []])
})

test("a folder that is not there yet is told, keeps the store unsynced, and is read when it comes", () => {
  rmSync(folder, { recursive: true })
  source.scan()
  expect(problemLines()[0]).toContain("cannot read the manifests folder (ENOENT)")
  expect(source.store.synced).toBe(false)
  mkdirSync(folder)
  source.scan()
  expect([source.store.synced, problemLines()]).toEqual([true, []])
})

test("a folder that vanishes takes nothing with it", () => {
  write("web.yml", SERVICE)
  source.scan()
  rmSync(folder, { recursive: true })
  source.scan()
  expect(source.store.serviceAt("10.96.0.1", 80)).toBeDefined()
})

test("a change on disk is in the store within 100 ms", async () => {
  source.start()
  const delays: number[] = []
  // The best of a few: a busy machine may delay one, the slow rescan would delay all.
  for (let change = 1; change <= 5; change++) {
    const heard = new Promise<number>(resolve => source.store.subscribe(() => resolve(performance.now())))
    await Bun.sleep(DEBOUNCE_MS)
    const written = performance.now()
    write("web.yml", SERVICE.replace("10.96.0.1", `10.96.1.${change}`))
    delays.push((await heard) - written)
  }
  expect(Math.min(...delays)).toBeLessThan(100)
})

const POLICY = `apiVersion: policy.conduit.io/v1alpha1
kind: AuthorizationPolicy
metadata: { name: web, namespace: shop }
spec:
  target: { kind: Deployment, name: web }
  action: Deny
  rules:
    - from: [{ networks: [10.0.0.0/8] }]
`

test("of a policy that cannot be understood the last good version stays in force, and every complaint is told", () => {
  write("policy.yaml", POLICY)
  source.scan()
  write("policy.yaml", POLICY.replace("Deny", "Dney").replace("networks", "network"))
  source.scan()
  expect([...source.store.policies()].map(({ policy }) => policy.action)).toEqual(["Deny"])
  const where = 'in AuthorizationPolicy "web"; the object\'s last good state stays in force'
  expect(problemLines()).toEqual([
    expect.stringMatching(
      /^policy.yaml, document 1, line 6: spec.action is "Dney" \(did you mean "Deny"\?\)/,
    ),
    expect.stringMatching(
      /^policy.yaml, document 1, line 8: spec.rules\[0\].from\[0\].network is not a field/,
    ),
    expect.stringContaining("names no client"),
  ])
  for (const line of problemLines()) expect(line).toEndWith(where)
  rmSync(join(folder, "policy.yaml"))
  source.scan()
  expect([...source.store.policies()]).toEqual([])
})
