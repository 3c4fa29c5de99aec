// Every image that Conduit is made of. One more is one more line.
import { join } from "node:path"

/** Root of the project. */
export const PROJECT_ROOT = join(import.meta.dir, "../..")

/** An image: one program for Bun, and what else it needs. */
export interface ImagePlan {
  /** Its name is `conduit/<name>`. */
  readonly name: string
  readonly what: string
  /** The program, from the root of the project. */
  readonly entry: string
  /** `uid:gid` that it runs as where a pod says nothing. */
  readonly user: string
  /** Commands besides, by the name that they have in PATH; each a program as `entry`. */
  readonly commands?: Readonly<Record<string, string>>
  /** Programs that the program itself reads, as `/app/<name>.js`; each a program as `entry`. */
  readonly programs?: Readonly<Record<string, string>>
  /** Whether the dashboard's page is in it, as `/app/web`. */
  readonly page?: boolean
  /** Debian packages besides the C library, and the files of each that the program uses. */
  readonly packages?: Readonly<Record<string, readonly string[]>>
}

/** The C library that Bun and all others are linked to. */
export const BASE_PACKAGES: Readonly<Record<string, readonly string[]>> = {
  libc6: [
    "lib*/ld-linux-*.so.*",
    "lib/*/ld-linux-*.so.*",
    "lib/*/{libc,libm}.so.6",
    "lib/*/{libdl,libnss_dns,libnss_files,libresolv}.so.2",
    "lib/*/{libpthread.so.0,librt.so.1}",
  ],
}

/** iptables with both backends, as far as the redirect uses it. */
const IPTABLES: Readonly<Record<string, readonly string[]>> = {
  iptables: [
    "usr/sbin/xtables-{nft,legacy}-multi",
    "usr/sbin/{iptables,ip6tables}-{nft,legacy}-restore",
    "usr/lib/*/xtables/libxt_{NAT,REDIRECT,multiport,owner,standard,tcp}.so",
  ],
  libip4tc2: ["usr/lib/*/libip4tc.so.*"],
  libip6tc2: ["usr/lib/*/libip6tc.so.*"],
  libmnl0: ["usr/lib/*/libmnl.so.*", "lib/*/libmnl.so.*"],
  libnftnl11: ["usr/lib/*/libnftnl.so.*"],
  libxtables12: ["usr/lib/*/libxtables.so.*"],
}

/** Nobody in particular, for programs that need no user of their own. */
const NOBODY = "65534:65534"

/** The images. */
export const IMAGES: readonly ImagePlan[] = [
  {
    name: "proxy",
    what: "the sidecar proxy",
    entry: "proxy/main.ts",
    // What inject has a kubelet run once the proxy has started, and before it where the CNI plugin redirects.
    commands: {
      "conduit-await": "proxy/await_main.ts",
      "conduit-validate": "deploy/redirect/validate_main.ts",
    },
    user: "2102:2102",
  },
  { name: "control", what: "the control plane", entry: "control/main.ts", user: NOBODY },
  { name: "web", what: "the dashboard", entry: "control/main.ts", page: true, user: NOBODY },
  { name: "cli", what: "the command line", entry: "cli/main.ts", user: NOBODY },
  {
    name: "init",
    what: "the redirect of a pod",
    entry: "deploy/redirect/init_main.ts",
    // iptables asks for root; the capabilities are the pod's to give.
    user: "0:0",
    packages: IPTABLES,
  },
  {
    name: "cni",
    what: "the installer of the CNI plugin",
    entry: "deploy/cni_node/main.ts",
    // The node's folders are root's.
    user: "0:0",
    // Made an executable on the node itself: Bun is in the image once.
    programs: { "conduit-cni": "deploy/cni/plugin_main.ts" },
    packages: IPTABLES,
  },
]
