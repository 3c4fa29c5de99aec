// The shared table of cases that every source of cluster state is held to: objects in their standard shapes go in,
// what the store then answers must come out. Run by manifests_test.ts, and by each further source's own test.
import { ipFamily } from "./ip_address.ts"
import { endpointsOf } from "./serving_addresses.ts"
import type { ClusterStore } from "./store.ts"

/** A Kubernetes object in its standard shape. */
export interface KubernetesObject {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly [field: string]: unknown }
  readonly [field: string]: unknown
}

/** One step: changes, then a question and the answer that must follow. */
export interface SourceStep {
  /** Objects that are created or replaced. */
  readonly put?: readonly KubernetesObject[]
  /** Objects that are deleted. */
  readonly remove?: readonly KubernetesObject[]
  /** The question. */
  readonly ask: (store: ClusterStore) => unknown
  /** The answer. */
  readonly answer: unknown
}

/** A case: a sentence, and the steps that show it. */
export interface SourceCase {
  readonly name: string
  readonly steps: readonly SourceStep[]
}

// ---- objects, with what does not matter left out ----

interface PodOptions {
  readonly labels?: Record<string, string>
  readonly ips?: readonly string[]
  readonly ready?: boolean
  readonly phase?: string
  readonly terminating?: boolean
  /** Its node is not heard. */
  readonly unheard?: boolean
  readonly owner?: readonly [kind: string, name: string]
  readonly ports?: readonly object[]
  readonly spec?: object
  readonly annotations?: Record<string, string>
  readonly created?: string
}

const NAMESPACE = "shop"

function pod(name: string, options: PodOptions = {}): KubernetesObject {
  const {
    labels = { app: "web" },
    ips = [],
    ready = true,
    phase = "Running",
    owner,
    ports = [],
    created,
  } = options
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace: NAMESPACE,
      labels,
      ...(options.annotations === undefined ? {} : { annotations: options.annotations }),
      ...(created === undefined ? {} : { creationTimestamp: created }),
      ...(options.terminating === true ? { deletionTimestamp: "2025-01-01T00:00:00Z" } : {}),
      ...(owner === undefined
        ? {}
        : { ownerReferences: [{ kind: owner[0], name: owner[1], controller: true }] }),
    },
    spec: { containers: [{ name: "app", ports }], nodeName: "node-1", ...options.spec },
    status: {
      phase,
      ...(ips.length === 0 ? {} : { podIP: ips[0], podIPs: ips.map(ip => ({ ip })) }),
      conditions: [
        { type: "Ready", status: ready && options.unheard !== true ? "True" : "False" },
        { type: "ContainersReady", status: ready ? "True" : "False" },
      ],
    },
  }
}

function service(name: string, spec: object, annotations: Record<string, string> = {}): KubernetesObject {
  return { apiVersion: "v1", kind: "Service", metadata: { name, namespace: NAMESPACE, annotations }, spec }
}

function owned(
  apiVersion: string,
  kind: string,
  name: string,
  owner?: readonly [string, string],
): KubernetesObject {
  const ownerReferences = owner === undefined ? [] : [{ kind: owner[0], name: owner[1], controller: true }]
  const spec = kind === "CronJob" ? { jobTemplate: {} } : { template: {} }
  return { apiVersion, kind, metadata: { name, namespace: NAMESPACE, ownerReferences }, spec }
}

function slice(name: string, serviceName: string, body: object): KubernetesObject {
  const labels = { "kubernetes.io/service-name": serviceName }
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name, namespace: NAMESPACE, labels },
    addressType: "IPv4",
    ...body,
  }
}

function authorizationPolicy(name: string, action: string): KubernetesObject {
  return {
    apiVersion: "policy.conduit.io/v1alpha1",
    kind: "AuthorizationPolicy",
    metadata: { name, namespace: NAMESPACE },
    spec: {
      target: { kind: "Deployment", name: "web" },
      action,
      rules: [{ from: [{ namespaces: [NAMESPACE] }] }],
    },
  }
}

// ---- questions ----

/** `name action` of each policy. */
function policies(store: ClusterStore): unknown {
  return [...store.policies(NAMESPACE)].map(({ name, policy }) => `${name} ${policy.action}`).sort()
}

