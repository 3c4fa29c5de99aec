// Which pods get a proxy, whose they are said to be, and what the others are told.
import { describe, expect, test } from "bun:test"
import type { ObjectMeta, OwnerReference, PodTemplate } from "../../deploy/inject/mod.ts"
import { admit, type InjectDefaults } from "./admit.ts"
import type { ClusterLookUp } from "./workload.ts"

const DEFAULTS: InjectDefaults = { conduitNamespace: "conduit", version: "1.2.3" }
const ON = { "conduit.io/inject": "enabled" }
const OFF = { "conduit.io/inject": "disabled" }

function owner(kind: string, name: string, apiVersion = "apps/v1"): OwnerReference {
  return { apiVersion, kind, name, uid: `uid-${name}`, controller: true }
}

function pod(metadata: ObjectMeta = {}, spec: object = {}): PodTemplate {
  return { metadata, spec: { containers: [{ name: "app", image: "app:1" }], ...spec } }
}

/** A cluster with a Deployment, a CronJob and what they made. */
function cluster(annotations: Record<string, string> = ON): ClusterLookUp {
  const objects: Record<string, ObjectMeta> = {
    "ReplicaSet/web-7d": { uid: "uid-web-7d", ownerReferences: [owner("Deployment", "web")] },
    "ReplicaSet/bare": { uid: "uid-bare" },
    "ReplicaSet/canary-1": {
      uid: "uid-canary-1",
      ownerReferences: [owner("Rollout", "canary", "argoproj.io/v1alpha1")],
    },
    "Job/night-1": { uid: "uid-night-1", ownerReferences: [owner("CronJob", "night", "batch/v1")] },
    "Job/once": { uid: "uid-once" },
    "Job/reborn": { uid: "another", ownerReferences: [owner("CronJob", "night", "batch/v1")] },
  }
  return {
    annotationsOf: async () => annotations,
    ownerOf: async (_, { kind, name }) => objects[`${kind}/${name}`] ?? null,
  }
}

const decide = (given: PodTemplate, from = cluster(), namespace = "shop", failures: unknown[] = []) =>
  admit(given, namespace, from, DEFAULTS, error => failures.push(error))

test.each([
  ["enabled on the namespace", "injected", ON, {}],
  ["enabled on the pod", "injected", {}, ON],
  ["enabled on the pod over its namespace", "injected", OFF, ON],
  ["asked for by nobody", "untouched", {}, {}],
  ["disabled on the namespace", "untouched", OFF, {}],
  ["disabled on the pod over its namespace", "untouched", ON, OFF],
  ["neither enabled nor disabled", "skipped", { "conduit.io/inject": "yes" }, {}],
] as const)("inject, %s: the pod is %s", async (_, outcome, namespace, own) => {
  expect((await decide(pod({ annotations: own }), cluster(namespace))).outcome).toBe(outcome)
})

test("pods of the control plane's namespace are left alone, whatever they ask for", async () => {
  const { outcome } = await decide(pod({ annotations: ON }), cluster(), "conduit")
  expect(outcome).toBe("untouched")
})

test("what a kubelet shows of its static pods is left alone", async () => {
  const annotations = { "kubernetes.io/config.mirror": "a1b2" }
  expect((await decide(pod({ annotations }))).outcome).toBe("untouched")
})

test("a pod that opted out costs no question", async () => {
  const asked = (): never => {
    throw new Error("asked")
  }
  const { outcome } = await decide(pod({ annotations: OFF }), { annotationsOf: asked, ownerOf: asked })
  expect(outcome).toBe("untouched")
})

