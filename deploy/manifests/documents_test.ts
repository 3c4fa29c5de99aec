// What inject and uninject make of streams of objects: whom they treat, what they say, and what they refuse.
import { expect, test } from "bun:test"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { parse, parseAllDocuments, stringify } from "yaml"
import { loadManifests } from "../local/objects/load.ts"
import type { Report } from "./documents.ts"
import { type InjectRun, injectInputs } from "./inject_documents.ts"
import { uninjectInputs } from "./uninject_documents.ts"

const RUN: InjectRun = { namespace: "", conduitNamespace: "conduit", version: "0.1.0", onlyAnnotate: false }
const ROOT = join(import.meta.dir, "../..")

function inject(text: string, run: Partial<InjectRun> = {}): { text: string; reports: readonly Report[] } {
  return injectInputs([{ name: "web.yml", text }], { ...RUN, ...run })[0] ?? { text: "", reports: [] }
}

function uninject(text: string): string {
  return uninjectInputs([{ name: "web.yml", text }])[0]?.text ?? ""
}

function deployment(name: string, rest = ""): string {
  return `apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}, namespace: shop}
spec:
  selector: {matchLabels: {app: ${name}}}
  template:
    metadata:
      labels: {app: ${name}}
${rest}    spec:
      containers:
        - name: ${name}
`
}

function summary(reports: readonly Report[]): string[] {
  return reports.map(
    ({ kind, name, outcome, reason }) => `${kind} ${name} ${outcome}${reason === null ? "" : `: ${reason}`}`,
  )
}

test("every kind of workload is injected where its template is, and Jobs with a native sidecar", () => {
  for (const [kind, group, path] of [
    ["Deployment", "apps/v1", "spec.template"],
    ["StatefulSet", "apps/v1", "spec.template"],
    ["DaemonSet", "apps/v1", "spec.template"],
    ["ReplicaSet", "apps/v1", "spec.template"],
    ["Job", "batch/v1", "spec.template"],
    ["CronJob", "batch/v1", "spec.jobTemplate.spec.template"],
    ["Pod", "v1", ""],
  ] as const) {
    const steps = path === "" ? [] : path.split(".")
    const template = { spec: { containers: [{ name: "app" }] } }
    const body = steps.reduceRight<object>((inner, step) => ({ [step]: inner }), template)
    const { text, reports } = inject(stringify({ apiVersion: group, kind, metadata: { name: "x" }, ...body }))
    expect(summary(reports)).toEqual([`${kind} x injected`])
    const pod = steps.reduce((at, step) => at[step], parse(text))
    const isJob = kind.endsWith("Job")
    expect(pod.spec.containers.map((one: { name: string }) => one.name)).toEqual(
      isJob ? ["app"] : ["conduit-proxy", "app"],
    )
    expect(pod.spec.initContainers[1]?.restartPolicy).toBe(isJob ? "Always" : undefined)
    if (kind !== "Pod") expect(pod.metadata.labels[`conduit.io/${kind.toLowerCase()}`]).toBe("x")
  }
})

test("a stream is reported object by object, and settings of a Namespace hold wherever it stands", () => {
  const stream = [
    deployment("web"),
    "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n",
    deployment("off", "      annotations: {conduit.io/inject: disabled}\n"),
    "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n  annotations: {config.conduit.io/proxy-log-level: debug}\n",
    "just: values\n",
  ].join("---\n")
  const { text, reports } = inject(stream)
  expect(summary(reports)).toEqual([
    "Deployment web injected",
    "Service web skipped",
    "Deployment off skipped: conduit.io/inject: disabled",
    "Namespace shop annotated",
    "  skipped: it is no Kubernetes object",
  ])
  expect(text).toContain("name: CONDUIT_PROXY_LOG_LEVEL\n              value: debug")
  expect(uninject(text)).toBe(stream)
})

