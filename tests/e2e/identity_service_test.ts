// The identity service of a running mesh, with an authority that openssl made: certificates seen from outside, issuer
// and trust anchors exchanged under load, files that cannot be used, and the service killed over and over.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { DevMesh } from "../lab/dev_mesh.ts"
import type { LabProcess } from "../lab/mod.ts"
import { tempFolder } from "../lab/temp_folder.ts"

const LOAD = new URL("./mtls_rotation_load.mjs", import.meta.url).pathname
const PEER = new URL("../lab/http_peer.ts", import.meta.url).pathname
const SUFFIX = "serviceaccount.identity.conduit.cluster.local"
/** Renewed every 13 s; two steps of an exchange wait for that. */
const LIFETIME_S = 20
const RATE_PER_VERSION = 60
const TEST_MS = 150_000
/** Ports of the control plane that speak TLS. */
const CONTROL_PORTS = { identity: 8080, destination: 8086, policy: 8090, telemetry: 8087, api: 8085 } as const

/** A certificate with its key, PEM. */
interface Authority {
  readonly certificate: string
  readonly key: string
}

let folder = ""
let oldRoot: Authority
let newRoot: Authority
let mesh: DevMesh

/** @throws Error with what openssl said */
function openssl(...args: readonly string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(["openssl", ...args], { cwd: folder })
  if (exitCode !== 0) throw new Error(`openssl ${args.join(" ")}: ${stderr}`)
  return stdout.toString()
}

function write(name: string, text: string): string {
  const path = join(folder, name)
  writeFileSync(path, text, { mode: 0o600 })
  return path
}

/** A CA certificate as people make one by hand; its own issuer unless there is one above it. */
function authority(name: string, above?: Authority): Authority {
  const by = above === undefined ? [] : ["-CA", write("above.crt", above.certificate)]
  const byKey = above === undefined ? [] : ["-CAkey", write("above.key", above.key)]
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "made.key"]
  const usage = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"]
  const extensions = usage.flatMap(one => ["-addext", one])
  const made = ["-days", "2", "-subj", `/CN=${name}`, "-out", "made.crt"]
  openssl("req", "-x509", ...key, ...made, ...extensions, ...by, ...byKey)
  const text = (file: string) => readFileSync(join(folder, file), "utf8")
  return { certificate: text("made.crt"), key: text("made.key") }
}

function issuerSecret({ certificate, key }: Authority) {
  const base64 = (text: string) => Buffer.from(text).toString("base64")
  return {
    apiVersion: "v1",
    kind: "Secret",
    type: "kubernetes.io/tls",
    metadata: { name: "conduit-identity-issuer", namespace: "conduit" },
    data: { "tls.crt": base64(certificate), "tls.key": base64(key) },
  }
}

function trustRoots(...roots: readonly Authority[]) {
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "conduit-identity-trust-roots", namespace: "conduit" },
    data: { "ca-bundle.crt": roots.map(root => root.certificate).join("") },
  }
}

function deployment(name: string, command: readonly string[], inject = "enabled") {
  const metadata = { labels: { app: name }, annotations: { "conduit.io/inject": inject } }
  const spec = {
    serviceAccountName: name,
    terminationGracePeriodSeconds: 1,
    containers: [{ name, command }],
  }
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace: "shop" },
    spec: { selector: { matchLabels: { app: name } }, template: { metadata, spec } },
  }
}

const sleeper = (name: string, inject?: string) => deployment(name, ["sleep", "infinity"], inject)

async function until(what: string, holds: () => Promise<boolean>, timeoutMs = 60_000): Promise<void> {
  const endMs = performance.now() + timeoutMs
  while (!(await holds())) {
    if (performance.now() > endMs) throw new Error(`not within ${timeoutMs / 1000} s: ${what}`)
    await Bun.sleep(200)
  }
}

/** What a proxy says of its own certificate. */
async function shown(workload: string) {
  const { stdout } = await mesh.exec("shop", workload, ["curl", "-s", "http://127.0.0.1:4191/identity"])
  return JSON.parse(stdout) as { issuer: string; trustAnchors: number; chainPem: string; notAfter: string }
}

async function everyProxy(what: string, holds: (of: Awaited<ReturnType<typeof shown>>) => boolean) {
  await until(what, async () => holds(await shown("web")) && holds(await shown("cart")))
}

/** @param chain  PEM, the leaf first @returns what `openssl verify` says */
function verified(chain: string, roots: string): string {
  const [leaf = "", ...rest] = chain.match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----\n?/g) ?? []
  write("leaf.pem", leaf)
  write("chain.pem", rest.join(""))
  write("roots.pem", roots)
  const words = ["verify", "-x509_strict", "-CAfile", "roots.pem", "-untrusted", "chain.pem", "leaf.pem"]
  return openssl(...words).trim()
}

