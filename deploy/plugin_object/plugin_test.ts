import { describe, expect, test } from "bun:test"
import { configurationCheck } from "./configuration.ts"
import { comparePlugins, type Plugin, readPlugin } from "./plugin.ts"
import { applyPodPatch, readPodPatch } from "./pod_patch.ts"

const SERVICE = { namespace: "plugins", name: "hours", port: 9090 }

function object(spec: object, metadata: object = { name: "hours" }): object {
  return { apiVersion: "conduit.io/v1alpha1", kind: "Plugin", metadata, spec }
}

test("a plugin has an address, hooks with deadlines of their own, an order and a configuration", () => {
  const spec = {
    service: SERVICE,
    hooks: [
      { name: "Policy", namespaces: ["shop"] },
      { name: "Check", deadline: "2s", failurePolicy: "Ignore" },
    ],
    order: 5,
    deadline: "750ms",
    failurePolicy: "Fail",
    configuration: { from: "08:00" },
  }
  expect(readPlugin(object(spec, { name: "hours", generation: 3 }))).toEqual({
    complaints: [],
    plugin: {
      name: "hours",
      address: { kind: "service", ...SERVICE },
      hooks: [
        { name: "Policy", deadlineMs: 750, mode: "Enforce", failurePolicy: "Fail", namespaces: ["shop"] },
        { name: "Check", deadlineMs: 2000, mode: "Enforce", failurePolicy: "Ignore", namespaces: [] },
      ],
      order: 5,
      tls: null,
      configuration: { from: "08:00" },
      generation: 3,
    },
  })
})

test("what is left out has defaults", () => {
  const { plugin } = readPlugin(object({ address: "[::1]:9090", hooks: [{ name: "Api" }] }))
  expect(plugin).toMatchObject({
    address: { kind: "address", address: "[::1]:9090" },
    hooks: [{ name: "Api", deadlineMs: 500, failurePolicy: "Ignore" }],
    order: 0,
    configuration: {},
  })
})

test("a hook in mode Audit closes nothing, whatever its failurePolicy is", () => {
  const hook = { name: "Policy", mode: "Audit", failurePolicy: "Fail", namespaces: ["shop"] }
  expect(readPlugin(object({ address: "a:1", hooks: [hook] })).plugin?.hooks).toEqual([
    { name: "Policy", deadlineMs: 500, mode: "Audit", failurePolicy: "Ignore", namespaces: [] },
  ])
})

test.each([
  ["no address", { hooks: [{ name: "Api" }] }, "spec", "needs one of service, address and command"],
  [
    "two addresses",
    { address: "a:1", command: ["x"], hooks: [{ name: "Api" }] },
    "spec.command",
    "stands beside address",
  ],
  ["a bad port", { address: "a:70000", hooks: [{ name: "Api" }] }, "spec.address", "must be host:port"],
  ["no hook", { address: "a:1", hooks: [] }, "spec.hooks", "needs at least one hook"],
  [
    "an unknown hook",
    { address: "a:1", hooks: [{ name: "Polcy" }] },
    "spec.hooks.0.name",
    'did you mean "Policy"',
  ],
  [
    "a hook twice",
    { address: "a:1", hooks: [{ name: "Api" }, { name: "Api" }] },
    "spec.hooks.1.name",
    "earlier entry",
  ],
  [
    "a long deadline",
    { address: "a:1", hooks: [{ name: "Api" }], deadline: "1m" },
    "spec.deadline",
    "from 1ms to 10s",
  ],
  [
    "another policy",
    { address: "a:1", hooks: [{ name: "Api" }], failurePolicy: "Open" },
    "spec.failurePolicy",
    "Ignore, Fail",
  ],
  [
    "a Fail that does not say what it closes",
    { address: "a:1", hooks: [{ name: "Policy", failurePolicy: "Fail" }] },
    "spec.hooks.0.namespaces",
    "failurePolicy Fail closes these",
  ],
  [
    "namespaces of what closes none",
    { address: "a:1", hooks: [{ name: "Policy", namespaces: ["shop"] }] },
    "spec.hooks.0.namespaces",
    "with failurePolicy Fail only",
  ],
  [
    "an audit of what refuses nothing",
    { address: "a:1", hooks: [{ name: "Check", mode: "Audit" }] },
    "spec.hooks.0.mode",
    "counts for hooks that may refuse something",
  ],
  [
    "an unknown mode",
    { address: "a:1", hooks: [{ name: "Policy", mode: "Audt" }] },
    "spec.hooks.0.mode",
    'did you mean "Audit"',
  ],
  [
    "an unknown field",
    { address: "a:1", hooks: [{ name: "Api" }], timeout: "1s" },
    "spec.timeout",
    "is not a field",
  ],
  [
    "tls of a Service",
    { service: SERVICE, hooks: [{ name: "Api" }], tls: { caBundle: "" } },
    "spec.tls",
    "spec.address only",
  ],
  [
    "a configuration that is no mapping",
    { address: "a:1", hooks: [{ name: "Api" }], configuration: [1] },
    "spec.configuration",
    "must be a mapping",
  ],
  [
    "a long configuration",
    { address: "a:1", hooks: [{ name: "Api" }], configuration: { a: "x".repeat(70_000) } },
    "spec.configuration",
    "more than 65536",
  ],
] as const)("%s is told with its field", (_what, spec, field, message) => {
  const { plugin, complaints } = readPlugin(object(spec))
  expect(plugin).toBeNull()
  expect(complaints[0]?.path.join(".")).toBe(field)
  expect(complaints[0]?.message).toContain(message)
})

