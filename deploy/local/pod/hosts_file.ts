// /etc/hosts of a pod, as a kubelet writes it.
import type { PodSpec } from "../../inject/mod.ts"

/** Content of a pod's /etc/hosts. @param ip  the pod's first address */
export function hostsFile(spec: PodSpec, namespace: string, hostname: string, ip: string): string {
  const { subdomain, hostAliases } = spec
  const full = subdomain === undefined ? "" : `${hostname}.${subdomain}.${namespace}.svc.cluster.local\t`
  return [
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    `${ip}\t${full}${hostname}`,
    ...(hostAliases ?? []).map(alias => `${alias.ip}\t${alias.hostnames.join("\t")}`),
    "",
  ].join("\n")
}
