// Inject and uninject over generated manifests: whatever layout, quoting, comments and anchors they have, the second
// inject changes nothing, and uninject gives back every byte.
import { expect, test } from "bun:test"
import fc from "fast-check"
import { type InjectRun, injectInputs } from "./inject_documents.ts"
import { uninjectInputs } from "./uninject_documents.ts"

const RUN: InjectRun = { namespace: "", conduitNamespace: "conduit", version: "0.1.0", onlyAnnotate: false }

function inject(text: string, run: InjectRun = RUN): string {
  return injectInputs([{ name: "test.yml", text }], run)[0]?.text ?? ""
}

function uninject(text: string): string {
  return uninjectInputs([{ name: "test.yml", text }])[0]?.text ?? ""
}

/** How a manifest is written. */
interface Layout {
  readonly step: number
  readonly listStep: number
  readonly comments: readonly boolean[]
}

const layouts = fc.record({
  step: fc.constantFrom(2, 3, 4),
  listStep: fc.constantFrom(0, 2, 4),
  comments: fc.array(fc.boolean(), { minLength: 12, maxLength: 12 }),
})

/** A value of metadata.labels or annotations, as lines below its key. */
const strings = fc.constantFrom(
  "web",
  '"quoted: yes"',
  "'single ''quoted'''",
  "v1.2.3",
  '"tab\\tand \\u00e9"',
  "plain with spaces",
  '""',
)
const blocks = fc.constantFrom("|\nline one\n\n  line two", ">-\nfolded\ntext", "|+\nkept\n", "|-\nstripped")

type MapForm =
  | "absent"
  | "empty"
  | "null"
  | "tilde"
  | "braces"
  | "spaced braces"
  | "flow"
  | "open flow"
  | "block"
  | "alias"
  | "merge"

const mapForms = fc.constantFrom<MapForm>(
  "absent",
  "empty",
  "null",
  "tilde",
  "braces",
  "spaced braces",
  "flow",
  "open flow",
  "block",
  "alias",
  "merge",
)
const listForms = fc.constantFrom("absent", "empty", "null", "brackets", "flow", "block", "alias")

const manifests = fc
  .record({
    layout: layouts,
    labels: mapForms,
    annotations: mapForms,
    metadata: fc.constantFrom("absent", "first", "last", "braces", "alias"),
    volumes: listForms,
    initContainers: listForms,
    containersFlow: fc.boolean(),
    entries: fc.array(fc.tuple(fc.constantFrom("app", "tier", "example.com/x"), fc.oneof(strings, blocks)), {
      maxLength: 3,
    }),
    kind: fc.constantFrom("Deployment", "StatefulSet", "Job", "CronJob", "Pod"),
    head: fc.constantFrom(
      "",
      "# licence\n",
      "%YAML 1.2\n---\n",
      "---\n",
      "--- # first\n",
      "\ufeff",
      "\ufeff# bom\n---\n",
    ),
    tail: fc.constantFrom("", "---\n", "...\n", "\n\n# the end\n", "---\nkind: Odd\nvalue: [ 1,2 ,  3 ]\n"),
    eol: fc.constantFrom("\n", "\r\n"),
    cut: fc.boolean(),
  })
  .map(write)

