// What a Service was asked, as its pods' proxies saw it: paths as the templates that proxies make of them.
import type { ApiClient, EndpointInfo, LearnedPolicy } from "../../protos/mod.ts"
import { Failure } from "../failure.ts"
import type { Operation } from "./operation.ts"

/** What was found of a Service. */
export interface LiveTraffic {
  readonly port: number
  readonly operations: readonly Operation[]
}

/** A path of gRPC: `/package.Service/Method`. */
const GRPC_PATH = /^\/([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\/([A-Za-z_]\w*)$/

/**
 * Asks the control plane.
 *
 * @param port  of the Service; 0 where it has only one
 * @throws Failure when the Service has no such port, or several and none is chosen
 */
export async function liveTraffic(
  api: ApiClient,
  namespace: string,
  service: string,
  port: number,
  windowMs: number,
): Promise<LiveTraffic> {
  const { services } = await api.endpoints({ namespace, service })
  const place = `${service} in namespace "${namespace}"`
  const [first, ...more] = services.filter(one => port === 0 || one.port === port)
  if (first === undefined) {
    const ports = services.map(one => one.port).join(", ")
    throw new Failure(`the Service ${place} has no port ${port}; it has ${ports}`)
  }
  if (more.length > 0) {
    const ports = [first, ...more].map(one => one.port).join(", ")
    throw new Failure(`the Service ${place} has the ports ${ports}; choose one by --port`)
  }
  const policies: LearnedPolicy[] = []
  for (const { workload, port: target } of workloadsOf(first.endpoints)) {
    const learnt = await api.learn({ target: workload, windowMs })
    policies.push(...learnt.policies.filter(policy => policy.port === target))
  }
  const routes = policies.flatMap(policy => policy.rules).flatMap(rule => rule.routes)
  const seen = [...new Map(routes.map(one => [`${one.path} ${one.method}`, one])).entries()]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, route]) => route)
  return { port: first.port, operations: seen.map(({ method, path }) => operation(method, path)) }
}

function workloadsOf(endpoints: readonly EndpointInfo[]) {
  const all = new Map<string, { workload: { namespace: string; kind: string; name: string }; port: number }>()
  for (const { workload, port } of endpoints) {
    if (workload === undefined) continue
    const { namespace, kind, name } = workload
    all.set(`${kind}/${name}:${port}`, { workload: { namespace, kind, name }, port })
  }
  return all.values()
}

function operation(method: string, path: string): Operation {
  const [, service = "", name = ""] = (method === "POST" && GRPC_PATH.exec(path)) || []
  return name !== "" && service.includes(".")
    ? { kind: "grpc", service, method: name }
    : { kind: "http", method, path, name: "" }
}
