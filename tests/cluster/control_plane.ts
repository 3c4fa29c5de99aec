// Command lines of the cluster's control plane: etcd, kube-apiserver, kube-controller-manager, kube-scheduler.
// https://kubernetes.io/docs/reference/command-line-tools-reference/

import { writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Binary } from "./binaries.ts"
import type { Authority, Subject } from "./certificates.ts"
import { NODE_ADDRESS } from "./node.ts"

/** `iss` of service account tokens. */
export const SERVICE_ACCOUNT_ISSUER = "https://kubernetes.default.svc.cluster.local"
/** Addresses of Services; the first is the API server's own. */
export const SERVICE_RANGE = "10.96.0.0/16"
/** The API server's Service. */
export const KUBERNETES_SERVICE = "10.96.0.1"
/** The cluster DNS's Service. */
export const DNS_SERVICE = "10.96.0.10"
/** Addresses of pods. */
export const POD_RANGE = "10.244.0.0/16"
/** Port of the API server inside the node. */
export const API_PORT = 6443

/** What command lines are made from. */
export interface Setting {
  /** Folder of the cluster. */
  readonly folder: string
  /** Paths of Kubernetes' programs. */
  readonly program: (name: Binary) => string
  readonly authority: Authority
}

/** etcd, as fast as a store can be that nobody needs tomorrow. */
export function etcd({ folder }: Setting): string[] {
  return [
    "etcd",
    `--data-dir=${join(folder, "etcd")}`,
    "--listen-client-urls=http://127.0.0.1:2379",
    "--advertise-client-urls=http://127.0.0.1:2379",
    "--listen-peer-urls=http://127.0.0.1:2380",
    "--unsafe-no-fsync",
  ]
}

/** kube-apiserver. */
export async function apiServer(setting: Setting): Promise<string[]> {
  const { authority } = setting
  const names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"].map(
    name => `DNS:${name}`,
  )
  const addresses = ["127.0.0.1", NODE_ADDRESS, KUBERNETES_SERVICE].map(address => `IP:${address}`)
  const server = await authority.issue({ user: "kube-apiserver", names: [...names, ...addresses].join(",") })
  const toKubelet = await authority.issue({
    user: "kube-apiserver-kubelet-client",
    groups: ["system:masters"],
  })
  return [
    setting.program("kube-apiserver"),
    "--etcd-servers=http://127.0.0.1:2379",
    `--advertise-address=${NODE_ADDRESS}`,
    `--secure-port=${API_PORT}`,
    `--tls-cert-file=${server.certificate}`,
    `--tls-private-key-file=${server.key}`,
    `--client-ca-file=${authority.certificate}`,
    `--service-account-key-file=${join(authority.folder, "sa.pub")}`,
    `--service-account-signing-key-file=${join(authority.folder, "sa.key")}`,
    `--service-account-issuer=${SERVICE_ACCOUNT_ISSUER}`,
    `--service-cluster-ip-range=${SERVICE_RANGE}`,
    "--authorization-mode=Node,RBAC",
    "--enable-admission-plugins=NodeRestriction",
    `--kubelet-certificate-authority=${authority.certificate}`,
    `--kubelet-client-certificate=${toKubelet.certificate}`,
    `--kubelet-client-key=${toKubelet.key}`,
    // The node's name is known to no DNS server.
    "--kubelet-preferred-address-types=InternalIP",
    "--allow-privileged=true",
  ]
}

/** kube-controller-manager. */
export async function controllerManager(setting: Setting): Promise<string[]> {
  const { authority } = setting
  const kubeconfig = await innerKubeconfig(setting, { user: "system:kube-controller-manager" })
  return [
    setting.program("kube-controller-manager"),
    `--kubeconfig=${kubeconfig}`,
    `--authentication-kubeconfig=${kubeconfig}`,
    `--authorization-kubeconfig=${kubeconfig}`,
    `--service-account-private-key-file=${join(authority.folder, "sa.key")}`,
    `--root-ca-file=${authority.certificate}`,
    `--cluster-signing-cert-file=${authority.certificate}`,
    `--cluster-signing-key-file=${join(authority.folder, "ca.key")}`,
    "--use-service-account-credentials",
    "--allocate-node-cidrs",
    `--cluster-cidr=${POD_RANGE}`,
    "--leader-elect=false",
    "--bind-address=127.0.0.1",
  ]
}

/** kube-scheduler. */
export async function scheduler(setting: Setting): Promise<string[]> {
  const kubeconfig = await innerKubeconfig(setting, { user: "system:kube-scheduler" })
  return [
    setting.program("kube-scheduler"),
    `--kubeconfig=${kubeconfig}`,
    "--leader-elect=false",
    "--bind-address=127.0.0.1",
  ]
}

/** A kubeconfig for a part that runs inside the node. @returns its path */
export async function innerKubeconfig(setting: Setting, subject: Subject): Promise<string> {
  return await writeKubeconfig(setting, subject, `https://${NODE_ADDRESS}:${API_PORT}`)
}

/** Issues a certificate and writes the kubeconfig that uses it, everything inline. @returns its path */
export async function writeKubeconfig(
  { authority, folder }: Setting,
  subject: Subject,
  server: string,
): Promise<string> {
  const { certificate, key } = await authority.issue(subject)
  const inline = async (file: string): Promise<string> =>
    Buffer.from(await Bun.file(file).bytes()).toString("base64")
  const config = {
    apiVersion: "v1",
    kind: "Config",
    "current-context": "conduit-test",
    contexts: [{ name: "conduit-test", context: { cluster: "conduit-test", user: subject.user } }],
    clusters: [
      {
        name: "conduit-test",
        cluster: { server, "certificate-authority-data": await inline(authority.certificate) },
      },
    ],
    users: [
      {
        name: subject.user,
        user: {
          "client-certificate-data": await inline(certificate),
          "client-key-data": await inline(key),
        },
      },
    ],
  }
  const path = join(folder, `${subject.user.replaceAll(/[^\w.-]/g, "_")}.kubeconfig`)
  // JSON is YAML.
  writeFileSync(path, JSON.stringify(config, null, 2), { mode: 0o600 })
  return path
}
