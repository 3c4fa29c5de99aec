// Pairs of proxies with mutual TLS between them, as peers of the bench: Conduit's outbound and inbound side beside two
// haproxies on the same path, each pair on one core; and Conduit's pair without identities, to tell what TLS costs.
import { chmodSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { BunPlugin } from "bun"
import { anchorOf, LabCa } from "../lab/mod.ts"
import { peerNumber, serviceAddress } from "./conduit_peer.ts"
import { type BenchProtocol, haproxy, type Peer, pinned, portOf, type RunningPeer } from "./peers.ts"

const ROOT = join(import.meta.dir, "../..")
const PROTOCOLS: readonly BenchProtocol[] = ["http1", "http2", "tcp"]
/** Numbers of `conduit.destination.v1.Protocol`. */
const HINT: Readonly<Record<BenchProtocol, number>> = { http1: 1, http2: 2, tcp: 3 }
const CONTROL_PORT = 8086
const HOUR_MS = 3_600_000
/** The outbound proxy's user: its connections to the backend go to the inbound proxy, those of others do not. */
const OUTBOUND_UID = 2102

/** Where main.ts has what is decided of each request counted; the path is brought into its normal form for it alone. */
const OBSERVES = "policy.observer = telemetry.access"

/** Builds the proxy anew as one that counts nothing. */
const uncounted: BunPlugin = {
  name: "uncounted",
  setup(build) {
    build.onLoad({ filter: /\/proxy\/main\.ts$/ }, async ({ path }) => {
      const source = await Bun.file(path).text()
      if (!source.includes(OBSERVES)) throw new Error(`${path} has no "${OBSERVES}" any more`)
      const first = `import ${JSON.stringify(join(import.meta.dir, "count_nothing.ts"))}\n`
      return { contents: first + source.replace(OBSERVES, ""), loader: "ts" }
    })
  },
}

/** Two of Conduit's proxies. */
function conduitPair(name: string, secure: boolean, plugins: BunPlugin[] = []): Peer {
  return {
    name,
    missing: () => null,
    async start(at) {
      chmodSync(at.folder, 0o755)
      const built = await Bun.build({
        entrypoints: [join(ROOT, "proxy/main.ts")],
        target: "bun",
        minify: true,
        plugins,
      })
      const output = built.outputs[0]
      if (output === undefined) throw new Error(`the proxy does not build: ${built.logs.join("; ")}`)
      const bundle = join(at.folder, `${name}.js`)
      writeFileSync(bundle, await output.text())
      const number = peerNumber(at.basePort)
      const host = `10.98.1.${number}`
      const inboundPort = at.basePort + 43
      run("ip", "addr", "add", `${host}/32`, "dev", "lo")
      const owner = ["-m", "owner", "--uid-owner", String(OUTBOUND_UID)]
      const toBackend = ["-p", "tcp", "-d", host, "--dport", String(at.backendPort)]
      const nat = ["iptables", "-t", "nat", "-A", "OUTPUT"]
      run(...nat, ...owner, ...toBackend, "-j", "REDIRECT", "--to-ports", String(inboundPort))
      const backend = `${at.backendHost}:${at.backendPort}`
      run(
        ...nat,
        "-m",
        "owner",
        "!",
        "--uid-owner",
        String(OUTBOUND_UID),
        ...toBackend,
        "-j",
        "DNAT",
        "--to",
        backend,
      )
      const control = Bun.spawn(
        [
          "taskset",
          "-c",
          String(at.loadCore),
          process.execPath,
          join(ROOT, "tests/lab/fake_control_plane.ts"),
          String(CONTROL_PORT + number),
        ],
        {
          stdin: "pipe",
          stdout: "pipe",
          stderr: Bun.file(join(at.folder, "control.log")),
          env: { ...process.env, CONDUIT_LAB_SECURE_PORTS: String(at.basePort + 60) },
        },
      )
      const ca = await LabCa.create()
      const endpoint = {
        ip: host,
        port: at.backendPort,
        pod: "server",
        workload: "server",
        meshed: true,
        ...(secure ? { serviceAccount: "server" } : {}),
      }
      const outbound = Object.fromEntries(
        PROTOCOLS.map(protocol => [
          `${serviceAddress(number, protocol)}:80`,
          { service: protocol, port: 80, endpoints: [endpoint], protocol: HINT[protocol] },
        ]),
      )
      const identity = { issuer: await ca.toText(), anchors: [anchorOf(ca)], lifetimeMs: HOUR_MS }
      control.stdin.write(`${JSON.stringify({ outbound, ...(secure ? { identity } : {}) })}\n`)
      control.stdin.flush()
      void drain(control.stdout)
      const proxy = (pod: string, uid: number, shift: number) => {
        const token = join(at.folder, `${name}-${pod}.token`)
        writeFileSync(token, pod)
        const plain = `127.0.0.1:${CONTROL_PORT + number}`
        const secured = (offset: number) => (secure ? `127.0.0.1:${at.basePort + 60 + offset}` : plain)
        const user = ["setpriv", `--reuid=${uid}`, "--clear-groups"]
        return pinned(at.core, [...user, process.execPath, bundle], join(at.folder, `${name}-${pod}.log`), {
          PATH: process.env.PATH,
          CONDUIT_PROXY_NAMESPACE: "lab",
          CONDUIT_PROXY_POD: pod,
          CONDUIT_PROXY_POD_IPS: "10.99.0.1",
          CONDUIT_PROXY_WORKLOAD_KIND: "deployment",
          CONDUIT_PROXY_WORKLOAD: pod,
          CONDUIT_PROXY_DESTINATION_ADDR: secured(0),
          CONDUIT_PROXY_TELEMETRY_ADDR: secured(1),
          ...(secure
            ? {
                CONDUIT_PROXY_IDENTITY_ADDR: secured(2),
                CONDUIT_PROXY_SERVICE_ACCOUNT: pod,
                CONDUIT_PROXY_TOKEN_FILE: token,
                CONDUIT_PROXY_TRUST_ANCHORS: ca.pem,
              }
            : {}),
          CONDUIT_PROXY_OUTBOUND_PORT: String(at.basePort + shift),
          CONDUIT_PROXY_INBOUND_PORT: String(pod === "server" ? inboundPort : at.basePort + 44),
          CONDUIT_PROXY_ADMIN_PORT: String(at.basePort + 90 + (pod === "server" ? 1 : 0)),
          CONDUIT_PROXY_TAP_PORT: String(at.basePort + 70 + (pod === "server" ? 1 : 0)),
        })
      }
      const client = proxy("client", OUTBOUND_UID, 0)
      const server = proxy("server", OUTBOUND_UID + 1, 10)
      for (const admin of [at.basePort + 90, at.basePort + 91]) await ready(admin, at.folder)
      const looking = await ca.issue("conduit", "conduit-tap")
      return {
        name,
        tap: {
          proxies: ["client", "server"].map((pod, index) => ({
            port: at.basePort + 70 + index,
            serverName: `${pod}.lab.serviceaccount.identity.conduit.cluster.local`,
          })),
          certPem: looking.certPem,
          keyPem: looking.keyPem,
          caPem: ca.pem,
        },
        pids: () => [client.pid, server.pid],
        port: () => at.basePort,
        async stop() {
          for (const one of [client, server, control]) one.kill("SIGKILL")
          await Promise.all([client.exited, server.exited, control.exited])
        },
      } satisfies RunningPeer
    },
  }
}

/** Conduit's pair with mutual TLS. */
export const conduitMtls: Peer = conduitPair("conduit", true)

/** Conduit's pair without. */
export const conduitPlain: Peer = conduitPair("conduit-plain", false)

/** That pair as it would be without counting. */
export const conduitUncounted: Peer = conduitPair("conduit-uncounted", false, [uncounted])

/** Two haproxies, one thread each, TLS 1.3 with both certificates between them, sessions resumed. */
export const haproxyMtls: Peer = {
  name: "haproxy",
  missing: haproxy.missing,
  async start(at) {
    const ca = await LabCa.create()
    const anchor = join(at.folder, `haproxy-${at.basePort}-ca.pem`)
    writeFileSync(anchor, ca.pem)
    const pair = async (who: string) => {
      const { certPem, keyPem } = await ca.issue("lab", who)
      const file = join(at.folder, `haproxy-${at.basePort}-${who}.pem`)
      writeFileSync(file, certPem + keyPem)
      return file
    }
    const common = `global
  nbthread 1
  maxconn 8000
  tune.bufsize 65536
  tune.h2.initial-window-size 1048576
  tune.h2.max-concurrent-streams 1000
  ssl-default-bind-options ssl-min-ver TLSv1.3
  ssl-default-server-options ssl-min-ver TLSv1.3
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
`
    const inner = (protocol: BenchProtocol) => portOf(at, protocol) + 20
    const kind: Readonly<Record<BenchProtocol, string>> = { http1: "", http2: "proto h2", tcp: "" }
    const mode = (protocol: BenchProtocol) => (protocol === "tcp" ? "  mode tcp\n" : "")
    const [clientPem, serverPem] = [await pair("client"), await pair("server")]
    // The name asked for is the one that the certificate is checked against.
    const name = "sni str(server.lab.serviceaccount.identity.conduit.cluster.local)"
    const outbound = PROTOCOLS.map(
      protocol => `frontend ${protocol}
${mode(protocol)}  bind 127.0.0.1:${portOf(at, protocol)} ${kind[protocol]}
  default_backend ${protocol}
backend ${protocol}
${mode(protocol)}  server s 127.0.0.1:${inner(protocol)} ssl crt ${clientPem} ca-file ${anchor} verify required ${name} ${protocol === "http2" ? "alpn h2" : ""}
`,
    ).join("")
    const inbound = PROTOCOLS.map(
      protocol => `frontend ${protocol}
${mode(protocol)}  bind 127.0.0.1:${inner(protocol)} ssl crt ${serverPem} ca-file ${anchor} verify required ${protocol === "http2" ? "alpn h2" : ""}
  default_backend ${protocol}
backend ${protocol}
${mode(protocol)}  server s ${at.backendHost}:${at.backendPort} ${kind[protocol]}
`,
    ).join("")
    const children = [outbound, inbound].map((sides, i) => {
      const file = join(at.folder, `haproxy-${at.basePort}-${i}.cfg`)
      writeFileSync(file, common + sides)
      return pinned(
        at.core,
        ["haproxy", "-db", "-f", file],
        join(at.folder, `haproxy-pair-${at.basePort}-${i}.log`),
      )
    })
    return {
      name: "haproxy",
      pids: () => children.map(child => child.pid),
      port: protocol => portOf(at, protocol),
      async stop() {
        for (const child of children) child.kill("SIGTERM")
        await Promise.all(children.map(child => child.exited))
      },
    }
  },
}

function run(...command: string[]): void {
  const done = Bun.spawnSync(command, { stdout: "pipe", stderr: "pipe" })
  if (done.exitCode !== 0) throw new Error(`${command.join(" ")}: ${done.stderr.toString().trim()}`)
}

async function drain(stream: ReadableStream<Uint8Array>): Promise<void> {
  for await (const _ of stream) {
    // Events of the control plane; nobody asks.
  }
}

async function ready(adminPort: number, folder: string): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    const ok = await fetch(`http://127.0.0.1:${adminPort}/ready`).then(
      response => response.ok,
      () => false,
    )
    if (ok) return
    await Bun.sleep(100)
  }
  throw new Error(`a proxy of the pair is not ready after 10 s: see ${folder}`)
}
