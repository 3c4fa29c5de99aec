// What pods are filled from: Services as variables, ConfigMaps and Secrets of their namespace, tokens, claims.
import { createHmac } from "node:crypto"
import { mkdirSync } from "node:fs"
import { join } from "node:path"
import { type KubeObject, serviceSpec } from "./objects/kube_object.ts"
import type { VolumeSources } from "./pod/volumes.ts"

/** Sources of one mesh, looked up in its objects as they are now. */
export class PodSources {
  readonly #objects: ReadonlyMap<string, KubeObject>
  readonly #claims: string
  readonly #tokenKey = crypto.randomUUID()

  /** @param claims  folder that keeps the data of claims as long as the mesh lives */
  constructor(objects: ReadonlyMap<string, KubeObject>, claims: string) {
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
      serviceAccountToken: audience => this.#token(pod, audience),
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

  /** A token in the shape of Kubernetes' own; nobody outside this mesh has its key. */
  #token(pod: KubeObject, audience: string): string {
    const account = (pod.spec as { serviceAccountName?: string }).serviceAccountName ?? "default"
    const now = Math.floor(Date.now() / 1000)
    const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url")
    const claims = {
      iss: "https://conduit.local",
      sub: `system:serviceaccount:${pod.metadata.namespace}:${account}`,
      aud: [audience],
      iat: now,
      exp: now + 86_400,
      "kubernetes.io": {
        namespace: pod.metadata.namespace,
        pod: { name: pod.metadata.name, uid: pod.metadata.uid },
        serviceaccount: { name: account },
      },
    }
    const body = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`
    return `${body}.${createHmac("sha256", this.#tokenKey).update(body).digest("base64url")}`
  }
}

function mapValues<From, To>(
  record: Readonly<Record<string, From>>,
  map: (value: From) => To,
): Record<string, To> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value)] as const))
}