describe("the workload in a pod's labels", () => {
  const batch = "batch/v1"
  test.each([
    ["a Deployment's", [owner("ReplicaSet", "web-7d")], { "conduit.io/deployment": "web" }],
    ["a ReplicaSet's", [owner("ReplicaSet", "bare")], { "conduit.io/replicaset": "bare" }],
    ["a StatefulSet's", [owner("StatefulSet", "db")], { "conduit.io/statefulset": "db" }],
    ["a DaemonSet's", [owner("DaemonSet", "agent")], { "conduit.io/daemonset": "agent" }],
    ["a Job's", [owner("Job", "once", batch)], { "conduit.io/job": "once" }],
    ["a CronJob's", [owner("Job", "night-1", batch)], { "conduit.io/cronjob": "night" }],
    [
      "another kind's ReplicaSet's",
      [owner("ReplicaSet", "canary-1")],
      { "conduit.io/replicaset": "canary-1" },
    ],
    ["another kind's", [owner("TaskRun", "build", "tekton.dev/v1")], {}],
    ["a namesake's of another group", [owner("ReplicaSet", "web-7d", "evil/v1")], {}],
    ["a Job's that was made anew", [owner("Job", "reborn", batch)], { "conduit.io/job": "reborn" }],
    ["nobody's", [], {}],
    ["no controller's", [{ ...owner("StatefulSet", "db"), controller: false }], {}],
  ] as const)("is %s", async (_, ownerReferences, labels) => {
    const { patch } = await decide(pod({ ownerReferences: [...ownerReferences] }))
    const [added] = patch.flatMap(one =>
      one.path === "/metadata/labels" && "value" in one ? [one.value] : [],
    )
    expect(added).toEqual({
      "conduit.io/control-plane-ns": "conduit",
      "conduit.io/workload-ns": "shop",
      ...labels,
    })
  })

  test("is the Deployment by its pods' hash while the API server cannot say, which is told", async () => {
    const failures: unknown[] = []
    const away = { ...cluster(), ownerOf: () => Promise.reject(new Error("away")) }
    const metadata = {
      labels: { "pod-template-hash": "7d" },
      ownerReferences: [owner("ReplicaSet", "web-7d")],
    }
    const { workload } = await decide(pod(metadata), away, "shop", failures)
    expect(workload).toEqual({ kind: "Deployment", name: "web" })
    expect(failures).toHaveLength(1)
  })
})

test("settings of the namespace hold for its pods, and a pod's own win", async () => {
  const prefix = "config.conduit.io/"
  const from = cluster({ ...ON, [`${prefix}opaque-ports`]: "25", [`${prefix}proxy-log-level`]: "debug" })
  const { patch } = await decide(pod({ annotations: { [`${prefix}proxy-log-level`]: "warn" } }), from)
  const text = JSON.stringify(patch)
  expect(text).toContain('{"name":"CONDUIT_PROXY_OPAQUE_PORTS","value":"25"}')
  expect(text).toContain('{"name":"CONDUIT_PROXY_LOG_LEVEL","value":"warn"}')
})

test("pods that end get a sidecar that ends with them", async () => {
  const sidecars = async (given: PodTemplate) =>
    JSON.stringify((await decide(given)).patch).includes('"restartPolicy":"Always"')
  expect(await sidecars(pod({ ownerReferences: [owner("Job", "once", "batch/v1")] }))).toBe(true)
  expect(await sidecars(pod({}, { restartPolicy: "Never" }))).toBe(true)
  expect(await sidecars(pod({ ownerReferences: [owner("ReplicaSet", "web-7d")] }))).toBe(false)
})

test("an injected pod is left alone", async () => {
  const injected = pod(
    { annotations: { "conduit.io/created-by": "conduit/0.9" } },
    { containers: [{ name: "app" }, { name: "conduit-proxy" }] },
  )
  expect(await decide(injected)).toMatchObject({ outcome: "untouched", patch: [] })
})

test("a pod that asks and cannot have one is let in, warned of, and bears the reason", async () => {
  const reason = "hostNetwork: redirecting it would redirect the whole node"
  expect(await decide(pod({ labels: { a: "b" } }, { hostNetwork: true }))).toEqual({
    outcome: "skipped",
    workload: { kind: "Pod", name: "" },
    reason,
    patch: [{ op: "add", path: "/metadata/annotations", value: { "conduit.io/not-injected": reason } }],
    warnings: [`it gets no proxy: ${reason}`],
  })
})

test.each([
  ["its pod template", ON, { "config.conduit.io/opaque-ports": "x" }],
  ["namespace shop", { ...ON, "config.conduit.io/opaque-ports": "x" }, {}],
] as const)(
  "a setting on %s that cannot be used refuses the pod, and says where to correct it",
  async (where, namespace, own) => {
    const { outcome, reason, patch } = await decide(pod({ annotations: own }), cluster(namespace))
    expect({ outcome, patch }).toEqual({ outcome: "refused", patch: [] })
    expect(reason).toStartWith('annotation config.conduit.io/opaque-ports: "x" cannot be used: ')
    expect(reason).toContain(
      `; correct it on ${where}, or let the pod in without proxy by conduit.io/inject: disabled`,
    )
  },
)

test("a namespace that cannot be asked for is no answer", async () => {
  const away = { ...cluster(), annotationsOf: () => Promise.reject(new Error("away")) }
  await expect(decide(pod({ annotations: ON }), away)).rejects.toThrow("away")
})
