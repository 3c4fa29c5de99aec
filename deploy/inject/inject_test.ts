// Tests of inject: who is injected, who is not and why, and what a setting changes.
import { expect, test } from "bun:test"
import { annotate, type InjectOptions, inject } from "./inject.ts"
import { injectPatch, type PatchOperation } from "./json_patch.ts"
import type { PodTemplate } from "./pod_spec.ts"
import { uninject } from "./uninject.ts"

const options: InjectOptions = {
  namespace: "shop",
  workload: { kind: "Deployment", name: "web" },
  byDefault: "enabled",
  conduitNamespace: "conduit",
  version: "0.1.0",
  nativeSidecar: true,
}

function template(
  annotations: Record<string, string> = {},
  spec: Partial<PodTemplate["spec"]> = {},
): PodTemplate {
  return {
    metadata: { labels: { app: "web" }, annotations },
    spec: { containers: [{ name: "web", command: ["web"] }], ...spec },
  }
}

test("the proxy comes first as a native sidecar, after the redirect and before the pod's own init containers", () => {
  const { template: out, injected } = inject(template({}, { initContainers: [{ name: "migrate" }] }), options)
  expect(injected).toBe(true)
  expect(out.spec.initContainers?.map(container => container.name)).toEqual([
    "conduit-init",
    "conduit-proxy",
    "migrate",
  ])
  expect(out.spec.initContainers?.[1]?.restartPolicy).toBe("Always")
  expect(out.spec.containers.map(container => container.name)).toEqual(["web"])
})

test("images come from where the installation has them, and a setting's version wins over its tag", () => {
  const images = { registry: "registry.example/mesh", tag: "9", pullPolicy: "Always" }
  const { template: out } = inject(template(), { ...options, images })
  expect(out.spec.initContainers?.map(one => [one.image, one.imagePullPolicy])).toEqual([
    ["registry.example/mesh/init:9", "Always"],
    ["registry.example/mesh/proxy:9", "Always"],
  ])
  expect(out.metadata?.annotations?.["conduit.io/proxy-version"]).toBe("9")
  const pinned = inject(template({ "config.conduit.io/proxy-version": "7" }), { ...options, images })
  expect(pinned.template.spec.initContainers?.map(one => one.image)).toEqual([
    "registry.example/mesh/init:7",
    "registry.example/mesh/proxy:7",
  ])
})

const PLAIN = { "config.conduit.io/native-sidecar": "disabled" }

test("a plain sidecar comes first and holds the application back until it accepts", () => {
  const { template: out } = inject(template(PLAIN), options)
  expect(out.spec.containers.map(container => container.name)).toEqual(["conduit-proxy", "web"])
  expect(out.spec.containers[0]?.lifecycle).toEqual({
    postStart: { exec: { command: ["conduit-await", "--timeout=120s"] } },
  })
  expect(out.metadata?.annotations?.["kubectl.kubernetes.io/default-container"]).toBe("web")
})

test("with a plain sidecar the redirect comes after the pod's own init containers, which need the network", () => {
  const { template: out } = inject(template(PLAIN, { initContainers: [{ name: "migrate" }] }), options)
  expect(out.spec.initContainers?.map(container => container.name)).toEqual(["migrate", "conduit-init"])
})

test("a plain sidecar sleeps before its end as long as the application does, and warns where it cannot know", () => {
  const sleeping = { name: "web", lifecycle: { preStop: { sleep: { seconds: 15 } } } }
  const { template: out, warnings } = inject(template(PLAIN, { containers: [sleeping] }), options)
  expect(out.spec.containers[0]?.lifecycle?.preStop).toEqual({ sleep: { seconds: 15 } })
  expect(warnings).toEqual([])
  const busy = { name: "web", lifecycle: { preStop: { exec: { command: ["flush"] } } } }
  expect(inject(template(PLAIN, { containers: [busy] }), options).warnings[0]).toContain("preStop hook")
  expect(inject(template({}, { containers: [busy] }), options).warnings).toEqual([])
})

test("a Job with a plain sidecar is warned of: it would not end", () => {
  const job = { ...options, workload: { kind: "Job", name: "report" } } as const
  expect(inject(template(PLAIN), job).warnings[0]).toContain("/shutdown")
  expect(inject(template(), job).warnings).toEqual([])
})

