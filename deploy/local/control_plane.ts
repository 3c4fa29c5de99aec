// The control plane as objects for the local cluster: one Deployment and one Service per service, unmeshed.
import type { KubeObject } from "./objects/kube_object.ts"

/** Services of the control plane that a local mesh runs, with their ports. */
export const CONTROL_SERVICES = [
  { name: "destination", port: 8086 },
  { name: "policy", port: 8090 },
  { name: "telemetry", port: 8087 },
  { name: "api", port: 8085 },
] as const

/** Port of /live, /ready and /metrics of each. */
export const CONTROL_ADMIN_PORT = 9990

/** Image name that the local cluster maps to the control plane's bundle. */
export const CONTROL_IMAGE = "conduit/control"

/** All objects of the control plane. @param manifests  folder that stands for the Kubernetes API */
export function controlPlaneObjects(namespace: string, manifests: string, version: string): KubeObject[] {
  return CONTROL_SERVICES.flatMap(({ name, port }) => {
    const full = `conduit-${name}`
    const labels = { "app.kubernetes.io/part-of": "conduit", "conduit.io/control-plane-component": name }
    return [
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
              containers: [
                {
                  name,
                  image: `${CONTROL_IMAGE}:${version}`,
                  args: [name, "--manifests", manifests],
                  env: [
                    { name: "CONDUIT_NAMESPACE", value: namespace },
                    {
                      name: "CONDUIT_TELEMETRY_ADDR",
                      value: `conduit-telemetry.${namespace}.svc.cluster.local:8087`,
                    },
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
}