test("a Namespace's choice is not touched, Kubernetes' and the control plane's own are left alone", () => {
  for (const [name, annotations, reason] of [
    ["shop", "{conduit.io/inject: disabled}", "conduit.io/inject: disabled"],
    ["shop", "{conduit.io/inject: enabled}", "already conduit.io/inject: enabled"],
    ["kube-system", "{}", "it is Kubernetes' own"],
    ["conduit", "{}", "it is the control plane's"],
  ] as const) {
    const text = `apiVersion: v1\nkind: Namespace\nmetadata: {name: ${name}, annotations: ${annotations}}\n`
    const out = inject(text)
    expect(out.reports[0]?.reason).toBe(reason)
    expect(out.text).toBe(text)
    expect(uninject(text)).toBe(text)
  }
})

test("workloads of a Namespace that opted out, or of the control plane, are skipped with the reason", () => {
  const closed =
    "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop, annotations: {conduit.io/inject: disabled}}\n"
  expect(inject(deployment("web") + closed).reports[0]?.reason).toBe(
    "conduit.io/inject: disabled on its namespace",
  )
  expect(inject(deployment("web"), { conduitNamespace: "shop" }).reports[0]?.reason).toBe(
    "it belongs to the control plane",
  )
})

test("what kubectl prints of an injected object, sorted and with status, comes back as it was", () => {
  const live = {
    apiVersion: "v1",
    kind: "List",
    items: [
      {
        apiVersion: "apps/v1",
        kind: "Deployment",
        metadata: {
          annotations: { "kubectl.kubernetes.io/last-applied-configuration": '{"kind":"Deployment"}\n' },
          managedFields: [{ manager: "kubectl", fieldsV1: { "f:spec": { "f:template": {} } } }],
          name: "web",
          namespace: "shop",
        },
        spec: {
          template: {
            metadata: { creationTimestamp: null, labels: { app: "web" } },
            spec: { containers: [{ image: "web:1", name: "web" }], terminationGracePeriodSeconds: 30 },
          },
        },
        status: { replicas: 1 },
      },
    ],
  }
  const injected = parse(inject(stringify(live)).text)
  const printed = stringify(injected, { sortMapEntries: true })
  expect(printed).toContain("conduit-proxy")
  expect(parse(uninject(printed))).toEqual(live)
})

test("what was added by hand after inject survives uninject", () => {
  const text =
    "x: &labels {app: web}\napiVersion: v1\nkind: Pod\nmetadata:\n  labels: *labels\nspec: {containers: [{name: web}]}\n"
  const changed = inject(text).text.replace("    app: web\n", "    app: web\n    added: later\n")
  expect(parse(uninject(changed)).metadata.labels).toEqual({ app: "web", added: "later" })
  expect(parse(inject(text).text).x).toEqual({ app: "web" })
})

test("a template that another one shares is refused, not changed for both", () => {
  const shared = `apiVersion: v1
kind: List
items:
- ${deployment("a").replace("template:", "template: &t").replaceAll("\n", "\n  ")}
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: b}
  spec: {template: *t}
`
  expect(() => inject(shared)).toThrow("used again by alias *t")
})

const POD = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: x\n"

