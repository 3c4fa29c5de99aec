// What the kernel and our rights on this machine allow: network namespaces, and iptables with REDIRECT inside them.
import { spawnSync } from "node:child_process"

/** Things to try in a namespace of their own, and the sentence when one does not go. */
const TRIALS = [
  {
    command: ["true"],
    lack: "no network namespaces: they need root (or user namespaces), and a kernel that has them",
  },
  {
    command: ["ip", "link", "add", "conduit0", "type", "veth", "peer", "name", "conduit1"],
    lack: "no veth links in a network namespace: the kernel module veth is missing",
  },
  {
    command: ["ip", "link", "add", "conduit0", "type", "bridge"],
    lack: "no bridges in a network namespace: the kernel module bridge is missing",
  },
  {
    command: [
      "iptables",
      "-w",
      "-t",
      "nat",
      "-A",
      "OUTPUT",
      "-p",
      "tcp",
      "-j",
      "REDIRECT",
      "--to-ports",
      "4140",
    ],
    lack: "no iptables REDIRECT in a network namespace: the kernel modules nf_nat and xt_REDIRECT (nft_redir) are missing",
  },
]

/** What this machine lacks to run a mesh, one sentence each; empty when nothing. */
export function findLacks() {
  const own = process.getuid() === 0 ? [] : ["--user", "--map-root-user"]
  for (const { command, lack } of TRIALS) {
    const env = { ...process.env, PATH: `${process.env.PATH ?? ""}:/usr/sbin:/sbin` }
    const tried = spawnSync("unshare", [...own, "--net", "--mount", "--", ...command], {
      encoding: "utf8",
      env,
    })
    if (tried.status === 0) continue
    const said = tried.error?.message ?? tried.stderr.trim().split("\n").at(-1)
    // What comes after needs what failed here.
    return [`${lack} (${said})`]
  }
  return []
}
