// A Plugin with a command: a local mesh runs it as a Deployment with a Service, and calls it there.
import { readPlugin } from "../../plugin_object/mod.ts"
import type { KubeObject } from "./kube_object.ts"

/** Namespace of plugins that a local mesh runs. */
export const PLUGIN_NAMESPACE = "conduit-plugins"
/** Port that a plugin listens on; it is told by the environment variable PORT. */
export const PLUGIN_PORT = 9090

/**
 * What a Plugin comes to in a local mesh: itself, or the object with the Service of what runs its command.
 *
 * @param folder  folder of the file that it is from: the command runs there
 */
export function withPluginProcess(object: KubeObject, folder: string): KubeObject[] {
  const { plugin } = readPlugin(object)
  if (plugin === null || plugin.address.kind !== "command") return [object]
  const { name } = plugin
  const labels = { "conduit.io/plugin": name }
  const metadata = { name, namespace: PLUGIN_NAMESPACE, labels }
  const { command, ...spec } = object.spec ?? {}
  const service = { namespace: PLUGIN_NAMESPACE, name, port: PLUGIN_PORT }
  return [
    { ...object, spec: { ...spec, service } },
    {
      apiVersion: "v1",
      kind: "Service",
      metadata,
      spec: { selector: labels, ports: [{ name: "grpc", port: PLUGIN_PORT, targetPort: PLUGIN_PORT }] },
    },
    {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata,
      spec: {
        replicas: 1,
        selector: { matchLabels: labels },
        template: {
          metadata: { labels, annotations: { "conduit.io/inject": "disabled" } },
          spec: {
            containers: [
              {
                name: "plugin",
                image: "none",
                command: [...plugin.address.command],
                workingDir: folder,
                env: [{ name: "PORT", value: String(PLUGIN_PORT) }],
                ports: [{ name: "grpc", containerPort: PLUGIN_PORT }],
                readinessProbe: { tcpSocket: { port: PLUGIN_PORT }, periodSeconds: 1 },
              },
            ],
          },
        },
      },
    },
  ]
}