/** `service:port` behind an address, or null. */
function at(ip: string, port: number): (store: ClusterStore) => unknown {
  return store => {
    const found = store.serviceAt(ip, port)
    return found === undefined ? null : `${found.service.name}:${found.port.name}`
  }
}

/** Endpoints `ip port` behind a cluster IP. */
function endpoints(ip: string, port: number): (store: ClusterStore) => unknown {
  return store => {
    const found = store.serviceAt(ip, port)
    if (found === undefined) return null
    return endpointsOf(store, found.service, found.port, ipFamily(ip)).map(
      address => `${address.ip} ${address.port}`,
    )
  }
}

/** Endpoints of a Service by its name, for one that has no cluster IP. */
function endpointsByName(name: string, family: 4 | 6 = 4): (store: ClusterStore) => unknown {
  return store => {
    const found = store.service(NAMESPACE, name)
    return found?.ports.flatMap(port =>
      endpointsOf(store, found, port, family).map(({ ip, port: to }) => `${ip} ${to}`),
    )
  }
}

/** `kind/name` of the workload that a pod belongs to. */
function workload(name: string): (store: ClusterStore) => unknown {
  return store => {
    const found = store.pod(NAMESPACE, name)
    if (found === undefined) return null
    const owner = store.workloadOf(found)
    return `${owner.kind}/${owner.name}`
  }
}

/** Name of the pod behind an address. */
function podAt(ip: string, port = 80): (store: ClusterStore) => unknown {
  return store => store.podAt(ip, port)?.name ?? null
}

const WEB_SPEC = { clusterIP: "10.96.5.1", selector: { app: "web" }, ports: [{ port: 80, targetPort: 8080 }] }