test("everything but the init container is fit for restricted Pod Security", () => {
  for (const annotations of [{}, PLAIN]) {
    const { spec } = inject(template(annotations), options).template
    const proxy = [...(spec.initContainers ?? []), ...spec.containers].find(
      one => one.name === "conduit-proxy",
    )
    expect(proxy?.securityContext).toMatchObject({
      allowPrivilegeEscalation: false,
      runAsNonRoot: true,
      capabilities: { drop: ["ALL"] },
      seccompProfile: { type: "RuntimeDefault" },
    })
    const init = spec.initContainers?.find(one => one.name === "conduit-init")
    expect(init?.securityContext?.capabilities).toEqual({ drop: ["ALL"], add: ["NET_ADMIN", "NET_RAW"] })
  }
})

const CNI: InjectOptions = { ...options, cni: true }

test.each([{}, PLAIN])("with the CNI plugin no container has a privilege: %p", annotations => {
  const { spec } = inject(template(annotations, { initContainers: [] }), CNI).template
  const ours = [...(spec.initContainers ?? []), ...spec.containers].filter(one => one.name !== "web")
  expect(ours.map(one => one.name)).toEqual(["conduit-validate", "conduit-proxy"])
  const users = ours.map(({ securityContext }) => {
    expect(securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      runAsNonRoot: true,
      runAsUser: securityContext?.runAsUser ?? 0,
      capabilities: { drop: ["ALL"] },
      seccompProfile: { type: "RuntimeDefault" },
    })
    return securityContext?.runAsUser
  })
  expect(users).toEqual([2104, 2102])
})

test("what proves the redirect is told the same as conduit-init, and is never the proxy's user", () => {
  const given = template({
    "config.conduit.io/skip-outbound-ports": "3306",
    "config.conduit.io/skip-inbound-ports": "9000-9100",
    "config.conduit.io/proxy-uid": "2104",
  })
  const [init] = inject(given, options).template.spec.initContainers ?? []
  const [validate, proxy] = inject(given, CNI).template.spec.initContainers ?? []
  expect(validate?.args).toEqual(init?.args ?? [])
  expect(validate?.args).toContain("--skip-outbound-ports=3306")
  expect(validate?.command).toEqual(["conduit-validate"])
  expect(validate?.image).toBe(proxy?.image ?? "")
  expect(validate?.securityContext?.runAsUser).toBe(2105)
})

test("with the CNI plugin init containers have a proxy before them, since the redirect is there already", () => {
  const old = { ...CNI, nativeSidecar: false }
  const names = (given: PodTemplate) => {
    const { template: out, warnings } = inject(given, old)
    return { inits: out.spec.initContainers?.map(one => one.name), warnings }
  }
  const inits = { initContainers: [{ name: "migrate" }] }
  expect(names(template()).inits).toEqual(["conduit-validate"])
  expect(names(template({}, inits))).toEqual({
    inits: ["conduit-validate", "conduit-proxy", "migrate"],
    warnings: [],
  })
  const forced = names(template(PLAIN, inits))
  expect(forced.inits).toEqual(["migrate", "conduit-validate"])
  expect(forced.warnings[0]).toContain("init container migrate has no TCP out of the pod")
})

test("a workload without a name, or with one too long for a label, has no label of its own", () => {
  const long = inject(template(), { ...options, workload: { kind: "Deployment", name: "w".repeat(64) } })
  expect(Object.keys(long.template.metadata?.labels ?? {})).not.toContain("conduit.io/deployment")
  expect(long.warnings[0]).toContain("too long")
  const unnamed = inject(template(), { ...options, namespace: "", workload: { kind: "Job", name: "" } })
  expect(Object.keys(unnamed.template.metadata?.labels ?? {})).toEqual(["app", "conduit.io/control-plane-ns"])
})

test("settings of the caller win over annotations and are written there, with what was there before", () => {
  const given = template({ "config.conduit.io/proxy-log-level": "warn" })
  const settings = { "proxy-log-level": "debug", "opaque-ports": "25" }
  const { template: out } = inject(given, { ...options, settings })
  expect(out.metadata?.annotations).toMatchObject({
    "config.conduit.io/proxy-log-level": "debug",
    "config.conduit.io/opaque-ports": "25",
  })
  expect(JSON.parse(out.metadata?.annotations?.["conduit.io/before-inject"] ?? "")).toEqual({
    "/metadata/annotations/config.conduit.io~1proxy-log-level": '"warn"',
    "/metadata/annotations/config.conduit.io~1opaque-ports": null,
  })
  expect(uninject(out).template).toEqual(given)
})

test("labels and annotations tell mesh, namespace and workload", () => {
  const { template: out } = inject(template(), options)
  expect(out.metadata?.labels).toEqual({
    app: "web",
    "conduit.io/control-plane-ns": "conduit",
    "conduit.io/workload-ns": "shop",
    "conduit.io/deployment": "web",
  })
  expect(out.metadata?.annotations).toMatchObject({
    "conduit.io/created-by": "conduit/0.1.0",
    "conduit.io/proxy-version": "0.1.0",
  })
})

