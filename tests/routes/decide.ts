// Decides a request as the mesh would, without a socket: manifests are read by the control plane, encoded, decoded by the
// proxy, and its route table is asked.
import { ClusterStore, readManifestFile } from "../../control/cluster/mod.ts"
import { Topics } from "../../control/destination/topic.ts"
import { sessionOf, UNKNOWN_ENDPOINT } from "../../proxy/balance/mod.ts"
import { Destination } from "../../proxy/discovery/destination.ts"
import { decodeAnswer } from "../../proxy/discovery/watch_codec.ts"
import { Routing } from "../../proxy/http/routing.ts"
import {
  HeaderModifier,
  type HeaderModifierConfig,
  isMirrored,
  redirectLocation,
} from "../../proxy/route/mod.ts"
import type { CaseAnswer, CaseRequest } from "./cases.ts"

/** Address of the Service that cases call. */
export const CASE_ADDRESS = "10.96.0.1"

/** The cluster of some manifests. */
export function storeOf(manifests: readonly object[]): ClusterStore {
  const { objects } = readManifestFile("case.json", JSON.stringify({ kind: "List", items: manifests }))
  const store = new ClusterStore()
  store.apply([...objects.values()].map(put => ({ put })))
  return store
}

/** What a proxy of a namespace holds of the Service that cases call. */
export function destinationOf(store: ClusterStore, namespace: string): Destination {
  let full: Uint8Array = new Uint8Array()
  const update = (body: Uint8Array): void => {
    full = body
  }
  new Topics(store).watch({ kind: "outbound", ip: CASE_ADDRESS, port: 80 }, "", { namespace, update })
  const destination = new Destination(CASE_ADDRESS, 80, Math.random)
  const { update: answer } = decodeAnswer(full)
  if (answer.kind !== "service") throw new Error(`the case's Service is ${answer.kind}`)
  destination.setService(answer.service, answer.endpoints, 0, answer.routes, answer.backends)
  return destination
}

/** Puts an endpoint behind each Service of a destination: on this machine, at the port of its `namespace/service:port`. */
export function populate(destination: Destination, ports: ReadonlyMap<string, number>): void {
  const serve = (backend: string) => [
    { address: "127.0.0.1", port: ports.get(backend) ?? 0, info: UNKNOWN_ENDPOINT },
  ]
  destination.endpoints?.replace(serve("shop/web:80"), 0)
  for (const { info, endpoints } of destination.routes?.backends ?? [])
    endpoints.replace(serve(`${info.namespace}/${info.name}:${info.port}`), 0)
}

/** The fields of a request, with the one that bears its session, if it has one. */
export function fieldsOf(
  destination: Destination,
  { headers = {}, session }: CaseRequest,
): Record<string, string> {
  if (session === undefined) return { ...headers }
  const { of, cookie, header = "", ageS } = session
  const backend = destination.routes?.backends.find(
    ({ info }) => `${info.namespace}/${info.name}:${info.port}` === of,
  )
  const [endpoint] = backend?.endpoints.endpoints() ?? []
  const name = endpoint === undefined ? "gone" : sessionOf(endpoint)
  const since = (Math.floor(Date.now() / 1000) - (ageS ?? 0)).toString(36)
  const value = ageS === undefined ? name : `${name}-${since}-${since}`
  return { ...headers, ...(cookie === undefined ? { [header]: value } : { cookie: `${cookie}=${value}` }) }
}

/** Name of the cookie that a field sets, else of the field. */
export function sessionNameOf(name: string, value: string): string {
  return name === "set-cookie" ? value.slice(0, value.indexOf("=")) : name
}

/** Some port for each Service of the cases, so that their endpoints differ. */
const SOME_PORTS = new Map(["web", "v1", "v2"].map((name, i) => [`shop/${name}:80`, 8080 + i]))

/** What becomes of a request. */
export function decide(destination: Destination, request: CaseRequest): CaseAnswer {
  const { path, grpc: isGrpc = false, authority = "web.shop", headers = {} } = request
  const { routes, service } = destination
  if (service === null) throw new Error("no service")
  const own = `${service.namespace}/${service.name}:${service.port}`
  if (routes === null || routes.config.kind === 0) return { backend: own, path, authority }
  const method = request.method ?? (isGrpc ? "POST" : "GET")
  populate(destination, SOME_PORTS)
  const fields = fieldsOf(destination, request)
  const values = (name: string): string | undefined => fields[name]
  const view = { method, path, isGrpc, authority, upgrade: "", values, header: values }
  const rule = routes.table.match(view)
  if (rule === null) return { rule: null, status: 404 }
  const { filters } = rule.config
  if (rule.config.fault !== "") return { rule: rule.name, status: 500 }
  if (filters.redirect !== null) {
    const location = redirectLocation(filters.redirect, rule.redirectPath, { authority, path }, service.port)
    return { rule: rule.name, status: filters.redirect.status, location }
  }
  const routing = Routing.of(routes, rule, view, service.port, Math.random)
  const backend = routing.target?.config
  if (backend === undefined) return { rule: rule.name, status: 500 }
  const session = routing.sessionField((routing.source ?? destination.source).pick([], 0))
  const nameOf = (number: number): string => {
    const info = routes.backend(number)?.info
    return info === undefined ? own : `${info.namespace}/${info.name}:${info.port}`
  }
  return {
    rule: rule.name,
    backend: nameOf(backend.backend),
    session: session === null ? null : sessionNameOf(...session),
    mirrors: [...filters.mirrors, ...backend.filters.mirrors]
      .filter(mirror => isMirrored(mirror, Math.random()))
      .map(mirror => nameOf(mirror.backend))
      .sort(),
    path: rule.rewritePath?.apply(path) ?? path,
    authority: filters.rewrite?.hostname || authority,
    headers: changed(headers, filters.requestHeaders, backend.filters.requestHeaders),
    responseHeaders: changed(
      { server: "app", "x-old": "1" },
      filters.responseHeaders,
      backend.filters.responseHeaders,
    ),
  }
}

function changed(
  fields: Readonly<Record<string, string>>,
  first: HeaderModifierConfig | null,
  second: HeaderModifierConfig | null,
): Record<string, string> {
  const modifier = HeaderModifier.of(first, second)
  const after: Record<string, string> = {}
  for (const [name, value] of Object.entries(fields)) {
    if (modifier === null || modifier.keeps(name)) after[name] = value
  }
  for (const { name, value } of modifier?.written ?? []) {
    const lower = name.toLowerCase()
    after[lower] = after[lower] === undefined ? value : `${after[lower]},${value}`
  }
  return after
}
