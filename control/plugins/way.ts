// Ways to plugins: pods of the mesh over its mutual TLS, as any other client of theirs; others in plaintext, or over TLS
// where the object says who signs their certificate.
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node"
import type { Plugin, PluginAddress } from "../../deploy/plugin_object/mod.ts"
import {
  type ClusterStore,
  endpointsOf,
  hasPort,
  ipFamily,
  type PodRecord,
  type ServingAddress,
} from "../cluster/mod.ts"
import type { MeshTransport } from "../tls/mod.ts"
import { MAX_PLUGIN_MESSAGE_BYTES, type Way } from "./link.ts"

/** A connection is asked this often whether it is still there. */
const PINGS = { pingIntervalMs: 10_000, pingTimeoutMs: 3_000 }

/**
 * Makes ways.
 *
 * @param meshed  transport to a port of a meshed pod; absent for a control plane without identity
 * @param random  number from 0 to 1: replicas of a plugin share its callers
 */
export function pluginWays(
  store: ClusterStore,
  meshed: ((pod: PodRecord, address: string) => MeshTransport) | undefined,
  random: () => number,
): (plugin: Plugin) => Way {
  return plugin => {
    const { address, tls } = plugin
    if (address.kind === "command")
      throw new Error("a cluster runs no command: deploy the plugin and name its Service (spec.service)")
    if (address.kind === "address") return plainWay(address.address, tls)
    const { ip, port, pod } = anyEndpoint(store, address, random)
    const host = `${ip.includes(":") ? `[${ip}]` : ip}:${port}`
    if (meshed === undefined || pod === null || !pod.meshed || hasPort(pod.skipInboundPorts, port))
      return plainWay(host, null)
    return { transport: meshed(pod, host)(), close: () => {} }
  }
}

/**
 * A way by the cluster's names, for processes that know nothing of the cluster but its plugins. They are in plaintext: who
 * wants TLS names an address and who signs its certificate.
 */
export function namedWay({ address, tls }: Plugin): Way {
  if (address.kind === "command")
    throw new Error("a cluster runs no command: deploy the plugin and name its Service (spec.service)")
  if (address.kind === "address") return plainWay(address.address, tls)
  return plainWay(`${address.name}.${address.namespace}.svc:${address.port}`, null)
}

function anyEndpoint(
  store: ClusterStore,
  { namespace, name, port }: Extract<PluginAddress, { kind: "service" }>,
  random: () => number,
): ServingAddress {
  const service = store.service(namespace, name)
  if (service === undefined) throw new Error(`there is no Service "${name}" in namespace "${namespace}"`)
  const found = service.ports.find(one => one.port === port && one.protocol === "TCP")
  if (found === undefined) throw new Error(`Service "${namespace}/${name}" has no TCP port ${port}`)
  // A pod has an address of each family of the cluster, and may listen on that of its Service alone.
  const [first] = service.clusterIps
  const families = first === undefined ? ([4, 6] as const) : [ipFamily(first)]
  const endpoints =
    families.map(family => endpointsOf(store, service, found, family)).find(({ length }) => length > 0) ?? []
  const chosen = endpoints[Math.floor(random() * endpoints.length)]
  if (chosen === undefined) throw new Error(`Service "${namespace}/${name}" has no endpoint that is ready`)
  return chosen
}

function plainWay(address: string, tls: Plugin["tls"]): Way {
  const baseUrl = `${tls === null ? "http" : "https"}://${address}`
  const nodeOptions =
    tls === null
      ? {}
      : {
          ca: [tls.ca],
          minVersion: "TLSv1.3" as const,
          rejectUnauthorized: true,
          ...(tls.serverName === "" ? {} : { servername: tls.serverName }),
        }
  const sessionManager = new Http2SessionManager(baseUrl, PINGS, nodeOptions)
  return {
    transport: createGrpcTransport({ baseUrl, sessionManager, readMaxBytes: MAX_PLUGIN_MESSAGE_BYTES }),
    close: () => sessionManager.abort(),
  }
}