/** Writes the manifest; the anchors are those of the object's own metadata and of a field that nobody knows. */
function write(shape: {
  layout: Layout
  labels: MapForm
  annotations: MapForm
  metadata: string
  volumes: string
  initContainers: string
  containersFlow: boolean
  entries: readonly (readonly [string, string])[]
  kind: string
  head: string
  tail: string
  eol: string
  cut: boolean
}): string {
  const { step, listStep, comments } = shape.layout
  const pad = (depth: number): string => " ".repeat(depth * step)
  const comment = (index: number, depth: number): string[] =>
    comments[index] ? [`${pad(depth)}# note ${index}`] : []
  const entries = [...new Map([["first", "one"], ...shape.entries])]
  const entryLines = (depth: number): string[] =>
    entries.flatMap(([key, value]) => {
      const [first = "", ...rest] = value.split("\n")
      return [
        `${pad(depth)}${key}: ${first}`,
        ...rest.map(line => (line === "" ? "" : `${pad(depth)}  ${line}`)),
      ]
    })
  const simple = `{a: b, "c": 'd'}`
  const map = (key: string, form: MapForm, depth: number): string[] => {
    switch (form) {
      case "absent":
        return []
      case "empty":
        return [`${pad(depth)}${key}:${comments[0] ? " # nothing" : ""}`]
      case "null":
        return [`${pad(depth)}${key}: null${comments[1] ? " # none" : ""}`]
      case "tilde":
        return [`${pad(depth)}${key}:   ~`]
      case "braces":
        return [`${pad(depth)}${key}: {}`]
      case "spaced braces":
        return [`${pad(depth)}${key}:  {  }  # empty`]
      case "flow":
        return [`${pad(depth)}${key}: ${simple}`]
      case "open flow":
        return [
          `${pad(depth)}${key}: {`,
          `${pad(depth + 1)}a: b, # why`,
          `${pad(depth + 1)}c: "d"`,
          `${pad(depth)}}`,
        ]
      case "alias":
        return [`${pad(depth)}${key}: *labels`]
      case "merge":
        return [`${pad(depth)}${key}:`, `${pad(depth + 1)}<<: *labels`, `${pad(depth + 1)}own: key`]
      case "block":
        return [
          `${pad(depth)}${key}:${comments[2] ? "  # these" : ""}`,
          ...comment(3, depth + 1),
          ...entryLines(depth + 1),
          ...comment(4, depth + 1),
        ]
    }
  }
  const list = (key: string, form: string, depth: number, items: readonly string[]): string[] => {
    const dash = `${pad(depth)}${" ".repeat(listStep)}- `
    switch (form) {
      case "empty":
        return [`${pad(depth)}${key}:`]
      case "null":
        return [`${pad(depth)}${key}: null`]
      case "brackets":
        return [`${pad(depth)}${key}: [ ]`]
      case "flow":
        return [`${pad(depth)}${key}: [${items.map(item => `{name: ${item}}`).join(", ")}]`]
      case "alias":
        return [`${pad(depth)}${key}: *${key}`]
      case "block":
        return [
          `${pad(depth)}${key}:`,
          ...comment(5, depth + 1),
          ...items.flatMap(item => [`${dash}name: ${item}`, ...comment(6, depth + 1)]),
        ]
      default:
        return []
    }
  }
  const metadata = (depth: number): string[] => {
    if (shape.metadata === "absent") return []
    if (shape.metadata === "braces") return [`${pad(depth)}metadata: {}`]
    if (shape.metadata === "alias") return [`${pad(depth)}metadata: *meta`]
    const inside = [
      ...map("labels", shape.labels, depth + 1),
      ...map("annotations", shape.annotations, depth + 1),
    ]
    return inside.length === 0 ? [] : [`${pad(depth)}metadata:`, ...inside, ...comment(7, depth)]
  }
  const template = (depth: number): string[] => {
    const spec = [
      `${pad(depth)}spec:`,
      ...comment(8, depth + 1),
      ...list("initContainers", shape.initContainers, depth + 1, ["migrate", "seed"]),
      ...(shape.containersFlow
        ? [`${pad(depth + 1)}containers: [{name: web, image: "web:1"}]`]
        : list("containers", "block", depth + 1, ["web", "helper"])),
      ...comment(9, depth + 1),
      ...list("volumes", shape.volumes, depth + 1, ["data"]),
    ]
    return shape.metadata === "last" ? [...spec, ...metadata(depth)] : [...metadata(depth), ...spec]
  }
  const isPod = shape.kind === "Pod"
  const group = isPod ? "v1" : shape.kind.endsWith("Job") ? "batch/v1" : "apps/v1"
  const lines = [
    `apiVersion: ${group}`,
    `kind: ${shape.kind} # what it is`,
    "x-anchors:",
    `${pad(1)}labels: &labels {app: shared, "odd": on}`,
    `${pad(1)}meta: &meta`,
    `${pad(2)}labels: {of: meta}`,
    `${pad(1)}volumes: &volumes [{name: shared, secret: {secretName: s, defaultMode: 0644}}]`,
    `${pad(1)}initContainers: &initContainers`,
    `${pad(1)}- name: wait`,
    `${pad(1)}  command: [sh, -c, "sleep 1"]`,
    `${pad(1)}big: 12345678901234567890`,
  ]
  if (isPod) lines.push(...template(0))
  else {
    lines.push("metadata: {name: web}", ...comment(10, 0), "spec:", `${pad(1)}replicas: 0x10`)
    if (shape.kind === "CronJob")
      lines.push(`${pad(1)}jobTemplate:`, `${pad(2)}spec:`, `${pad(3)}template:`, ...template(4))
    else lines.push(`${pad(1)}template:`, ...template(2), ...(comments[11] ? [`${pad(1)}paused: false`] : []))
  }
  let text = `${shape.head}${lines.join("\n")}\n${shape.tail}`
  if (shape.cut && !/\|\+|\| *\n|kept\n+$/.test(text)) text = text.replace(/\n+$/, "")
  return shape.eol === "\n" ? text : text.replaceAll("\n", shape.eol)
}