/** The table. */
export const SOURCE_CASES: readonly SourceCase[] = [
  {
    name: "a Service's cluster IP leads to the ready pods that it selects",
    steps: [
      {
        put: [
          service("web", WEB_SPEC),
          pod("a", { ips: ["10.0.0.1"] }),
          pod("b", { ips: ["10.0.0.2"], ready: false }),
          pod("c", { ips: ["10.0.0.3"], labels: { app: "other" } }),
          pod("d", { ips: ["10.0.0.4"], phase: "Succeeded" }),
          pod("e"),
        ],
        ask: endpoints("10.96.5.1", 80),
        answer: ["10.0.0.1 8080"],
      },
      {
        put: [pod("b", { ips: ["10.0.0.2"] })],
        ask: endpoints("10.96.5.1", 80),
        answer: ["10.0.0.1 8080", "10.0.0.2 8080"],
      },
      { remove: [pod("a")], ask: endpoints("10.96.5.1", 80), answer: ["10.0.0.2 8080"] },
      { remove: [service("web", WEB_SPEC)], ask: at("10.96.5.1", 80), answer: null },
    ],
  },
  {
    name: "pods that were there before their Service are found",
    steps: [
      { put: [pod("a", { ips: ["10.0.0.1"] })], ask: podAt("10.0.0.1"), answer: "a" },
      { put: [service("web", WEB_SPEC)], ask: endpoints("10.96.5.1", 80), answer: ["10.0.0.1 8080"] },
    ],
  },
  {
    name: "a changed selector or cluster IP takes effect",
    steps: [
      {
        put: [
          service("web", WEB_SPEC),
          pod("a", { ips: ["10.0.0.1"] }),
          pod("z", { ips: ["10.0.0.9"], labels: { app: "z" } }),
        ],
        ask: endpoints("10.96.5.1", 80),
        answer: ["10.0.0.1 8080"],
      },
      {
        put: [service("web", { ...WEB_SPEC, clusterIP: "10.96.5.2", selector: { app: "z" } })],
        ask: store => [at("10.96.5.1", 80)(store), endpoints("10.96.5.2", 80)(store)],
        answer: [null, ["10.0.0.9 8080"]],
      },
    ],
  },
  {
    name: "a port that the Service lacks is not served, nor is one of UDP",
    steps: [
      {
        put: [
          service("dns", {
            ...WEB_SPEC,
            ports: [
              { name: "udp", port: 53, protocol: "UDP" },
              { name: "tcp", port: 53 },
              { name: "u", port: 54, protocol: "UDP" },
            ],
          }),
        ],
        ask: store => [at("10.96.5.1", 53)(store), at("10.96.5.1", 54)(store), at("10.96.5.1", 55)(store)],
        answer: ["dns:tcp", null, null],
      },
    ],
  },
  {
    name: "several ports lead each to its own target; without targetPort the port is its own target",
    steps: [
      {
        put: [
          service("web", {
            ...WEB_SPEC,
            ports: [
              { name: "http", port: 80, targetPort: 8080 },
              { name: "admin", port: 9000 },
              { name: "quoted", port: 81, targetPort: "8081" },
            ],
          }),
          pod("a", { ips: ["10.0.0.1"] }),
        ],
        ask: store => [80, 9000, 81].map(port => endpoints("10.96.5.1", port)(store)),
        answer: [["10.0.0.1 8080"], ["10.0.0.1 9000"], ["10.0.0.1 8081"]],
      },
    ],
  },
  {
    name: "a named target port is each pod's own, and a pod without it is left out",
    steps: [
      {
        put: [
          service("web", { ...WEB_SPEC, ports: [{ port: 80, targetPort: "http" }] }),
          pod("a", { ips: ["10.0.0.1"], ports: [{ name: "http", containerPort: 8080 }] }),
          pod("b", { ips: ["10.0.0.2"], ports: [{ name: "http", containerPort: 9090 }] }),
          pod("c", { ips: ["10.0.0.3"], ports: [{ name: "http", containerPort: 53, protocol: "UDP" }] }),
          pod("d", {
            ips: ["10.0.0.4"],
            spec: {
              initContainers: [
                { name: "side", restartPolicy: "Always", ports: [{ name: "http", containerPort: 7070 }] },
              ],
            },
          }),
        ],
        ask: endpoints("10.96.5.1", 80),
        answer: ["10.0.0.1 8080", "10.0.0.2 9090", "10.0.0.4 7070"],
      },
    ],
  },
  {
    name: "a headless Service has no cluster IP, its pods are reached by their own addresses",
    steps: [
      {
        put: [
          service("db", { clusterIP: "None", selector: { app: "web" }, ports: [{ port: 5432 }] }),
          pod("db-0", { ips: ["10.0.0.1"], owner: ["StatefulSet", "db"] }),
        ],
        ask: store => [at("None", 5432)(store), podAt("10.0.0.1", 5432)(store), endpointsByName("db")(store)],
        answer: [null, "db-0", ["10.0.0.1 5432"]],
      },
      {
        put: [service("none", { clusterIP: "None", selector: { app: "web" } })],
        ask: endpointsByName("none"),
        answer: [],
      },
    ],
  },
  {
    name: "an ExternalName Service stands for a name, not for an address",
    steps: [
      {
        put: [service("ext", { type: "ExternalName", externalName: "db.example.com" })],
        ask: store => store.service(NAMESPACE, "ext")?.externalName,
        answer: "db.example.com",
      },
    ],
  },
  {
    name: "a dual-stack Service leads to addresses of the family that was connected to",
    steps: [
      {
        put: [
          service("web", {
            ...WEB_SPEC,
            clusterIPs: ["10.96.5.1", "fd00:96::0001"],
            ipFamilies: ["IPv4", "IPv6"],
          }),
          pod("a", { ips: ["10.0.0.1", "fd00:0:0::A"] }),
          pod("b", { ips: ["10.0.0.2"] }),
        ],
        ask: store => [
          endpoints("10.96.5.1", 80)(store),
          endpoints("fd00:96::1", 80)(store),
          podAt("fd00::a")(store),
        ],
        answer: [["10.0.0.1 8080", "10.0.0.2 8080"], ["fd00::a 8080"], "a"],
      },
    ],
  },
  {
    name: "publishNotReadyAddresses serves pods that are not ready",
    steps: [
      {
        put: [
          service("web", { ...WEB_SPEC, publishNotReadyAddresses: true }),
          pod("a", { ips: ["10.0.0.1"], ready: false }),
        ],
        ask: endpoints("10.96.5.1", 80),
        answer: ["10.0.0.1 8080"],
      },
    ],
  },
  {
    name: "sessionAffinity changes nothing",
    steps: [
      {
        put: [service("web", { ...WEB_SPEC, sessionAffinity: "ClientIP" }), pod("a", { ips: ["10.0.0.1"] })],
        ask: endpoints("10.96.5.1", 80),
        answer: ["10.0.0.1 8080"],
      },
    ],
  },
  {
    name: "a terminating pod serves only while no other is ready",
    steps: [
      {
        put: [
          service("web", WEB_SPEC),
          pod("a", { ips: ["10.0.0.1"], terminating: true }),
          pod("b", { ips: ["10.0.0.2"] }),
        ],
        ask: endpoints("10.96.5.1", 80),
        answer: ["10.0.0.2 8080"],
      },
      {
        put: [pod("b", { ips: ["10.0.0.2"], ready: false })],
        ask: endpoints("10.96.5.1", 80),
        answer: ["10.0.0.1 8080"],
      },
      {
        put: [pod("a", { ips: ["10.0.0.1"], terminating: true, ready: false })],
        ask: endpoints("10.96.5.1", 80),
        answer: [],
      },
    ],
  },
  {
    name: "a pod whose node is not heard serves only while no other is ready, and one with readiness gates never",
    steps: [
      {
        put: [
          service("web", WEB_SPEC),
          pod("a", { ips: ["10.0.0.1"], unheard: true }),
          pod("b", { ips: ["10.0.0.2"] }),
        ],
        ask: endpoints("10.96.5.1", 80),
        answer: ["10.0.0.2 8080"],
      },
      {
        put: [pod("b", { ips: ["10.0.0.2"], ready: false })],
        ask: endpoints("10.96.5.1", 80),
        answer: ["10.0.0.1 8080"],
      },
      {
        put: [
          pod("a", {
            ips: ["10.0.0.1"],
            unheard: true,
            spec: { readinessGates: [{ conditionType: "example.com/open" }] },
          }),
        ],
        ask: endpoints("10.96.5.1", 80),
        answer: [],
      },
    ],
  },
  {
    name: "a Service without selector is served by its EndpointSlices",
    steps: [
      {
        put: [
          service("web", { clusterIP: "10.96.5.1", ports: [{ name: "http", port: 80 }] }),
          slice("web-1", "web", {
            ports: [
              { name: "http", port: 8080 },
              { name: "other", port: 1 },
            ],
            endpoints: [
              { addresses: ["192.0.2.1"], conditions: { ready: true } },
              { addresses: ["192.0.2.2"], conditions: { ready: false } },
              { addresses: ["192.0.2.3"], zone: "z1" },
            ],
          }),
          slice("web-2", "web", {
            ports: [{ name: "http", port: 9090 }],
            endpoints: [{ addresses: ["192.0.2.4"] }],
          }),
          slice("web-6", "web", {
            addressType: "IPv6",
            ports: [{ name: "http", port: 8080 }],
            endpoints: [{ addresses: ["fd00::1"] }],
          }),
        ],
        ask: endpoints("10.96.5.1", 80),
        answer: ["192.0.2.1 8080", "192.0.2.3 8080", "192.0.2.4 9090"],
      },
      {
        remove: [slice("web-2", "web", {})],
        ask: endpoints("10.96.5.1", 80),
        answer: ["192.0.2.1 8080", "192.0.2.3 8080"],
      },
    ],
  },
  {
    name: "a Service without selector is served by its Endpoints object",
    steps: [
      {
        put: [
          service("web", { clusterIP: "10.96.5.1", ports: [{ port: 80 }] }),
          {
            apiVersion: "v1",
            kind: "Endpoints",
            metadata: { name: "web", namespace: NAMESPACE },
            subsets: [
              {
                addresses: [{ ip: "192.0.2.1" }],
                notReadyAddresses: [{ ip: "192.0.2.2" }],
                ports: [{ port: 8080 }],
              },
            ],
          },
        ],
        ask: endpoints("10.96.5.1", 80),
        answer: ["192.0.2.1 8080"],
      },
    ],
  },
  {
    name: "a pod belongs to the Deployment above its ReplicaSet, also before the ReplicaSet is known",
    steps: [
      {
        put: [pod("a", { owner: ["ReplicaSet", "web-7d9f"], labels: { "pod-template-hash": "7d9f" } })],
        ask: workload("a"),
        answer: "deployment/web",
      },
      { put: [pod("b", { owner: ["ReplicaSet", "mine"] })], ask: workload("b"), answer: "replicaset/mine" },
      {
        put: [owned("apps/v1", "ReplicaSet", "mine", ["Deployment", "big"])],
        ask: workload("b"),
        answer: "deployment/big",
      },
    ],
  },
  {
    name: "pods of a StatefulSet, DaemonSet, Job and CronJob belong to it, and a bare pod to itself",
    steps: [
      {
        put: [
          pod("db-0", { owner: ["StatefulSet", "db"] }),
          pod("log-x", { owner: ["DaemonSet", "log"] }),
          pod("once-x", { owner: ["Job", "once"] }),
          pod("tick-1-x", { owner: ["Job", "tick-1"] }),
          pod("bare"),
          owned("apps/v1", "StatefulSet", "db"),
          owned("apps/v1", "DaemonSet", "log"),
          owned("batch/v1", "Job", "once"),
          owned("batch/v1", "Job", "tick-1", ["CronJob", "tick"]),
          owned("batch/v1", "CronJob", "tick"),
        ],
        ask: store => ["db-0", "log-x", "once-x", "tick-1-x", "bare"].map(name => workload(name)(store)),
        answer: ["statefulset/db", "daemonset/log", "job/once", "cronjob/tick", "pod/bare"],
      },
    ],
  },
  {
    name: "a pod on its node's network is found by its declared ports only",
    steps: [
      {
        put: [
          pod("node-a", {
            ips: ["10.9.0.1"],
            spec: { hostNetwork: true, containers: [{ name: "a", ports: [{ containerPort: 9100 }] }] },
          }),
          pod("node-b", {
            ips: ["10.9.0.1"],
            spec: { hostNetwork: true, containers: [{ name: "b", ports: [{ containerPort: 9200 }] }] },
          }),
        ],
        ask: store => [9100, 9200, 22].map(port => podAt("10.9.0.1", port)(store)),
        answer: ["node-a", "node-b", null],
      },
    ],
  },
  {
    name: "an address that went to another pod is that pod's",
    steps: [
      {
        put: [
          pod("old", { ips: ["10.0.0.1"], terminating: true, created: "2025-01-02T00:00:00Z" }),
          pod("new", { ips: ["10.0.0.1"], created: "2025-01-01T00:00:00Z" }),
          pod("done", { ips: ["10.0.0.1"], phase: "Failed", created: "2025-01-03T00:00:00Z" }),
        ],
        ask: podAt("10.0.0.1"),
        answer: "new",
      },
      { remove: [pod("new"), pod("old")], ask: podAt("10.0.0.1"), answer: null },
    ],
  },
  {
    name: "a pod is meshed when it carries our proxy and our label, as a container or as a native sidecar",
    steps: [
      {
        put: [
          pod("old", {
            labels: { "conduit.io/control-plane-ns": "conduit" },
            spec: { containers: [{ name: "conduit-proxy" }] },
          }),
          pod("native", {
            labels: { "conduit.io/control-plane-ns": "conduit" },
            spec: { initContainers: [{ name: "conduit-proxy", restartPolicy: "Always" }] },
          }),
          pod("unlabelled", { spec: { containers: [{ name: "conduit-proxy" }] } }),
          pod("init-only", {
            labels: { "conduit.io/control-plane-ns": "conduit" },
            spec: { initContainers: [{ name: "conduit-proxy" }] },
          }),
        ],
        ask: store =>
          ["old", "native", "unlabelled", "init-only"].map(name => store.pod(NAMESPACE, name)?.meshed),
        answer: [true, true, false, false],
      },
    ],
  },
  {
    name: "a node's zone is its pods' zone",
    steps: [
      {
        put: [
          service("web", WEB_SPEC),
          pod("a", { ips: ["10.0.0.1"] }),
          {
            apiVersion: "v1",
            kind: "Node",
            metadata: { name: "node-1", labels: { "topology.kubernetes.io/zone": "z1" } },
          },
        ],
        ask: store => {
          const found = store.serviceAt("10.96.5.1", 80)
          return found && endpointsOf(store, found.service, found.port, 4).map(address => address.zone)
        },
        answer: ["z1"],
      },
    ],
  },
  {
    name: "opaque ports are the object's own, else its namespace's",
    steps: [
      {
        put: [
          {
            apiVersion: "v1",
            kind: "Namespace",
            metadata: { name: NAMESPACE, annotations: { "config.conduit.io/opaque-ports": "25,4000-4100" } },
          },
          pod("a"),
          pod("b", { annotations: { "config.conduit.io/opaque-ports": "3306" } }),
          pod("c", { annotations: { "config.conduit.io/opaque-ports": "" } }),
        ],
        ask: store =>
          ["a", "b", "c"].map(name => {
            const found = store.pod(NAMESPACE, name)
            return found && store.opaquePortsOf(found)
          }),
        answer: [
          [
            { first: 25, last: 25 },
            { first: 4000, last: 4100 },
          ],
          [{ first: 3306, last: 3306 }],
          [],
        ],
      },
    ],
  },
  {
    name: "kinds that are not known are left alone",
    steps: [
      {
        put: [
          {
            apiVersion: "example.com/v1",
            kind: "Widget",
            metadata: { name: "w", namespace: NAMESPACE },
            spec: 5,
          },
        ],
        ask: store => store.size,
        answer: 0,
      },
    ],
  },
  {
    name: "policies are found by their namespace, changed and removed",
    steps: [
      {
        put: [authorizationPolicy("a", "Allow"), authorizationPolicy("b", "Deny")],
        ask: policies,
        answer: ["a Allow", "b Deny"],
      },
      { put: [authorizationPolicy("a", "Audit")], ask: policies, answer: ["a Audit", "b Deny"] },
      { remove: [authorizationPolicy("b", "Deny")], ask: policies, answer: ["a Audit"] },
    ],
  },
  {
    name: "policies of another mesh's API group are left alone",
    steps: [
      {
        put: [{ ...authorizationPolicy("a", "ALLOW"), apiVersion: "security.istio.io/v1" }],
        ask: store => store.size,
        answer: 0,
      },
    ],
  },
  {
    name: "probes are those of containers and native sidecars, with named ports, each once",
    steps: [
      {
        put: [
          pod("a", {
            spec: {
              containers: [
                {
                  name: "app",
                  ports: [{ name: "web", containerPort: 8080 }],
                  livenessProbe: { httpGet: { path: "/live", port: "web" } },
                  readinessProbe: { httpGet: { path: "live", port: 8080 } },
                  startupProbe: { grpc: { port: 9000 } },
                },
                { name: "other", readinessProbe: { httpGet: { path: "/x", port: "web" } } },
                { name: "away", readinessProbe: { httpGet: { path: "/", port: 80, host: "192.0.2.1" } } },
                { name: "conduit-proxy", readinessProbe: { httpGet: { path: "/ready", port: 4191 } } },
              ],
              initContainers: [
                {
                  name: "sidecar",
                  restartPolicy: "Always",
                  startupProbe: { httpGet: { port: 7000, scheme: "HTTPS" } },
                },
                { name: "init", readinessProbe: { tcpSocket: { port: 1 } } },
                { name: "more", restartPolicy: "Always", livenessProbe: { tcpSocket: { port: 7001 } } },
              ],
            },
          }),
        ],
        ask: store =>
          store.pod(NAMESPACE, "a")?.probes.map(({ kind, port, path }) => `${kind} ${port} ${path}`),
        answer: ["grpc 9000 ", "http 8080 /live", "https 7000 /", "tcp 7001 "],
      },
    ],
  },
  {
    name: "the default inbound policy is the pod's own, else its namespace's",
    steps: [
      {
        put: [
          {
            apiVersion: "v1",
            kind: "Namespace",
            metadata: {
              name: NAMESPACE,
              annotations: { "config.conduit.io/default-inbound-policy": "all-authenticated" },
            },
          },
          pod("a"),
          pod("b", { annotations: { "config.conduit.io/default-inbound-policy": "deny" } }),
        ],
        ask: store =>
          ["a", "b"].map(name => {
            const found = store.pod(NAMESPACE, name)
            return found && store.defaultInboundPolicyOf(found)
          }),
        answer: ["all-authenticated", "deny"],
      },
    ],
  },
]
