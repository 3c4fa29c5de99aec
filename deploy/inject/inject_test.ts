// Tests of inject: who is injected, who is not and why, and what a setting changes.
import { expect, test } from "bun:test"
import { type InjectOptions, inject } from "./inject.ts"
import type { PodTemplate } from "./pod_spec.ts"

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

test("without native sidecars the proxy is the last container", () => {
  const { template: out } = inject(template({ "config.conduit.io/native-sidecar": "disabled" }), options)
  expect(out.spec.containers.map(container => container.name)).toEqual(["web", "conduit-proxy"])
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
    }),
    options,
  )
  const [init, proxy] = out.spec.initContainers ?? []
  const env = Object.fromEntries((proxy?.env ?? []).map(variable => [variable.name, variable.value]))
  expect(env.CONDUIT_PROXY_OPAQUE_PORTS).toBe("25,4000-4100")
  expect(env.CONDUIT_PROXY_LOG_LEVEL).toBe("debug")
  expect(env.CONDUIT_PROXY_WORKLOAD_KIND).toBe("deployment")
  expect(init?.args).toContain("--skip-outbound-ports=3306")
  expect(init?.args).toContain("--proxy-uid=3000")
  expect(proxy?.securityContext?.runAsUser).toBe(3000)
  expect(proxy?.resources?.limits).toEqual({ cpu: "500m" })
})

test.each([
  ["opaque-ports", "80-http", '"80-http" is not a port'],
  ["proxy-log-level", "loud", "one of error, warn, info"],
  ["proxy-uid", "0", "above 0"],
  ["colour", "blue", "is not a setting of Conduit"],
])("setting %s = %s is refused with a sentence that says why", (name, value, reason) => {
  expect(() => inject(template({ [`config.conduit.io/${name}`]: value }), options)).toThrow(reason)
})

test("UDP ports are named as left alone", () => {
  const spec = { containers: [{ name: "dns", ports: [{ containerPort: 53, protocol: "UDP" }] }] }
  expect(inject(template({}, spec), options).warnings).toEqual(["UDP is not meshed: port 53 stays as it is"])
})