test("another project's Plugin is none of ours, a version of ours that is not known is a mistake", () => {
  const spec = { address: "a:1", hooks: [{ name: "Api" }] }
  expect(readPlugin({ ...object(spec), apiVersion: "argoproj.io/v1" })).toEqual({
    plugin: null,
    complaints: [],
  })
  expect(readPlugin({ ...object(spec), apiVersion: "conduit.io/v2" }).complaints[0]?.path).toEqual([
    "apiVersion",
  ])
})

test("plugins are asked by their order, those of equal order by name", () => {
  const plugins = [
    ["b", 1],
    ["c", 0],
    ["a", 1],
  ].map(([name, order]) => ({ name, order }) as Plugin)
  expect(plugins.sort(comparePlugins).map(({ name }) => name)).toEqual(["c", "a", "b"])
})

describe("a configuration", () => {
  const SCHEMA = JSON.stringify({
    type: "object",
    required: ["from"],
    additionalProperties: false,
    properties: { from: { type: "string", pattern: "^[0-2][0-9]:[0-5][0-9]$" }, days: { type: "array" } },
  })

  test("fits the schema or is told where it does not", () => {
    const check = configurationCheck(SCHEMA)
    expect(check({ from: "08:00" })).toEqual([])
    expect(check({ from: "8", day: 1 })).toEqual([
      { path: "", message: "must NOT have additional properties: day" },
      { path: "/from", message: 'must match pattern "^[0-2][0-9]:[0-5][0-9]$"' },
    ])
    expect(check({})[0]?.message).toContain("'from'")
  })

  test("is searched for a pattern that has no anchors", () => {
    const check = configurationCheck(JSON.stringify({ properties: { a: { pattern: "b+" } } }))
    expect(check({ a: "x\nbb\n" })).toEqual([])
    expect(check({ a: "xx" })).toHaveLength(1)
  })

  test("is matched in linear time, whatever the plugin's pattern is", () => {
    const check = configurationCheck(JSON.stringify({ properties: { a: { pattern: "^(a+)+$" } } }))
    const before = performance.now()
    expect(check({ a: `${"a".repeat(2000)}b` })).toHaveLength(1)
    expect(performance.now() - before).toBeLessThan(2000)
  })

  test.each([
    ["no JSON", "{", "is no JSON"],
    ["a list", "3", "must be a mapping"],
    ["an unknown type", '{"type":"text"}', "is not JSON Schema"],
    ["a reference to elsewhere", '{"$ref":"http://elsewhere/s"}', "is not JSON Schema"],
    ["too long", `{"title":"${"x".repeat(300_000)}"}`, "longer than 262144"],
  ])("cannot be checked by a schema that is %s", (_what, schema, message) => {
    expect(() => configurationCheck(schema)).toThrow(message)
  })
})

test("a patch that was read is done to the labels and annotations of a pod", () => {
  const metadata = { labels: { app: "web", old: "1" }, annotations: { "a/b": "x" } }
  const patch = readPodPatch(
    JSON.stringify([
      { op: "add", path: "/metadata/labels/team", value: "blue" },
      { op: "remove", path: "/metadata/labels/old" },
      { op: "replace", path: "/metadata/annotations/a~1b", value: "y" },
    ]),
    metadata,
  )
  applyPodPatch(metadata, JSON.stringify(patch))
  expect(metadata).toEqual({ labels: { app: "web", team: "blue" }, annotations: { "a/b": "y" } } as never)
  applyPodPatch(metadata, "")
  expect(Object.keys(metadata.labels)).toEqual(["app", "team"])
})