test("a second inject changes nothing, and uninject gives back every byte", () => {
  let injected = 0
  fc.assert(
    fc.property(manifests, fc.boolean(), (text, cni) => {
      const run = { ...RUN, cni }
      const once = inject(text, run)
      if (once !== text) injected++
      expect(inject(once, run)).toBe(once)
      expect(uninject(once)).toBe(text)
    }),
    { numRuns: 400 },
  )
  expect(injected).toBeGreaterThan(200)
})

test("settings that were there are put back as they were written", () => {
  const settings = { "proxy-log-level": "debug", "opaque-ports": "25" }
  fc.assert(
    fc.property(manifests, fc.constantFrom("enabled", "annotate"), (text, how) => {
      const run = { ...RUN, settings, onlyAnnotate: how === "annotate" }
      const once = inject(text, run)
      expect(inject(once, run)).toBe(once)
      expect(uninject(once)).toBe(text)
    }),
    { numRuns: 150 },
  )
})

test("a setting that a flag overrides comes back in its own quotes", () => {
  const text = `kind: Pod
apiVersion: v1
metadata:
  annotations:
    config.conduit.io/proxy-log-level:   'warn'   # quiet
    config.conduit.io/opaque-ports: |
      25
spec: {containers: [{name: web}]}
`
  const once = inject(text, { ...RUN, settings: { "proxy-log-level": "debug", "opaque-ports": "26" } })
  expect(once).toContain("config.conduit.io/proxy-log-level: debug   # quiet")
  expect(uninject(once)).toBe(text)
})

const json = fc.record({
  labels: fc.constantFrom(undefined, null, {}, { app: "web" }),
  annotations: fc.constantFrom(undefined, null, {}, { note: 'a "quoted" \\ text\n' }),
  volumes: fc.constantFrom(undefined, null, [], [{ name: "data", emptyDir: {} }]),
  initContainers: fc.constantFrom(undefined, null, [], [{ name: "migrate" }]),
  restartPolicy: fc.constantFrom("Always", "Never"),
  indent: fc.constantFrom(0, 1, 2, 4, "\t"),
  end: fc.constantFrom("", "\n"),
  copies: fc.constantFrom(1, 2, 3),
})

test("JSON stays JSON, in its own layout, and comes back byte for byte", () => {
  fc.assert(
    fc.property(
      json,
      ({ labels, annotations, volumes, initContainers, restartPolicy, indent, end, copies }) => {
        const spec = { restartPolicy, containers: [{ name: "web" }], volumes, initContainers }
        const pod = { apiVersion: "v1", kind: "Pod", metadata: { name: "web", labels, annotations }, spec }
        const one = JSON.stringify(pod, null, indent)
        const text = `${Array.from({ length: copies }, () => one).join(end || " ")}${end}`
        const once = inject(text)
        if (copies === 1) {
          const pretty = JSON.stringify(JSON.parse(once), null, indent)
          if (indent !== 0) expect(once.trimEnd()).toBe(pretty)
          expect(JSON.parse(once).spec.volumes.at(-1).name).toBe("conduit-identity-token")
        }
        expect(inject(once)).toBe(once)
        expect(uninject(once)).toBe(text)
      },
    ),
    { numRuns: 150 },
  )
})

test("documents that are no workloads come out byte for byte, whatever they look like", () => {
  const odd = fc.constantFrom(
    "kind: ConfigMap\napiVersion: v1\ndata:\n  a: |\n    ---x\n   \n    b\n",
    "kind: Job\napiVersion: batch.volcano.sh/v1alpha1\nspec: {tasks: []}\n",
    "{ kind: Rollout , spec: {template: {spec: {}}} }\n",
    "? complex\n: value\n",
    "# only a comment\n",
    "",
    "just text\n",
    "- 1\n- [2,  3]\n",
    "a: &x {b: 1}\nc: *x\nd: !custom {e: 0777}\n",
    'kind: List\napiVersion: v1\nitems:\n- {kind: Service, apiVersion: v1, metadata: {name: "x"}}\n',
  )
  fc.assert(
    fc.property(
      fc.array(odd, { minLength: 1, maxLength: 6 }),
      fc.constantFrom("---\n", "--- \n", "---\t# x\n"),
      (parts, mark) => {
        const text = parts.join(mark)
        expect(inject(text)).toBe(text)
        expect(uninject(text)).toBe(text)
      },
    ),
  )
})
