// The control plane as objects for the local cluster: a ServiceAccount, a Deployment and a Service per service,
// unmeshed, and what its identity rests on.
import type { EnvVar, Volume } from "../inject/mod.ts"
import { CLUSTER_DOMAIN } from "./net/dns_zone.ts"
import type { KubeObject } from "./objects/kube_object.ts"

/** Port of the dashboard. */
export const WEB_PORT = 8084

/** Services of the control plane that a local mesh runs, with their ports. */
export const CONTROL_SERVICES = [
  { name: "identity", port: 8080 },
  { name: "destination", port: 8086 },
  { name: "policy", port: 8090 },
  { name: "telemetry", port: 8087 },
  { name: "tap", port: 8088 },
  { name: "api", port: 8085 },
  { name: "web", port: WEB_PORT },
] as const

/** Port of /live, /ready and /metrics of each. */
export const CONTROL_ADMIN_PORT = 9990

/** Services that do not answer from the cluster's objects. */
const WITHOUT_CLUSTER: ReadonlySet<string> = new Set(["web"])

/** Image name that the local cluster maps to the control plane's bundle. */
export const CONTROL_IMAGE = "conduit/control"

/**
 * Whether destination and telemetry of a local mesh refuse plaintext and proxies without a certificate. Off for as
 * long as proxies do not speak TLS to them.
 */
export const CONTROL_PLANE_REQUIRES_TLS = true
/** Trust domain of a local mesh. */
export const TRUST_DOMAIN = CLUSTER_DOMAIN
/** Secret of type kubernetes.io/tls with the issuer. */
export const ISSUER_SECRET = "conduit-identity-issuer"
/** ConfigMap with the trust anchors. */
export const TRUST_ROOTS = "conduit-identity-trust-roots"
/** Its key. */
export const TRUST_ROOTS_KEY = "ca-bundle.crt"
/** ConfigMap with the public keys of the tokens' issuer; in a cluster the API server is asked instead. */
export const TOKEN_KEYS = "conduit-identity-token-keys"
const TOKEN_KEYS_KEY = "jwks.json"
const TOKEN_FOLDER = "/var/run/secrets/conduit.io/identity"
const TRUST_ROOTS_FOLDER = "/var/run/conduit/trust-roots"
const ISSUER_FOLDER = "/var/run/conduit/issuer"
const HISTORY_FOLDER = "/var/lib/conduit/telemetry"
const TOKEN_KEYS_FOLDER = "/var/run/conduit/token-keys"

/** What a local mesh's identity rests on. */
export interface ControlPlaneIdentity {
  /** PEM bundle. */
  readonly trustAnchors: string
  /** PEM, the issuer first. */
  readonly issuer: string
  /** PEM. */
  readonly issuerKey: string
  /** JWKS of who issues tokens. */
  readonly jwks: string
  /** `iss` of tokens. */
  readonly tokenIssuer: string
  /** Such as `24h`; undefined for the service's default. */
  readonly issuanceLifetime?: string | undefined
  /** Such as `20s`; undefined for the service's default. */
  readonly clockSkewAllowance?: string | undefined
}

/** Secret and ConfigMaps of identity: a changed one, applied, is taken by the running mesh. */
export function identityObjects(namespace: string, identity: ControlPlaneIdentity): KubeObject[] {
  const object = (kind: string, name: string, rest: object): KubeObject => ({
    apiVersion: "v1",
    kind,
    metadata: { name, namespace, labels: { "app.kubernetes.io/part-of": "conduit" } },
    ...rest,
  })
  const base64 = (text: string) => Buffer.from(text).toString("base64")
  return [
    object("Secret", ISSUER_SECRET, {
      type: "kubernetes.io/tls",
      data: { "tls.crt": base64(identity.issuer), "tls.key": base64(identity.issuerKey) },
    }),
    object("ConfigMap", TRUST_ROOTS, { data: { [TRUST_ROOTS_KEY]: identity.trustAnchors } }),
    object("ConfigMap", TOKEN_KEYS, { data: { [TOKEN_KEYS_KEY]: identity.jwks } }),
  ]
}

/**
 * All objects of the control plane.
 *
 * @param manifests  folder that stands for the Kubernetes API
 * @param web  folder with the dashboard's files
 */
