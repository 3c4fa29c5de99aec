// The Destination hook: what plugins change about the endpoints of Services. It stands in the model of the cluster beside
// what Kubernetes has, and is gone with its plugin.
import { create } from "@bufbuild/protobuf"
import {
  isPort,
  isZone,
  MAX_ADDED_ENDPOINTS,
  MAX_CHANGED_ENDPOINTS,
  MAX_ENDPOINT_WEIGHT,
} from "../../deploy/plugin_object/mod.ts"
import { pluginDestinationV1 } from "../../protos/mod.ts"
import {
  type AddedEndpoint,
  type AmendmentRecord,
  type ChangedEndpoint,
  type ClusterStore,
  canonicalIp,
  endpointsOf,
  type ServicePort,
  type ServiceRecord,
} from "../cluster/mod.ts"

/** Ports of Services that a plugin amends. */
export const MAX_AMENDED_PORTS = 10_000

/**
 * Reads amendments.
 *
 * @param plugin  name and order of the plugin
 * @throws Error with a sentence when any of it is not as it should be
 */
export function readAmendments(
  plugin: { readonly name: string; readonly order: number },
  answer: pluginDestinationV1.AmendResponse,
): AmendmentRecord[] {
  return answer.amendments.map(({ ref, add, change }, index) => {
    const which = `amendments[${index}]`
    const { namespace = "", name: service = "", port = 0 } = ref ?? {}
    if (namespace === "" || service === "" || !isPort(port))
      throw new Error(`${which}.ref must name a Service with its namespace and a port from 1 to 65535`)
    if (add.length > MAX_ADDED_ENDPOINTS || change.length > MAX_CHANGED_ENDPOINTS)
      throw new Error(
        `${which} adds ${add.length} endpoints and changes ${change.length}; ${MAX_ADDED_ENDPOINTS} and ${MAX_CHANGED_ENDPOINTS} are the most`,
      )
    const changes = new Map<string, ChangedEndpoint>()
    for (const [place, one] of change.entries()) {
      const at = `${which}.change[${place}]`
      const { remove, weight, zone } = one
      changes.set(addressOf(one, at), { remove, weight: weightOf(weight, at), zone: zoneOf(zone, at) })
    }
    const added = add.map((endpoint, place): AddedEndpoint => {
      const at = `${which}.add[${place}]`
      const [ip = ""] = addressOf(endpoint, at).split(" ")
      const { weight, zone } = endpoint
      return {
        ...{ ip, port: endpoint.port },
        ...{ weight: weightOf(weight, at), zone: zoneOf(zone, at) ?? "" },
      }
    })
    return {
      ...{ kind: "amendment", namespace, name: `${service}:${port}:${plugin.name}` },
      ...{ service, port, plugin: plugin.name, order: plugin.order, add: added, change: changes },
    }
  })
}

function addressOf({ address, port }: { address: string; port: number }, at: string): string {
  const ip = canonicalIp(address)
  if (ip === null) throw new Error(`${at}.address ${JSON.stringify(address.slice(0, 64))} is no IP address`)
  if (!isPort(port)) throw new Error(`${at}.port must be from 1 to 65535, not ${port}`)
  return `${ip} ${port}`
}

function weightOf(weight: number | undefined, at: string): number | null {
  if (weight === undefined) return null
  if (weight <= MAX_ENDPOINT_WEIGHT) return weight
  throw new Error(`${at}.weight must be from 0 to ${MAX_ENDPOINT_WEIGHT}, not ${weight}`)
}

function zoneOf(zone: string | undefined, at: string): string | null {
  if (zone === undefined) return null
  if (isZone(zone)) return zone
  throw new Error(`${at}.zone must be at most 253 letters, digits, ".", "-" and "_"`)
}

/** A port of a Service as the plugin is told of it. */
export interface ToldPort {
  readonly ref: { readonly namespace: string; readonly name: string; readonly port: number }
  readonly portName: string
  readonly labels: Record<string, string>
  readonly endpoints: readonly {
    readonly address: string
    readonly port: number
    readonly zone: string
    readonly namespace: string
    readonly pod: string
  }[]
}

/** All TCP ports of Services, with their endpoints as Kubernetes has them. */
export function* toldPorts(store: ClusterStore): Generator<readonly [string, ToldPort]> {
  for (const service of store.services()) {
    if (service.externalName !== "") continue
    for (const port of service.ports) {
      if (port.protocol === "TCP")
        yield [`${service.namespace}/${service.name} ${port.port}`, toldPort(store, service, port)]
    }
  }
}

function toldPort(store: ClusterStore, service: ServiceRecord, port: ServicePort): ToldPort {
  const { namespace, name } = service
  const addresses = [4, 6] as const
  return {
    ref: { namespace, name, port: port.port },
    portName: port.name,
    labels: Object.fromEntries([...service.labels].sort(([a], [b]) => (a < b ? -1 : 1))),
    endpoints: addresses
      .flatMap(family => endpointsOf(store, service, port, family))
      .map(({ ip, port: podPort, zone, pod }) => ({
        ...{ address: ip, port: podPort, zone },
        ...{ namespace: pod?.namespace ?? "", pod: pod?.name ?? "" },
      })),
  }
}

/** A message about ports of Services. */
export function amendRequest(
  { changed, removed }: { readonly changed: readonly ToldPort[]; readonly removed: readonly ToldPort[] },
  complete: boolean,
): pluginDestinationV1.AmendRequest {
  return create(pluginDestinationV1.AmendRequestSchema, {
    changed: changed.map(({ endpoints, ...rest }) => ({ ...rest, endpoints: [...endpoints] })),
    removed: removed.map(({ ref }) => ref),
    complete,
  })
}