test("the given template is not changed, and an injected one is left alone", () => {
  const before = template()
  const copy = structuredClone(before)
  const once = inject(before, options)
  expect(before).toEqual(copy)
  const twice = inject(once.template, options)
  expect(twice).toMatchObject({ injected: false, skipped: "already injected" })
  expect(twice.template).toBe(once.template)
})

test.each([
  ["opted out", template({ "conduit.io/inject": "disabled" }), "conduit.io/inject: disabled"],
  ["on the host's network", template({}, { hostNetwork: true }), "hostNetwork"],
  ["another mesh's", template({}, { containers: [{ name: "istio-proxy" }] }), "istio-proxy of another mesh"],
  ["on Windows", template({}, { nodeSelector: { "kubernetes.io/os": "windows" } }), "Windows"],
  ["on Windows by its os", template({}, { os: { name: "windows" } }), "Windows"],
  [
    "in the way of our name",
    template({}, { containers: [{ name: "conduit-proxy" }] }),
    "Conduit did not put there",
  ],
  [
    "in the way of our init",
    template({}, { initContainers: [{ name: "conduit-init" }] }),
    "did not put there",
  ],
  [
    "in the way of what proves the redirect",
    template({}, { initContainers: [{ name: "conduit-validate" }] }),
    "did not put there",
  ],
  [
    "in the way of our volume",
    template({}, { volumes: [{ name: "conduit-identity-token" }] }),
    "did not put there",
  ],
  ["undecided", template({ "conduit.io/inject": "maybe" }), "must be enabled or disabled"],
])("a pod that is %s is skipped, with the reason", (_what, given, reason) => {
  const result = inject(given, options)
  expect(result.injected).toBe(false)
  expect(result.skipped).toContain(reason)
})

test("the template's choice wins over its namespace's", () => {
  const closed = { ...options, namespaceAnnotations: { "conduit.io/inject": "disabled" } }
  expect(inject(template(), closed).injected).toBe(false)
  expect(inject(template({ "conduit.io/inject": "enabled" }), closed).injected).toBe(true)
})

test("settings reach the proxy and the redirect", () => {
  const { template: out } = inject(
    template({
      "config.conduit.io/opaque-ports": "25, 4000-4100",
      "config.conduit.io/skip-outbound-ports": "3306",
      "config.conduit.io/proxy-log-level": "debug",
      "config.conduit.io/proxy-uid": "3000",
      "config.conduit.io/proxy-cpu-limit": "500m",
      "config.conduit.io/access-log": "json",
      "config.conduit.io/trace-collector": "collector.tracing:4318",
      "config.conduit.io/trace-sampling": "0.01",
    }),
    options,
  )
  const [init, proxy] = out.spec.initContainers ?? []
  const env = Object.fromEntries((proxy?.env ?? []).map(variable => [variable.name, variable.value]))
  expect(env.CONDUIT_PROXY_OPAQUE_PORTS).toBe("25,4000-4100")
  expect(env.CONDUIT_PROXY_LOG_LEVEL).toBe("debug")
  expect(env.CONDUIT_PROXY_WORKLOAD_KIND).toBe("deployment")
  expect(env.CONDUIT_PROXY_ACCESS_LOG).toBe("json")
  expect(env.CONDUIT_PROXY_TRACE_COLLECTOR).toBe("collector.tracing:4318")
  expect(env.CONDUIT_PROXY_TRACE_SAMPLING).toBe("0.01")
  expect(init?.args).toContain("--skip-outbound-ports=3306")
  expect(init?.args).toContain("--proxy-uid=3000")
  expect(proxy?.securityContext?.runAsUser).toBe(3000)
  expect(proxy?.resources?.limits).toEqual({ cpu: "500m" })
})

test.each([
  ["opaque-ports", "80-http", '"80-http" is not a port'],
  ["proxy-log-level", "loud", "one of error, warn, info"],
  ["proxy-uid", "0", "above 0"],
  ["proxy-cpu-request", "100Mi", "a quantity such as 100m"],
  ["access-log", "on", "one of off, apache, json"],
  ["trace-collector", "http://collector:4318", "host:port of an OpenTelemetry collector"],
  ["trace-sampling", "10", "a share from 0 to 1"],
  ["colour", "blue", "is not a setting of Conduit"],
])("setting %s = %s is refused with a sentence that says why", (name, value, reason) => {
  expect(() => inject(template({ [`config.conduit.io/${name}`]: value }), options)).toThrow(reason)
})

