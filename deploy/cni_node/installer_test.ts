// The installer on a node of two folders: what it puts there, what it does when that changes, and what it leaves.
import { afterEach, beforeEach, expect, test } from "bun:test"
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { Installer } from "./installer.ts"

const CONFLIST = '{"cniVersion":"1.0.0","name":"pods","plugins":[{"type":"bridge"}]}'
/** An image as far as iptables goes; the real one is run in tests/e2e/cni_test.ts and on the cluster. */
const [TRIPLET, LINKER] =
  process.arch === "arm64"
    ? ["aarch64-linux-gnu", "lib/ld-linux-aarch64.so.1"]
    : ["x86_64-linux-gnu", "lib64/ld-linux-x86-64.so.2"]
const IMAGE = [
  LINKER,
  ...["libc.so.6", "libdl.so.2", "libm.so.6"].map(name => `lib/${TRIPLET}/${name}`),
  ...["libip4tc.so.2", "libip6tc.so.2", "libmnl.so.0", "libnftnl.so.11", "libxtables.so.12"].map(
    name => `usr/lib/${TRIPLET}/${name}`,
  ),
  `usr/lib/${TRIPLET}/xtables/libxt_REDIRECT.so`,
  "usr/sbin/xtables-nft-multi",
  "usr/sbin/xtables-legacy-multi",
]
let folder = ""
let said: string[] = []
let token = "secret-1"

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "conduit-node-"))
  mkdirSync(join(folder, "conf"))
  mkdirSync(join(folder, "bin"))
  writeFileSync(join(folder, "program.ts"), 'console.log("I am the plugin")')
  for (const path of IMAGE) {
    mkdirSync(dirname(join(folder, "image", path)), { recursive: true })
    writeFileSync(join(folder, "image", path), path)
  }
  said = []
  token = "secret-1"
})
afterEach(() => rmSync(folder, { recursive: true }))

function installer(iptablesRoot = at("image")): Installer {
  return new Installer({
    confFolder: join(folder, "conf"),
    binFolder: join(folder, "bin"),
    program: join(folder, "program.ts"),
    iptablesRoot,
    entry: {
      type: "conduit-cni",
      kubeconfig: "/etc/cni/net.d/conduit-cni-kubeconfig",
      excludeNamespaces: [],
    },
    kubeconfig: () => ({ server: "https://10.96.0.1:443", authority: "PEM", token }),
    say: line => said.push(line),
    // Later than any file was written.
    nowMs: () => Date.now() + 3_600_000,
  })
}

function at(...path: string[]): string {
  return join(folder, ...path)
}

test("pods are promised a redirect once there is a network configuration, with everything that it needs before", async () => {
  const own = installer()
  await own.look()
  await own.look()
  expect({ ready: own.ready, at: own.readyAtMs }).toEqual({ ready: false, at: null })
  expect(said.filter(line => line.includes("waiting for a network configuration")).length).toBe(1)
  expect(Bun.spawnSync([at("bin/conduit-cni")]).stdout.toString()).toBe("I am the plugin\n")
  expect(readFileSync(at("bin/conduit-cni.d/ld.so"), "utf8")).toBe(LINKER ?? "")
  expect(existsSync(at("bin/conduit-cni.d/xtables/libxt_REDIRECT.so"))).toBe(true)
  expect(statSync(at("conf/conduit-cni-kubeconfig")).mode & 0o777).toBe(0o600)
  writeFileSync(at("conf/10-pods.conflist"), CONFLIST)
  await own.look()
  expect(own.ready).toBe(true)
  expect(readFileSync(at("conf/10-pods.conflist"), "utf8")).toContain("conduit-cni")
  own.remove()
  expect(own.ready).toBe(false)
  expect(readdirSync(at("bin"))).toEqual([])
  expect(readdirSync(at("conf"))).toEqual(["10-pods.conflist"])
  expect(readFileSync(at("conf/10-pods.conflist"), "utf8")).toBe(CONFLIST)
  expect(said.join()).not.toContain("secret")
})

test("a token that kubelet renewed is passed on, and an executable that somebody removed comes back", async () => {
  writeFileSync(at("conf/10-pods.conflist"), CONFLIST)
  const own = installer()
  await own.look()
  const since = own.readyAtMs
  token = "secret-2"
  rmSync(at("bin/conduit-cni"))
  await own.look()
  const kubeconfig = readFileSync(at("conf/conduit-cni-kubeconfig"), "utf8")
  expect([kubeconfig.includes("secret-1"), kubeconfig.includes("secret-2")]).toEqual([false, true])
  expect(existsSync(at("bin/conduit-cni"))).toBe(true)
  expect(own.readyAtMs).toBe(since)
})

test("what cannot be put there is said once, and tried again", async () => {
  writeFileSync(at("conf/10-pods.conflist"), CONFLIST)
  const own = installer(at("nothing"))
  await own.look()
  await own.look()
  expect(own.ready).toBe(false)
  expect(said).toEqual([
    `the plugin cannot be put on the node: libc.so.6, which iptables is linked to, is not below ${at("nothing")}`,
  ])
  expect(readFileSync(at("conf/10-pods.conflist"), "utf8")).toBe(CONFLIST)
})

test("a change of the folder is seen at once, and the end too", async () => {
  const own = installer()
  const end = new AbortController()
  const ready = Promise.withResolvers<void>()
  const kept = own.keep(end.signal, ready.resolve)
  while (!said.some(line => line.includes("waiting for a network configuration"))) await Bun.sleep(1)
  writeFileSync(at("conf/10-pods.conflist"), CONFLIST)
  await ready.promise
  end.abort()
  await kept
  expect(own.ready).toBe(true)
})