test.each([
  [
    "malformed YAML",
    "a: b\n---\na: [1,\n",
    /^web.yml, document 2, line \d, column \d+: this is not usable YAML/,
  ],
  ["a tab as indentation", "a:\n\tb: 1\n", /line 2, column 1: .*a tab is used as indentation/],
  ["a key twice", "a: 1\nb: 2\na: 3\n", /line 3, column 1: .*key "a" is here for the second time/],
  ["an alias without anchor", "a: *b\n", /alias \*b has no anchor before it/],
  ["an alias within itself", "a: &a [*a]\n", /alias \*a stands within what it names/],
  ["a second JSON key", '{"a": 1, "a": 2}', /not usable JSON.*for the second time/],
  [
    "no template",
    `${deployment("a")}---\nkind: Deployment\napiVersion: apps/v1\nmetadata: {name: b}\nspec: {replicas: 2}\n`,
    /document 2, line 16: spec.template is missing in Deployment "b".*kustomize patch/,
  ],
  ["no apiVersion", "kind: Deployment\nmetadata: {name: b}\n", /Deployment "b" has no apiVersion/],
  ["no containers", `${POD}spec: {containers: []}\n`, /line 5: Pod "x" has no containers/],
  [
    "containers that are none",
    `${POD}spec: {containers: web}\n`,
    /spec.containers of Pod "x" must be a list/,
  ],
  [
    "annotations that are none",
    "apiVersion: v1\nkind: Pod\nmetadata: {annotations: [a]}\nspec: {}\n",
    /line 3: metadata.annotations of this Pod must be a mapping/,
  ],
  [
    "a bad setting",
    deployment("a", "      annotations:\n        config.conduit.io/opaque-ports: 80-x\n"),
    /^web.yml, document 1, line 10: Deployment "a": annotation config.conduit.io\/opaque-ports: "80-x" cannot be used/,
  ],
  [
    "an unknown setting",
    deployment("a", "      annotations: {config.conduit.io/colour: blue}\n"),
    /is not a setting of Conduit/,
  ],
  [
    "a number for text",
    deployment("a", "      annotations: {config.conduit.io/proxy-uid: 2103}\n"),
    /is 2103, which Kubernetes does not take for text; put it in quotes/,
  ],
  [
    "a YAML 1.1 switch",
    deployment("a", "      annotations: {config.conduit.io/access-log: on}\n"),
    /is on, which Kubernetes does not take for text/,
  ],
  [
    "no choice",
    deployment("a", "      annotations: {conduit.io/inject: maybe}\n"),
    /is "maybe"; it must be enabled or disabled/,
  ],
  [
    "a bad Namespace",
    "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, annotations: {config.conduit.io/proxy-uid: '0'}}\n",
    /Namespace "a": annotation/,
  ],
])("%s is refused at its place", (_what, text, sentence) => {
  expect(() => inject(text)).toThrow(sentence)
})

test("all problems are told at once", () => {
  const broken = "a: [\n---\nb: {\n---\nkind: Pod\n"
  try {
    inject(broken)
    expect.unreachable()
  } catch (error) {
    expect((error as Error).message.split("\n").length).toBe(3)
  }
})

test("aliases that multiply beyond reason are refused in no time", () => {
  const levels = Array.from({ length: 30 }, (_, index) =>
    index === 0 ? "a0: &a0 [x]" : `a${index}: &a${index} [*a${index - 1}, *a${index - 1}]`,
  )
  expect(() => inject(`${levels.join("\n")}\n`)).toThrow("more than 1000000 values")
  expect(() => inject("[".repeat(20_000))).toThrow("not usable YAML")
})

test("settings on the workload itself are pointed out: nobody reads them there", () => {
  const text = deployment("a").replace(
    "namespace: shop",
    "annotations: {config.conduit.io/opaque-ports: '25'}",
  )
  expect(inject(text).reports[0]?.warnings[0]).toContain("belongs to spec.template.metadata.annotations")
})

const shared = join(ROOT, "../shared/manifests")
const real = [
  join(ROOT, "deploy/local/demo/shop.yaml"),
  ...(existsSync(shared)
    ? readdirSync(shared)
        .filter(name => /\.ya?ml$/.test(name))
        .map(name => join(shared, name))
    : []),
]

test.each(real)("a manifest of the real world comes back byte for byte: %s", path => {
  const text = readFileSync(path, "utf8")
  const once = inject(text).text
  expect(inject(once).text).toBe(once)
  expect(uninject(once)).toBe(text)
  for (const document of parseAllDocuments(once))
    expect("errors" in document ? document.errors : []).toEqual([])
})

test("what inject made of the demo is what conduit dev reads", () => {
  const path = join(ROOT, "deploy/local/demo/shop.yaml")
  const { text, reports } = inject(readFileSync(path, "utf8"))
  const { objects } = loadManifests(["-"], { stdin: text })
  const injected = objects.filter(object =>
    JSON.stringify(object.spec ?? {}).includes('"name":"conduit-proxy"'),
  )
  expect(injected.length).toBe(reports.filter(report => report.outcome === "injected").length)
  expect(injected.length).toBeGreaterThan(5)
})