test("UDP ports are named as left alone", () => {
  const spec = { containers: [{ name: "dns", ports: [{ containerPort: 53, protocol: "UDP" }] }] }
  expect(inject(template({}, spec), options).warnings).toEqual(["UDP is not meshed: port 53 stays as it is"])
})

test("a request above its limit is refused, in whatever units", () => {
  const given = template({
    "config.conduit.io/proxy-memory-request": "1Gi",
    "config.conduit.io/proxy-memory-limit": "1000Mi",
  })
  expect(() => inject(given, options)).toThrow("it is more than proxy-memory-limit, which is 1000Mi")
})

test("ports and users that collide with the proxy's are named", () => {
  const ports = [{ containerPort: 4143 }, { containerPort: 80 }]
  const spec = { containers: [{ name: "web", ports, securityContext: { runAsUser: 2102 } }] }
  const { warnings } = inject(template({}, spec), options)
  expect(warnings[0]).toBe("the proxy listens on port 4143 itself")
  expect(warnings[1]).toContain("web runs as user 2102")
})

test("to annotate is to ask the webhook, once", () => {
  const { template: out, injected } = annotate(template({ note: "a" }), options)
  expect(injected).toBe(true)
  expect(out.metadata?.annotations?.["conduit.io/inject"]).toBe("enabled")
  expect(out.spec).toEqual(template({ note: "a" }).spec)
  expect(annotate(out, options)).toMatchObject({
    injected: false,
    skipped: "already conduit.io/inject: enabled",
  })
  expect(uninject(out).template).toEqual(template({ note: "a" }))
})

const GIVEN: readonly PodTemplate[] = [
  template({ note: "a / and a ~" }),
  { spec: { containers: [{ name: "web" }] } },
  template(PLAIN, {
    initContainers: [{ name: "migrate" }],
    volumes: [{ name: "data", emptyDir: {} }],
    containers: [{ name: "web" }, { name: "helper" }],
  }),
]

test.each(GIVEN)("the JSON patch of inject makes what inject makes: %#", given => {
  const { template: wanted, patch } = injectPatch(given, options)
  expect(patch.length).toBeGreaterThan(2)
  expect(applied(given, patch) as PodTemplate).toEqual(wanted)
})

test.each(GIVEN)("uninject is the inverse of inject: %#", given => {
  expect(uninject(inject(given, options).template).template).toEqual(given)
  const { template: out } = inject(given, CNI)
  expect(uninject(out).template).toEqual(given)
  expect(inject(out, CNI)).toMatchObject({ injected: false, template: out })
})

test("where nothing is injected the patch is empty", () => {
  expect(injectPatch(template({ "conduit.io/inject": "disabled" }), options).patch).toEqual([])
})

test("uninject leaves alone what Conduit did not inject", () => {
  const given = template({}, { containers: [{ name: "web" }, { name: "conduit-proxy" }] })
  expect(uninject(given)).toMatchObject({ uninjected: false, skipped: "not injected", template: given })
})

test("uninject takes out what an older version put there, and keeps what was added since", () => {
  const old: PodTemplate = {
    metadata: {
      labels: { app: "web", "conduit.io/workload-ns": "shop", added: "later" },
      annotations: { "conduit.io/created-by": "conduit/0.0.1", "conduit.io/inject": "enabled" },
    },
    spec: {
      initContainers: [{ name: "conduit-init", image: "old" }],
      containers: [{ name: "web" }, { name: "conduit-proxy", args: ["--old"] }],
      volumes: [{ name: "conduit-identity-token", emptyDir: {} }],
    },
  }
  expect(uninject(old).template).toEqual({
    metadata: { labels: { app: "web", added: "later" }, annotations: { "conduit.io/inject": "enabled" } },
    spec: { containers: [{ name: "web" }] },
  })
})

/** RFC 6902, as an API server carries it out. */
function applied(value: unknown, patch: readonly PatchOperation[]): unknown {
  const root = structuredClone(value) as Record<string, unknown>
  for (const operation of patch) {
    const steps = operation.path
      .slice(1)
      .split("/")
      .map(step => step.replaceAll("~1", "/").replaceAll("~0", "~"))
    const key = steps.pop() ?? ""
    const holder = steps.reduce<unknown>((at, step) => (at as Record<string, unknown>)[step], root)
    if (operation.op === "remove") throw new Error("inject removes nothing")
    if (Array.isArray(holder) && operation.op === "add") holder.splice(Number(key), 0, operation.value)
    else (holder as Record<string, unknown>)[key] = operation.value
  }
  return root
}
