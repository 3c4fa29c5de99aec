// Manifests as people write them, and the sentence for each way to get one wrong.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { loadManifests } from "./load.ts"

let folder = ""

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "conduit-load-test-"))
})

afterAll(() => rmSync(folder, { recursive: true, force: true }))

function load(text: string) {
  const path = join(folder, "m.yaml")
  writeFileSync(path, text)
  return loadManifests([path])
}

function complaint(text: string): string {
  try {
    load(text)
  } catch (error) {
    return error instanceof Error ? error.message.replaceAll(folder, "") : ""
  }
  return "no complaint"
}

const POD = `apiVersion: v1
kind: Pod
metadata:
  name: a
spec:
  containers:
    - name: c
      command: [sleep, "1"]
`

test("documents, Lists and JSON become objects with a namespace", () => {
  const list = `{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"n"}}]}`
  const { objects, notes } = load(`${POD}---\n${list}\n---\n# nothing\n`)
  expect(objects.map(object => [object.kind, object.metadata.name, object.metadata.namespace])).toEqual([
    ["Pod", "a", "default"],
    ["Namespace", "n", undefined],
  ])
  expect(notes).toEqual([])
})

test("a kind that is not run is a note, not an error", () => {
  const { objects, notes } = load(`${POD}---\napiVersion: v1\nkind: Gizmo\nmetadata: { name: g }\n`)
  expect(objects).toHaveLength(1)
  expect(notes[0]).toContain('document 2, line 10: Gizmo "g" is ignored')
})

const POLICY = `apiVersion: policy.conduit.io/v1alpha1
kind: AuthorizationPolicy
metadata: { name: p }
spec:
  target: { kind: Pod, name: a, ports: [http] }
  action: Allow
  rules:
    - from:
        - networks: [10.0.0.0/8]
`

const WRONG: readonly (readonly [manifest: string, complaint: string])[] = [
  ["a: [b", "document 1, line 1: this is not YAML"],
  [`${POD}---\nkind: [x\n`, "document 2, line 11: this is not YAML"],
  ["- 1", "document 1, line 1: a manifest must be a mapping"],
  [POD.replace("  name: a", "  name: A_b"), 'line 4: "A_b" is not a name'],
  [
    POD.replace('command: [sleep, "1"]', "image: nginx:1"),
    'line 7: container "c" of Pod "a" has no command: image "nginx:1" is not run',
  ],
  [POD.replace('"1"', "1"), 'line 8: command of container "c" of Pod "a": 1 must be text'],
  [
    POD.replace('command: [sleep, "1"]', "command: sleep"),
    'line 8: command of container "c" of Pod "a" must be a list',
  ],
  [
    `${POD}      env: [{ name: A, value: 1 }]\n`,
    'line 9: variable A of container "c" of Pod "a" is number 1',
  ],
  [
    `${POD}      readinessProbe: { periodSeconds: 1 }\n`,
    'line 9: readinessProbe of container "c" of Pod "a" needs exactly one of',
  ],
  [
    `${POD}      ports: [{ containerPort: 99999 }]\n`,
    'line 9: containerPort of container "c" of Pod "a" is 99999',
  ],
  [
    `${POD}      volumeMounts: [{ name: v, mountPath: /v }]\n`,
    'line 9: container "c" mounts volume "v", which the pod does not have',
  ],
  [
    "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: web }\nspec:\n  replicas: 1\n",
    'line 4: spec.template is missing in Deployment "web"; a Deployment needs a pod template',
  ],
  [
    "apiVersion: v1\nkind: Service\nmetadata: { name: s }\nspec:\n  ports:\n    - port: 80\n    - port: 81\n",
    'line 6: Service "s" has several ports: each needs a name',
  ],
  [
    "apiVersion: v1\nkind: Secret\nmetadata: { name: s }\ndata: { key: not base64! }\n",
    'line 4: data "key" is not base64; stringData takes plain text',
  ],
  [
    "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: c }\nbinaryData: { key: abc }\n",
    'line 4: binaryData "key" is not base64; data takes plain text',
  ],
  [
    POLICY.replace("networks", "netwroks"),
    'line 9: spec.rules[0].from[0].netwroks of AuthorizationPolicy "p" is not a field (did you mean "networks"?)',
  ],
  [
    POLICY.replace("10.0.0.0/8", "10.0.0.0/40"),
    'line 9: spec.rules[0].from[0].networks[0] of AuthorizationPolicy "p" cannot be used',
  ],
  [POLICY.replace("Pod", "Service"), 'line 5: spec.target.kind of AuthorizationPolicy "p" is "Service"'],
  [
    `${POLICY}---\n${POD}      ports: [{ name: web, containerPort: 80 }]\n`,
    'document 1, line 5: spec.target.ports[0] of AuthorizationPolicy "p" is "http", but Pod "a" declares web (80)',
  ],
  [`${POD}---\n${POD}`, 'document 2, line 10: Pod "a" was already given'],
]

for (const [text, expected] of WRONG) {
  test(`the complaint is: ${expected}`, () => {
    expect(complaint(text)).toContain(expected)
  })
}

test("a selector that does not select its own pods is an error", () => {
  const text = `apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  selector:
    matchLabels:
      app: web
  template:
    metadata: { labels: { app: api } }
    spec: { containers: [{ name: c, command: [x] }] }
`
  expect(complaint(text)).toContain(
    'line 7: Deployment "web" selects pods with app=web, but its template makes pods without that label',
  )
})

test("folders are read without what is below them; missing files are named", () => {
  mkdirSync(join(folder, "d", "deep"), { recursive: true })
  writeFileSync(join(folder, "d", "a.yml"), POD)
  writeFileSync(join(folder, "d", "b.txt"), "not: read")
  writeFileSync(join(folder, "d", "deep", "c.yml"), "not: read")
  expect(loadManifests([join(folder, "d")]).objects).toHaveLength(1)
  expect(() => loadManifests([join(folder, "nope")])).toThrow("cannot be read: no such file or folder")
  mkdirSync(join(folder, "empty"))
  expect(() => loadManifests([join(folder, "empty")])).toThrow("the folder holds no .yaml, .yml, .json file")
})
