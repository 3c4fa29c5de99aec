// What plugins change about the endpoints of a port of a Service: applied to what Kubernetes has, in the plugins' order.
import type { MessageInitShape } from "@bufbuild/protobuf"
import type { destinationV1 } from "../../protos/mod.ts"
import type { AmendmentRecord } from "../cluster/mod.ts"

/** An endpoint in plain data, with its address in canonical text. */
export interface PlacedEndpoint {
  readonly ip: string
  readonly port: number
  readonly endpoint: MessageInitShape<typeof destinationV1.EndpointSchema>
}

/**
 * Endpoints as plugins want them. One that Kubernetes has stays as Kubernetes has it where a plugin adds it as well; where
 * nothing would be left of what there is, or all of it would be drained, nothing is.
 *
 * @param placed  as Kubernetes has them
 * @param add  makes the endpoint of an added address
 */
export function amended(
  placed: readonly PlacedEndpoint[],
  amendments: readonly AmendmentRecord[],
  add: (ip: string, port: number, zone: string) => PlacedEndpoint["endpoint"] | null,
): readonly PlacedEndpoint[] {
  if (amendments.length === 0) return placed
  const found = new Map(placed.map(one => [`${one.ip} ${one.port}`, one]))
  const left = new Map(found)
  for (const { change } of amendments) {
    for (const [key, { remove, weight, zone }] of change) {
      const before = left.get(key)
      if (before === undefined) continue
      const endpoint = {
        ...before.endpoint,
        ...(weight === null ? {} : { weight }),
        ...(zone === null ? {} : { zone }),
      }
      const after = { ...before, endpoint }
      found.set(key, after)
      if (remove) left.delete(key)
      else left.set(key, after)
    }
  }
  for (const { add: added } of amendments) {
    for (const { ip, port, weight, zone } of added) {
      const key = `${ip} ${port}`
      if (found.has(key)) continue
      const made = add(ip, port, zone)
      if (made === null) continue
      const one = { ip, port, endpoint: { ...made, ...(weight === null ? {} : { weight }) } }
      found.set(key, one)
      left.set(key, one)
    }
  }
  const kept = left.size === 0 ? found : left
  const drained = [...kept.values()].every(({ endpoint }) => endpoint.weight === 0)
  if (drained && placed.length > 0) return placed
  return [...kept.values()].sort((a, b) => (a.ip === b.ip ? a.port - b.port : a.ip < b.ip ? -1 : 1))
}
