// What makes a node of the cluster: containerd, kubelet, kube-proxy, and CoreDNS for names. Each gets a folder below
// the cluster's, so that this machine's own containerd and kubelet, if it has them, are not touched.
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { imageArchive, layerOf } from "../../deploy/images/mod.ts"
import { DNS_SERVICE, innerKubeconfig, POD_RANGE, type Setting } from "./control_plane.ts"
import { NODE_ADDRESS } from "./node.ts"

/** Name of the only node. */
export const NODE_NAME = "node"
/** Image of every pod's first container. */
export const PAUSE_IMAGE = "conduit.test/pause:1"

/** The image of every pod's first container, as a tar file. */
export function pauseImage(program: Uint8Array): Uint8Array {
  const layers = [layerOf([{ path: "pause", mode: 0o755, content: program }])]
  const architecture = process.arch === "arm64" ? "arm64" : "amd64"
  return imageArchive({
    name: PAUSE_IMAGE,
    architecture,
    layers,
    entrypoint: ["/pause"],
    user: "65535:65535",
  }).archive
}

/** CNI plugins of Debian's package. */
const CNI_PLUGINS = "/usr/lib/cni"

/** Where containerd listens. */
export function containerdSocket(folder: string): string {
  return join(folder, "containerd.sock")
}

/** Where containerd looks for network configurations and for CNI plugins. */
export function cniFolders(folder: string): { readonly conf: string; readonly bin: string } {
  return { conf: join(folder, "cni"), bin: join(folder, "cni-bin") }
}

/** containerd, with runc, as far as a machine without CAP_SYS_RESOURCE allows it. */
export function containerd({ folder }: Setting): string[] {
  const cni = cniFolders(folder)
  mkdirSync(cni.conf)
  mkdirSync(cni.bin)
  // A folder of the cluster's own: what a test installs must not reach this machine's.
  for (const name of readdirSync(CNI_PLUGINS)) symlinkSync(join(CNI_PLUGINS, name), join(cni.bin, name))
  const ranges = [[{ subnet: "10.244.0.0/24" }]]
  const bridge = {
    type: "bridge",
    bridge: "cni0",
    isGateway: true,
    hairpinMode: true,
    ipam: { type: "host-local", dataDir: join(folder, "ipam"), ranges, routes: [{ dst: "0.0.0.0/0" }] },
  }
  const plugins = [bridge, { type: "portmap", capabilities: { portMappings: true } }]
  writeFileSync(
    join(cni.conf, "10-pods.conflist"),
    JSON.stringify({ cniVersion: "1.0.0", name: "pods", plugins }),
  )
  const config = join(folder, "containerd.toml")
  const cri = 'plugins."io.containerd.grpc.v1.cri"'
  writeFileSync(
    config,
    `version = 2
root = "${join(folder, "containerd")}"
state = "/run/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
  address = "${containerdSocket(folder)}"
[${cri}]
  sandbox_image = "${PAUSE_IMAGE}"
  # runc may not lower oom_score_adj without CAP_SYS_RESOURCE, and would start nothing.
  restrict_oom_score_adj = true
[${cri}.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[${cri}.containerd.runtimes.runc.options]
  SystemdCgroup = false
[${cri}.cni]
  bin_dir = "${cni.bin}"
  conf_dir = "${cni.conf}"
`,
  )
  return ["containerd", `--config=${config}`]
}

/** kubelet. https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/ */
export async function kubelet(setting: Setting, cgroup: string): Promise<string[]> {
  const { authority, folder } = setting
  const subject = { user: `system:node:${NODE_NAME}`, groups: ["system:nodes"] }
  const kubeconfig = await innerKubeconfig(setting, subject)
  const names = `DNS:${NODE_NAME},IP:${NODE_ADDRESS}`
  const server = await authority.issue({ user: `system:node:${NODE_NAME}`, names })
  const config = join(folder, "kubelet.json")
  const settings = {
    apiVersion: "kubelet.config.k8s.io/v1beta1",
    kind: "KubeletConfiguration",
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: authority.certificate },
    },
    authorization: { mode: "Webhook" },
    tlsCertFile: server.certificate,
    tlsPrivateKeyFile: server.key,
    cgroupDriver: "cgroupfs",
    cgroupRoot: `/${cgroup}`,
    enforceNodeAllocatable: [],
    failCgroupV1: false,
    failSwapOn: false,
    clusterDNS: [DNS_SERVICE],
    clusterDomain: "cluster.local",
    containerRuntimeEndpoint: `unix://${containerdSocket(folder)}`,
    // The disk is the machine's: how full it is must not end pods of a test, nor remove their images.
    evictionHard: {},
    imageGCHighThresholdPercent: 100,
    localStorageCapacityIsolation: false,
    volumePluginDir: join(folder, "volume-plugins"),
    podLogsDir: join(folder, "pod-logs"),
    resolvConf: "",
    // Tests wait for what pods do.
    syncFrequency: "5s",
    maxPods: 110,
  }
  writeFileSync(config, JSON.stringify(settings))
  return [
    setting.program("kubelet"),
    `--config=${config}`,
    `--kubeconfig=${kubeconfig}`,
    `--hostname-override=${NODE_NAME}`,
    `--node-ip=${NODE_ADDRESS}`,
    `--root-dir=${join(folder, "kubelet")}`,
  ]
}

/** kube-proxy. Its sysctls are not the namespace's to write. */
export async function kubeProxy(setting: Setting): Promise<string[]> {
  const kubeconfig = await innerKubeconfig(setting, { user: "system:kube-proxy" })
  return [
    setting.program("kube-proxy"),
    `--kubeconfig=${kubeconfig}`,
    `--hostname-override=${NODE_NAME}`,
    "--proxy-mode=iptables",
    `--cluster-cidr=${POD_RANGE}`,
    "--conntrack-max-per-core=0",
    "--conntrack-tcp-timeout-established=0",
    "--conntrack-tcp-timeout-close-wait=0",
  ]
}

/** CoreDNS, on the node's address; {@link dnsService} leads pods there. */
export async function coreDns(setting: Setting): Promise<string[]> {
  const kubeconfig = await innerKubeconfig(setting, { user: "coredns", groups: ["system:masters"] })
  const config = join(setting.folder, "Corefile")
  writeFileSync(
    config,
    `.:53 {
  bind ${NODE_ADDRESS}
  errors
  ready ${NODE_ADDRESS}:8181
  kubernetes cluster.local in-addr.arpa {
    kubeconfig ${kubeconfig}
    pods insecure
    ttl 5
  }
}
`,
  )
  return [setting.program("coredns"), `-conf=${config}`]
}

/** The Service that pods know the cluster DNS by, and where it leads. */
export function dnsService(): object {
  const metadata = { name: "kube-dns", namespace: "kube-system" }
  const ports = [
    { name: "dns", port: 53, protocol: "UDP" },
    { name: "dns-tcp", port: 53, protocol: "TCP" },
  ]
  return {
    apiVersion: "v1",
    kind: "List",
    items: [
      { apiVersion: "v1", kind: "Service", metadata, spec: { clusterIP: DNS_SERVICE, ports } },
      {
        apiVersion: "discovery.k8s.io/v1",
        kind: "EndpointSlice",
        metadata: { ...metadata, labels: { "kubernetes.io/service-name": "kube-dns" } },
        addressType: "IPv4",
        endpoints: [{ addresses: [NODE_ADDRESS] }],
        ports,
      },
    ],
  }
}
