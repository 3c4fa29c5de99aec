// The parts of a Kubernetes pod template that inject and the local cluster read or write. Everything else in
// a template is carried along untouched.

/** `metadata` of any object. */
export interface ObjectMeta {
  name?: string
  namespace?: string
  uid?: string
  labels?: Record<string, string>
  annotations?: Record<string, string>
  ownerReferences?: OwnerReference[]
  creationTimestamp?: string
  deletionTimestamp?: string
  generateName?: string
  generation?: number
}

/** Who made an object, as the controllers of Kubernetes write it. */
export interface OwnerReference {
  apiVersion: string
  kind: string
  name: string
  uid: string
  controller?: boolean
  blockOwnerDeletion?: boolean
}

/** Where the value of an environment variable comes from when it is not literal. */
export interface EnvVarSource {
  fieldRef?: { fieldPath: string; apiVersion?: string }
  resourceFieldRef?: { containerName?: string; resource: string; divisor?: string }
  configMapKeyRef?: { name: string; key: string; optional?: boolean }
  secretKeyRef?: { name: string; key: string; optional?: boolean }
}

/** One environment variable. */
export interface EnvVar {
  name: string
  value?: string
  valueFrom?: EnvVarSource
}

/** All keys of a ConfigMap or Secret as environment variables. */
export interface EnvFromSource {
  prefix?: string
  configMapRef?: { name: string; optional?: boolean }
  secretRef?: { name: string; optional?: boolean }
}

/** A startup, readiness or liveness probe. */
export interface Probe {
  httpGet?: {
    path?: string
    port: number | string
    host?: string
    scheme?: string
    httpHeaders?: { name: string; value: string }[]
  }
  tcpSocket?: { port: number | string; host?: string }
  exec?: { command: string[] }
  grpc?: { port: number; service?: string }
  initialDelaySeconds?: number
  periodSeconds?: number
  timeoutSeconds?: number
  successThreshold?: number
  failureThreshold?: number
}

/** A container's or pod's user, groups and rights. */
export interface SecurityContext {
  runAsUser?: number
  runAsGroup?: number
  runAsNonRoot?: boolean
  readOnlyRootFilesystem?: boolean
  allowPrivilegeEscalation?: boolean
  capabilities?: { add?: string[]; drop?: string[] }
  seccompProfile?: { type: string }
  [other: string]: unknown
}

/** One container, init container or native sidecar (`restartPolicy: Always` on an init container). */
export interface Container {
  name: string
  image?: string
  imagePullPolicy?: string
  command?: string[]
  args?: string[]
  workingDir?: string
  env?: EnvVar[]
  envFrom?: EnvFromSource[]
  ports?: { name?: string; containerPort: number; protocol?: string; hostPort?: number }[]
  startupProbe?: Probe
  readinessProbe?: Probe
  livenessProbe?: Probe
  lifecycle?: {
    preStop?: { exec?: { command: string[] }; sleep?: { seconds: number }; httpGet?: Probe["httpGet"] }
    postStart?: { exec?: { command: string[] }; httpGet?: Probe["httpGet"] }
  }
  resources?: { requests?: Record<string, string>; limits?: Record<string, string> }
  restartPolicy?: string
  securityContext?: SecurityContext
  volumeMounts?: { name: string; mountPath: string; subPath?: string; readOnly?: boolean }[]
  terminationMessagePolicy?: string
}

/** A file that a volume shows under `path`. */
export interface KeyToPath {
  key: string
  path: string
  mode?: number
}

/** A file of the downward API. */
export interface DownwardItem {
  path: string
  fieldRef?: { fieldPath: string }
  resourceFieldRef?: { containerName?: string; resource: string }
}

/** One volume of a pod; exactly one of the sources is set. */
export interface Volume {
  name: string
  emptyDir?: { medium?: string; sizeLimit?: string }
  configMap?: { name: string; items?: KeyToPath[]; optional?: boolean; defaultMode?: number }
  secret?: { secretName: string; items?: KeyToPath[]; optional?: boolean; defaultMode?: number }
  downwardAPI?: { items?: DownwardItem[] }
  projected?: { sources: ProjectedSource[]; defaultMode?: number }
  hostPath?: { path: string; type?: string }
  persistentVolumeClaim?: { claimName: string }
  [other: string]: unknown
}

/** One source of a projected volume. */
export interface ProjectedSource {
  serviceAccountToken?: { audience?: string; expirationSeconds?: number; path: string }
  configMap?: { name: string; items?: KeyToPath[]; optional?: boolean }
  secret?: { name: string; items?: KeyToPath[]; optional?: boolean }
  downwardAPI?: { items?: DownwardItem[] }
}

/** `spec` of a pod. */
export interface PodSpec {
  containers: Container[]
  initContainers?: Container[]
  volumes?: Volume[]
  restartPolicy?: string
  hostNetwork?: boolean
  hostname?: string
  subdomain?: string
  nodeName?: string
  serviceAccountName?: string
  automountServiceAccountToken?: boolean
  terminationGracePeriodSeconds?: number
  securityContext?: SecurityContext
  enableServiceLinks?: boolean
  hostAliases?: { ip: string; hostnames: string[] }[]
  [other: string]: unknown
}

/** `spec.template` of a workload, or a bare Pod. */
export interface PodTemplate {
  metadata?: ObjectMeta
  spec: PodSpec
}