export function controlPlaneObjects(
  namespace: string,
  manifests: string,
  web: string,
  version: string,
  identity: ControlPlaneIdentity,
): KubeObject[] {
  const services = CONTROL_SERVICES.flatMap(({ name, port }) => {
    const full = `conduit-${name}`
    const mounted = volumesOf(name)
    const labels = { "app.kubernetes.io/part-of": "conduit", "conduit.io/control-plane-component": name }
    return [
      { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: full, namespace, labels } },
      {
        apiVersion: "v1",
        kind: "Service",
        metadata: { name: full, namespace, labels },
        spec: {
          selector: { "conduit.io/control-plane-component": name },
          ports: [
            { name: "api", port, targetPort: port },
            { name: "admin", port: CONTROL_ADMIN_PORT, targetPort: CONTROL_ADMIN_PORT },
          ],
        },
      },
      {
        apiVersion: "apps/v1",
        kind: "Deployment",
        metadata: { name: full, namespace, labels },
        spec: {
          replicas: 1,
          // The telemetry windows live in one process: two side by side would each hold half.
          strategy: { type: "Recreate" },
          selector: { matchLabels: { "conduit.io/control-plane-component": name } },
          template: {
            metadata: { labels, annotations: { "conduit.io/inject": "disabled" } },
            spec: {
              terminationGracePeriodSeconds: 5,
              serviceAccountName: full,
              volumes: mounted.map(({ volume }) => volume),
              containers: [
                {
                  name,
                  image: `${CONTROL_IMAGE}:${version}`,
                  args: WITHOUT_CLUSTER.has(name) ? [name] : [name, "--manifests", manifests],
                  volumeMounts: mounted.map(({ volume, mountPath }) => ({
                    name: volume.name,
                    mountPath,
                    readOnly: mountPath !== HISTORY_FOLDER,
                  })),
                  env: [
                    { name: "CONDUIT_NAMESPACE", value: namespace },
                    {
                      name: "CONDUIT_TELEMETRY_ADDR",
                      value: `conduit-telemetry.${namespace}.svc.cluster.local:8087`,
                    },
                    { name: "CONDUIT_TAP_ADDR", value: `conduit-tap.${namespace}.svc.cluster.local:8088` },
                    ...identityEnvironment(name, namespace, identity),
                    ...(name === "web" ? webEnvironment(namespace, web) : []),
                  ],
                  ports: [
                    { name: "api", containerPort: port },
                    { name: "admin", containerPort: CONTROL_ADMIN_PORT },
                  ],
                  readinessProbe: { httpGet: { path: "/ready", port: CONTROL_ADMIN_PORT }, periodSeconds: 2 },
                  livenessProbe: {
                    httpGet: { path: "/live", port: CONTROL_ADMIN_PORT },
                    initialDelaySeconds: 10,
                    periodSeconds: 10,
                    timeoutSeconds: 5,
                  },
                },
              ],
            },
          },
        },
      },
    ]
  })
  return [...identityObjects(namespace, identity), ...services]
}

/** Whoever reaches the dashboard of a local mesh reaches its API, too. */
function webEnvironment(namespace: string, files: string): EnvVar[] {
  return [
    { name: "CONDUIT_API_ADDR", value: `conduit-api.${namespace}.svc.${CLUSTER_DOMAIN}:8085` },
    { name: "CONDUIT_WEB_FILES", value: files },
    { name: "CONDUIT_WEB_VIEWERS", value: "reachable" },
  ]
}

function volumesOf(service: string): { volume: Volume; mountPath: string }[] {
  const token = { audience: "identity.conduit.io", expirationSeconds: 86_400, path: "token" }
  const every: { volume: Volume; mountPath: string }[] = [
    {
      volume: { name: "identity-token", projected: { sources: [{ serviceAccountToken: token }] } },
      mountPath: TOKEN_FOLDER,
    },
    { volume: { name: "trust-roots", configMap: { name: TRUST_ROOTS } }, mountPath: TRUST_ROOTS_FOLDER },
  ]
  // A folder of the mesh: figures outlive the pod.
  const claim = { claimName: "conduit-telemetry" }
  const history = { volume: { name: "history", persistentVolumeClaim: claim }, mountPath: HISTORY_FOLDER }
  if (service === "telemetry") return [...every, history]
  if (service !== "identity") return every
  return [
    ...every,
    {
      volume: { name: "issuer", secret: { secretName: ISSUER_SECRET, defaultMode: 0o600 } },
      mountPath: ISSUER_FOLDER,
    },
    { volume: { name: "token-keys", configMap: { name: TOKEN_KEYS } }, mountPath: TOKEN_KEYS_FOLDER },
  ]
}

function identityEnvironment(service: string, namespace: string, identity: ControlPlaneIdentity): EnvVar[] {
  const { tokenIssuer, issuanceLifetime, clockSkewAllowance } = identity
  const variables: Record<string, string | undefined> = {
    CONDUIT_TRUST_DOMAIN: TRUST_DOMAIN,
    CONDUIT_TRUST_ANCHORS_FILE: `${TRUST_ROOTS_FOLDER}/${TRUST_ROOTS_KEY}`,
    CONDUIT_TOKEN_FILE: `${TOKEN_FOLDER}/token`,
    CONDUIT_IDENTITY_ADDR: `conduit-identity.${namespace}.svc.${CLUSTER_DOMAIN}:8080`,
    CONDUIT_REQUIRE_TLS: String(CONTROL_PLANE_REQUIRES_TLS),
  }
  if (service === "telemetry") variables.CONDUIT_TELEMETRY_FOLDER = HISTORY_FOLDER
  if (service === "identity") {
    variables.CONDUIT_IDENTITY_ISSUER_DIR = ISSUER_FOLDER
    variables.CONDUIT_IDENTITY_JWKS_FILE = `${TOKEN_KEYS_FOLDER}/${TOKEN_KEYS_KEY}`
    variables.CONDUIT_IDENTITY_TOKEN_ISSUER = tokenIssuer
    variables.CONDUIT_IDENTITY_ISSUANCE_LIFETIME = issuanceLifetime
    variables.CONDUIT_IDENTITY_CLOCK_SKEW_ALLOWANCE = clockSkewAllowance
  }
  return Object.entries(variables).flatMap(([name, value]) => (value === undefined ? [] : [{ name, value }]))
}