/** A handshake from a pod that is not in the mesh. */
async function handshake(address: string, name: string, ...flags: readonly string[]): Promise<string> {
  const roots = write("handshake.pem", oldRoot.certificate)
  const words = ["s_client", "-connect", address, "-servername", name, "-verify_hostname", name, "-showcerts"]
  const speak = `(printf 'GET / HTTP/1.1\\r\\nhost: x\\r\\n\\r\\n'; sleep 0.5) | timeout 5 openssl "$@" 2>&1`
  const command = ["sh", "-c", speak, "sh", ...words, "-CAfile", roots, ...flags]
  return (await mesh.exec("shop", "box", command)).stdout
}

interface LoadReport {
  readonly http1: number
  readonly http2: number
  readonly failures: readonly string[]
}

/** Requests from web to cart while `during` runs. */
async function underLoad(during: () => Promise<void>): Promise<void> {
  const load: LabProcess = await mesh.start("shop", "web", ["node", LOAD, "cart", String(RATE_PER_VERSION)])
  const startedMs = performance.now()
  try {
    await load.saw("begun", 10_000)
    await during()
  } finally {
    load.process.stdin.end()
    await load.process.exited
  }
  await Bun.sleep(20)
  const seconds = (performance.now() - startedMs) / 1000
  const report = JSON.parse(load.stdout.trim().split("\n").at(-1) ?? "{}") as LoadReport
  console.log(`  ${report.http1} + ${report.http2} requests in ${seconds.toFixed(0)} s`)
  expect(report.failures).toEqual([])
  expect(report.http1 + report.http2).toBeGreaterThan(seconds * 2 * RATE_PER_VERSION * 0.8)
}

async function identityLog(): Promise<string> {
  return await mesh.logs("conduit", "conduit-identity")
}

async function identityMetric(name: string): Promise<number> {
  const url = "http://127.0.0.1:9990/metrics"
  const { stdout } = await mesh.exec("conduit", "conduit-identity", ["curl", "-s", url])
  return Number(new RegExp(`^${name} (\\S+)$`, "m").exec(stdout)?.[1] ?? Number.NaN)
}

const podOf = async (workload: string) => (await mesh.pods()).find(pod => pod.deployment === workload)

/** Starts a mesh. @param identity  flags of `conduit dev up` without their common beginning */
async function up(identity: Readonly<Record<string, string>>): Promise<DevMesh> {
  const service = {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "cart", namespace: "shop" },
    spec: {
      selector: { app: "cart" },
      ports: [
        { name: "http", port: 80, targetPort: 8081 },
        { name: "h2c", port: 82, targetPort: 8080 },
      ],
    },
  }
  return await DevMesh.up({
    name: "identity",
    objects: [service, deployment("cart", ["bun", PEER, "cart"]), sleeper("web"), sleeper("box", "disabled")],
    flags: Object.entries(identity).flatMap(([flag, value]) => [`--identity-${flag}`, value]),
  })
}

beforeAll(async () => {
  folder = tempFolder("identity-service")
  oldRoot = authority("old root")
  newRoot = authority("new root")
  const issuer = authority("first issuer", oldRoot)
  mesh = await up({
    "trust-anchors-file": write("anchors.crt", oldRoot.certificate),
    "issuer-certificate-file": write("issuer.crt", issuer.certificate),
    "issuer-key-file": write("issuer.key", issuer.key),
    "issuance-lifetime": `${LIFETIME_S}s`,
    "clock-skew-allowance": "0s",
  })
}, TEST_MS)

