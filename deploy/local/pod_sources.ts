// What pods are filled from: Services as variables, ConfigMaps and Secrets of their namespace, tokens, claims.
import { mkdirSync } from "node:fs"
import { join } from "node:path"
import type { TokenIssuer } from "../identity/mod.ts"
import { type KubeObject, serviceSpec } from "./objects/kube_object.ts"
import type { VolumeSources } from "./pod/volumes.ts"

/** Share of a token's life after which it is replaced, as a kubelet does (kubernetes.io: projected volumes). */
export const TOKEN_RENEW_AT = 0.8

interface IssuedToken {
  readonly token: string
  readonly renewAtMs: number
}

/** Sources of one mesh, looked up in its objects as they are now. */
export class PodSources {
  readonly #objects: ReadonlyMap<string, KubeObject>
  readonly #claims: string
  readonly #issuer: TokenIssuer
  readonly #nowMs: () => number
  readonly #tokens = new WeakMap<KubeObject, Map<string, IssuedToken>>()

  /**
   * @param claims  folder that keeps the data of claims as long as the mesh lives
   * @param nowMs  wall clock, milliseconds since 1970
   */
  constructor(
    objects: ReadonlyMap<string, KubeObject>,
    claims: string,
    issuer: TokenIssuer,
    nowMs: () => number,
  ) {
    this.#nowMs = nowMs
    this.#issuer = issuer
    this.#objects = objects
    this.#claims = claims
  }

  /** WEB_SERVICE_HOST and its like (kubernetes.io: "Discovering services", environment variables). */
  serviceLinks(pod: KubeObject): Record<string, string> {
    const variables: Record<string, string> = {}
    if ((pod.spec as { enableServiceLinks?: boolean }).enableServiceLinks === false) return variables
    for (const service of this.#objects.values()) {
      if (service.kind !== "Service" || service.metadata.namespace !== pod.metadata.namespace) continue
      const { clusterIP, ports = [] } = serviceSpec(service)
      if (clusterIP === undefined || clusterIP === "None" || ports[0] === undefined) continue
      const prefix = service.metadata.name.toUpperCase().replaceAll("-", "_")
      variables[`${prefix}_SERVICE_HOST`] = clusterIP
      variables[`${prefix}_SERVICE_PORT`] = String(ports[0].port)
      for (const { name, port } of ports) {
        if (name)
          variables[`${prefix}_SERVICE_PORT_${name.toUpperCase().replaceAll("-", "_")}`] = String(port)
      }
    }
    return variables
  }

  /** Everything a pod's environments and volumes may name. */
  of(pod: KubeObject): VolumeSources {
    const namespace = pod.metadata.namespace ?? "default"
    return {
      pod,
      configMap: name =>
        this.#objects.get(`ConfigMap/${namespace}/${name}`)?.data ??
        this.#emptyMap("ConfigMap", namespace, name),
      secret: name => {
        const files = this.#files("Secret", namespace, name)
        return files === null ? null : mapValues(files, bytes => Buffer.from(bytes).toString("utf8"))
      },
      files: (kind, name) => this.#files(kind, namespace, name),
      serviceAccountToken: (audience, lifetimeS) => this.#token(pod, audience, lifetimeS),
      claimFolder: claim => {
        const folder = join(this.#claims, `${namespace}_${claim}`)
        mkdirSync(folder, { recursive: true })
        return folder
      },
    }
  }

  #files(kind: string, namespace: string, name: string): Record<string, Uint8Array> | null {
    const object = this.#objects.get(`${kind}/${namespace}/${name}`)
    if (object === undefined) return null
    const { data = {}, binaryData = {} } = object
    const encoding = kind === "Secret" ? "base64" : "utf8"
    return {
      ...mapValues(data, text => Buffer.from(text, encoding)),
      ...mapValues(binaryData, text => Buffer.from(text, "base64")),
    }
  }

  #emptyMap(kind: string, namespace: string, name: string): Record<string, string> | null {
    return this.#objects.has(`${kind}/${namespace}/${name}`) ? {} : null
  }

  /** The pod's token for an audience; the same one until it is due to be replaced. */
  #token(pod: KubeObject, audience: string, lifetimeS: number): string {
    const tokens = this.#tokens.get(pod) ?? new Map<string, IssuedToken>()
    this.#tokens.set(pod, tokens)
    const key = `${audience} ${lifetimeS}`
    const known = tokens.get(key)
    if (known !== undefined && this.#nowMs() < known.renewAtMs) return known.token
    const token = this.#issuer.issue({
      namespace: pod.metadata.namespace ?? "default",
      serviceAccount: (pod.spec as { serviceAccountName?: string }).serviceAccountName ?? "default",
      pod: pod.metadata.name,
      podUid: pod.metadata.uid ?? "",
      audience,
      lifetimeS,
    })
    tokens.set(key, { token, renewAtMs: this.#nowMs() + lifetimeS * 1000 * TOKEN_RENEW_AT })
    return token
  }
}

function mapValues<From, To>(
  record: Readonly<Record<string, From>>,
  map: (value: From) => To,
): Record<string, To> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value)] as const))
}
