// A cluster for benches, in the shape that an API server gives: Services, each with a Deployment, a ReplicaSet and pods.
import type { MeshNames } from "../../control/tls/mod.ts"

/** Names of the simulated mesh. */
export const NAMES: MeshNames = { trustDomain: "cluster.local", controlNamespace: "conduit" }
/** Port of every Service. */
export const SERVICE_PORT = 80

/** How large the cluster is. */
export interface SimulatedCluster {
  /** Services, spread evenly over the namespaces. */
  readonly services: number
  /** Pods of each Service. */
  readonly podsPerService: number
  readonly namespaces: number
}

/** Namespace of a Service, by its number from 0. */
export function namespaceOf(cluster: SimulatedCluster, service: number): string {
  return `team-${service % cluster.namespaces}`
}

/** Cluster IP of a Service, by its number from 0. */
export function clusterIp(service: number): readonly [number, number, number, number] {
  return [10, 96 + (service >> 16), (service >> 8) & 255, service & 255]
}

/** Name of a pod, by the number of its Service and its own within that. */
export function podName(service: number, pod: number): string {
  return `app-${service}-7f6d5c4b8-${pod}`
}

/** Every object of the cluster. */
export function* clusterObjects(cluster: SimulatedCluster): Generator<object> {
  for (let one = 0; one < cluster.namespaces; one++) {
    yield { apiVersion: "v1", kind: "Namespace", metadata: { name: `team-${one}` } }
  }
  for (let one = 0; one < cluster.services; one++) {
    const namespace = namespaceOf(cluster, one)
    const name = `app-${one}`
    yield {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name, namespace },
      spec: {
        selector: { app: name },
        clusterIP: clusterIp(one).join("."),
        clusterIPs: [clusterIp(one).join(".")],
        ports: [{ name: "http", port: SERVICE_PORT, targetPort: 8080, protocol: "TCP", appProtocol: "http" }],
      },
    }
    const template = { metadata: { labels: { app: name } }, spec: { containers: [{ name: "app" }] } }
    const spec = { selector: { matchLabels: { app: name } }, template }
    yield { apiVersion: "apps/v1", kind: "Deployment", metadata: { name, namespace }, spec }
    yield {
      apiVersion: "apps/v1",
      kind: "ReplicaSet",
      metadata: { name: `${name}-7f6d5c4b8`, namespace, ownerReferences: [owner("Deployment", name)] },
      spec,
    }
    for (let pod = 0; pod < cluster.podsPerService; pod++) {
      yield podObject(cluster, namespace, podName(one, pod), true)
    }
  }
}

/** A meshed pod as the API server has it. @param name  made by `podName` */
export function podObject(
  cluster: SimulatedCluster,
  namespace: string,
  name: string,
  ready: boolean,
): object {
  const [, service = "0", , index = "0"] = name.split("-")
  const number = Number(service) * cluster.podsPerService + Number(index)
  const ip = `10.${128 + (number >> 16)}.${(number >> 8) & 255}.${number & 255}`
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace,
      labels: { app: `app-${service}`, "conduit.io/control-plane-ns": NAMES.controlNamespace },
      ownerReferences: [owner("ReplicaSet", `app-${service}-7f6d5c4b8`)],
    },
    spec: {
      serviceAccountName: "default",
      nodeName: `node-${number % 200}`,
      containers: [
        { name: "app", ports: [{ name: "http", containerPort: 8080 }] },
        { name: "conduit-proxy", ports: [{ name: "conduit-admin", containerPort: 4191 }] },
      ],
    },
    status: {
      phase: "Running",
      podIP: ip,
      podIPs: [{ ip }],
      conditions: [{ type: "Ready", status: ready ? "True" : "False" }],
    },
  }
}

function owner(kind: string, name: string): object {
  return { apiVersion: "apps/v1", kind, name, controller: true }
}
