// What an API server fills into objects that are created: identity, times, a Service's addresses and ports.
import { ServiceAddresses } from "../net/addresses.ts"
import { wantsV6 } from "../net/service_view.ts"
import { CLUSTER_SCOPED, type KubeObject, objectKey, serviceSpec } from "./kube_object.ts"

/** Fills in defaults, and keeps the addresses that it gave to Services. */
export class ApiDefaults {
  readonly #addresses = new ServiceAddresses()
  readonly #hasV6: boolean

  /** @param hasV6  whether the machine can give Services IPv6 addresses */
  constructor(hasV6: boolean) {
    this.#hasV6 = hasV6
  }

  /** Completes `object` in place; what `before` was given once, it keeps. */
  fill(object: KubeObject, before: KubeObject | undefined): KubeObject {
    const { metadata } = object
    metadata.uid = before?.metadata.uid ?? crypto.randomUUID()
    metadata.creationTimestamp = before?.metadata.creationTimestamp ?? new Date().toISOString()
    if (!CLUSTER_SCOPED.includes(object.kind)) metadata.namespace ??= "default"
    if (object.kind === "Namespace") {
      metadata.labels = { ...metadata.labels, "kubernetes.io/metadata.name": metadata.name }
      object.status = { phase: "Active" }
    }
    if (object.kind === "Service") this.#fillService(object)
    if (object.kind === "Secret" && object.stringData !== undefined) {
      const encoded = Object.entries(object.stringData).map(
        ([key, value]) => [key, Buffer.from(value, "utf8").toString("base64")] as const,
      )
      object.data = { ...object.data, ...Object.fromEntries(encoded) }
      delete object.stringData
    }
    return object
  }

  /** Takes back what an object that is gone was given. */
  release(object: KubeObject): void {
    if (object.kind === "Service") this.#addresses.release(objectKey(object))
  }

  #fillService(service: KubeObject): void {
    const spec = serviceSpec(service)
    spec.type ??= "ClusterIP"
    for (const port of spec.ports ?? []) {
      port.protocol ??= "TCP"
      port.targetPort ??= port.port
    }
    if (spec.type === "ExternalName") return
    if (spec.clusterIP === "None") {
      spec.clusterIPs = ["None"]
      return
    }
    const address = this.#addresses.take(objectKey(service))
    const v6First = spec.ipFamilies?.[0] === "IPv6"
    const onlyV6 = v6First && spec.ipFamilies?.length === 1 && !spec.ipFamilyPolicy?.endsWith("DualStack")
    const families =
      !this.#hasV6 || !wantsV6(service)
        ? [address.v4]
        : onlyV6
          ? [address.v6]
          : v6First
            ? [address.v6, address.v4]
            : [address.v4, address.v6]
    spec.clusterIPs = families
    spec.clusterIP = families[0] ?? address.v4
    service.spec = spec as Record<string, unknown>
  }
}
