// Routes of live traffic: what proxies learnt of a Service (`conduit routes`), as operations.
import type { GrpcOperation, HttpOperation } from "./routes_yaml.ts"

/** What traffic shows of a Service. */
export interface LiveOperations {
  readonly http: readonly HttpOperation[]
  readonly grpc: readonly GrpcOperation[]
  /** Rows that are no learned routes, such as `default`, `other` and rules of routes that are there. */
  readonly rest: readonly string[]
}

/** Reads names of learned routes: `GET /users/{id}`, or the path of a gRPC method. */
export function operationsOf(names: readonly string[]): LiveOperations {
  const http: HttpOperation[] = []
  const grpc: GrpcOperation[] = []
  const rest: string[] = []
  for (const name of names) {
    const [, method, path] = /^([A-Z]+) (\/.*)$/.exec(name) ?? []
    const [, service, call] = /^\/([\w.]+)\/(\w+)$/.exec(name) ?? []
    if (method !== undefined && path !== undefined) http.push({ name: "", method, path })
    else if (service !== undefined && call !== undefined) grpc.push({ service, method: call })
    else rest.push(name)
  }
  // One Service has routes of one kind; a gRPC method is a POST, too.
  if (http.length === 0 || grpc.length === 0) return { http, grpc, rest }
  const posts = grpc.map(({ service, method }) => ({
    name: method,
    method: "POST",
    path: `/${service}/${method}`,
  }))
  return { http: [...http, ...posts], grpc: [], rest }
}