afterAll(async () => {
  await mesh?.[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
})

test(
  "openssl verifies the certificate of every proxy and of every service of the control plane",
  async () => {
    for (const workload of ["web", "cart"]) {
      const { chainPem, issuer, notAfter } = await shown(workload)
      expect(verified(chainPem, oldRoot.certificate)).toBe("leaf.pem: OK")
      expect(issuer).toBe("CN=first issuer")
      expect(Date.parse(notAfter) - Date.now()).toBeLessThanOrEqual(LIFETIME_S * 1000)
      const names = openssl("x509", "-in", "leaf.pem", "-noout", "-ext", "subjectAltName")
      expect(names).toContain(
        `URI:spiffe://cluster.local/ns/shop/sa/${workload}, DNS:${workload}.shop.${SUFFIX}`,
      )
    }
    for (const [service, port] of Object.entries(CONTROL_PORTS)) {
      const name = `conduit-${service}.conduit.${SUFFIX}`
      const seen = await handshake(`conduit-${service}.conduit:${port}`, name)
      expect(seen).toContain("Verification: OK")
      expect(verified(seen, oldRoot.certificate)).toBe("leaf.pem: OK")
    }
  },
  TEST_MS,
)

test(
  "from outside a pod shows its certificate in TLS 1.3, and serves nobody who shows none",
  async () => {
    const ip = (await podOf("cart"))?.ip
    const name = `cart.shop.${SUFFIX}`
    const seen = await handshake(`${ip}:8081`, name, "-alpn", "conduit.http1")
    expect(seen).toContain("Verification: OK")
    expect(seen).toContain(`Verified peername: ${name}`)
    expect(seen).toContain("New, TLSv1.3")
    expect(seen).toContain("ALPN protocol: conduit.http1")
    expect(seen).toContain("certificate required")
    expect(seen).not.toContain("cart GET")
    expect(await handshake(`${ip}:8081`, name, "-alpn", "conduit.http1", "-tls1_2")).not.toContain("cart GET")
  },
  TEST_MS,
)

test(
  "an issuer or anchors that cannot be used are refused with the reason, and those before stay in force",
  async () => {
    const good = authority("unused issuer", oldRoot)
    const cases: readonly (readonly [object, string])[] = [
      [issuerSecret({ certificate: "no certificate", key: good.key }), "tls.crt holds no PEM certificate"],
      [issuerSecret({ ...good, key: "no key" }), "tls.key holds no private key in PEM that can be read"],
      [issuerSecret({ ...good, key: newRoot.key }), "tls.key does not belong to the certificate in tls.crt"],
      [issuerSecret(authority("stray issuer", newRoot)), "tls.crt chains to none of the trust anchors"],
      [
        trustRoots({ ...oldRoot, certificate: "no certificate" }),
        "the trust anchors' file holds no PEM certificate",
      ],
    ]
    for (const [index, [object, reason]] of cases.entries()) {
      await mesh.apply(object)
      await until(reason, async () => (await identityLog()).includes(`cannot be used: ${reason}`), 10_000)
      expect(await identityMetric("identity_reload_failures_total")).toBeGreaterThan(index)
      expect(await identityLog()).toContain("the last good ones stay in force")
      if (index < cases.length - 1) continue
      await mesh.apply(trustRoots(oldRoot))
    }
    // Neither the bad files nor the good key are told to anybody.
    expect(await identityLog()).not.toContain(good.key.split("\n")[1] ?? "-")
    expect((await podOf("conduit-identity"))?.ready).toBe(true)
    const before = (await shown("web")).notAfter
    await until("a renewal", async () => (await shown("web")).notAfter !== before)
    expect((await shown("web")).issuer).toBe("CN=first issuer")
  },
  TEST_MS,
)

test(
  "issuer, then trust anchors are exchanged under load without a failure",
  async () => {
    const second = authority("second issuer", oldRoot)
    const third = authority("third issuer", newRoot)
    await underLoad(async () => {
      await mesh.apply(issuerSecret(second))
      await everyProxy("the second issuer's", ({ issuer }) => issuer === "CN=second issuer")
      await mesh.apply(trustRoots(oldRoot, newRoot))
      await everyProxy("both anchors", ({ trustAnchors }) => trustAnchors === 2)
      // Too early: certificates under the old root are in use. It stays in force until the last of them has ended.
      await mesh.apply(issuerSecret(third), trustRoots(newRoot))
      await everyProxy("the third issuer's", ({ issuer }) => issuer === "CN=third issuer")
      await everyProxy("the new anchor alone", ({ trustAnchors }) => trustAnchors === 1)
    })
    expect(verified((await shown("web")).chainPem, newRoot.certificate)).toBe("leaf.pem: OK")
    // A pod that starts now trusts what is in force now, and is found by those that were there before.
    await mesh.apply(sleeper("later"))
    await until("the new pod is ready", async () => (await podOf("later"))?.ready === true)
    const { stdout } = await mesh.exec("shop", "later", ["curl", "-s", "http://cart/hello"])
    expect(stdout).toContain("cart GET /hello")
  },
  TEST_MS,
)

test(
  "the identity service is killed over and over: traffic goes on, a new pod waits, and all is well once it stays",
  async () => {
    await mesh[Symbol.asyncDispose]()
    // Certificates of a day: nobody's ends while the service is away.
    mesh = await up({})
    await underLoad(async () => {
      let kills = 0
      // Its restarts are further apart each time: 1, 2, 4 s.
      for (let killedPid = 0; kills < 4; await Bun.sleep(50)) {
        const pid = (await podOf("conduit-identity"))?.pid ?? 0
        if (pid === 0 || pid === killedPid) continue
        process.kill(pid, "SIGKILL")
        killedPid = pid
        if (++kills === 3) await mesh.apply(sleeper("later"))
      }
      await until("the new pod's proxy runs", async () => (await podOf("later"))?.pid != null)
      const ready = await mesh.exec("shop", "later", ["curl", "-s", "http://127.0.0.1:4191/ready"])
      expect(ready.stdout).toContain("identity")
      expect((await podOf("later"))?.ready).toBe(false)
      expect((await podOf("conduit-identity"))?.ready).toBe(false)
      await until("the new pod is ready", async () => (await podOf("later"))?.ready === true)
      expect((await podOf("conduit-identity"))?.ready).toBe(true)
    })
    const { stdout } = await mesh.exec("shop", "later", ["curl", "-s", "http://cart/hello"])
    expect(stdout).toContain("cart GET /hello")
  },
  TEST_MS,
)
