// Identity, telemetry and API, each a process of its own as in a cluster: how they prove themselves to each other.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { join } from "node:path"
import { Code, ConnectError } from "@connectrpc/connect"
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node"
import { derToPem } from "../deploy/identity/mod.ts"
import { createApiClient, createTelemetryClient } from "../protos/mod.ts"
import { eventually, IdentityLab, newAuthority, newCsr, newKeys } from "./identity/lab.ts"

const lab = new IdentityLab()
const ends = new AbortController()

beforeAll(async () => {
  await lab.prepare()
  await lab.run("identity")
})
afterAll(() => {
  ends.abort()
  lab.close()
})

/** Runs a service that proves itself as `conduit-AS`. @returns its port, and that of its /metrics */
async function run(service: "telemetry" | "api", as: string, env: Record<string, string> = {}) {
  lab.write(`${as}-token`, lab.token({ namespace: "conduit", serviceAccount: `conduit-${as}` }))
  const { ports } = await lab.run(service, {
    CONDUIT_IDENTITY_ADDR: `127.0.0.1:${lab.portOf("identity")}`,
    CONDUIT_TOKEN_FILE: join(lab.folder, `${as}-token`),
    ...env,
  })
  return { port: ports.get(service) ?? 0, adminPort: ports.get("admin") ?? 0 }
}

function api(port: number) {
  return createApiClient(createConnectTransport({ baseUrl: `http://127.0.0.1:${port}`, httpVersion: "2" }))
}

/** Reports 100 responses of a pod of shop/web, as its proxy does, and keeps the stream open. */
async function report(port: number, pod = "web-1"): Promise<void> {
  const keys = await newKeys()
  const { chain } = await lab.client().certify({ token: lab.token(), csr: await newCsr(keys) })
  const der = Buffer.from(await crypto.subtle.exportKey("pkcs8", keys.privateKey)).toString("base64")
  const transport = createGrpcTransport({
    baseUrl: `https://127.0.0.1:${port}`,
    nodeOptions: {
      cert: chain.map(derToPem).join(""),
      key: `-----BEGIN PRIVATE KEY-----\n${der}\n-----END PRIVATE KEY-----\n`,
      ca: lab.authority.anchor,
      servername: "conduit-telemetry.conduit.serviceaccount.identity.conduit.cluster.local",
    },
  })
  async function* reports() {
    const labels = { direction: "inbound", classification: "success" }
    yield {
      reporter: {
        namespace: "shop",
        pod,
        workloadKind: "deployment",
        workload: "web",
        proxyVersion: "1",
        startedAtMs: BigInt(Date.now()),
      },
      series: [{ id: 1, metric: "response_total", labels }],
      samples: [{ seriesId: 1, value: 100 }],
    }
    await new Promise<void>(resolve => ends.signal.addEventListener("abort", () => resolve()))
  }
  createTelemetryClient(transport)
    .report(reports(), { signal: ends.signal })
    .catch(() => {})
}

const WEB = {
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name: "web", namespace: "shop" },
  spec: { template: {} },
}

/** Responses that the API tells of shop/web; what it says when it cannot. */
async function told(port: number): Promise<string> {
  try {
    const { rows } = await api(port).stat({ target: { namespace: "shop", kind: "deployment" } })
    return `responses ${rows[0]?.http?.responses}`
  } catch (error) {
    const { code, rawMessage } = ConnectError.from(error)
    return `${Code[code]}: ${rawMessage}`
  }
}

test("the API asks telemetry over TLS, each proven to the other, also after the trust anchors have changed", async () => {
  lab.write("manifests/web.json", JSON.stringify(WEB))
  const telemetry = await run("telemetry", "telemetry")
  const { port } = await run("api", "api", { CONDUIT_TELEMETRY_ADDR: `127.0.0.1:${telemetry.port}` })
  await report(telemetry.port)
  await eventually(async () => (await told(port)) === "responses 100")
  const next = await newAuthority()
  lab.write("anchors.crt", lab.authority.anchor + next.anchor)
  await eventually(() => lab.lines.filter(line => line.includes("trust anchors in force")).length === 2)
  expect(await told(port)).toBe("responses 100")
  // Telemetry has heard of the new anchor too: it believes a proxy whose certificate is under that one.
  lab.write("issuer/tls.key", next.issuerKey)
  lab.write("issuer/tls.crt", next.issuer)
  await eventually(() => lab.lines.filter(line => line.includes("issuer in force")).length === 2)
  await report(telemetry.port, "web-2")
  await eventually(async () => (await told(port)) === "responses 200")
  expect(await lab.metrics(telemetry.adminPort)).toMatch(
    /connections_refused_total\{reason="plaintext"\} 0\n/,
  )
}, 30_000)

test("telemetry that proves another name than its own is not believed", async () => {
  const impostor = await run("telemetry", "policy")
  const { port } = await run("api", "api", { CONDUIT_TELEMETRY_ADDR: `127.0.0.1:${impostor.port}` })
  expect(await told(port)).toMatch(/^Unavailable: telemetry at 127\.0\.0\.1:\d+ does not answer: /)
})

test("an API without a certificate gets nothing out of telemetry", async () => {
  const telemetry = await run("telemetry", "telemetry")
  const { port } = await run("api", "api", {
    CONDUIT_TELEMETRY_ADDR: `127.0.0.1:${telemetry.port}`,
    CONDUIT_TRUST_ANCHORS_FILE: "",
  })
  expect(await told(port)).toContain("Unavailable: telemetry at")
  expect(await lab.metrics(telemetry.adminPort)).toMatch(
    /connections_refused_total\{reason="plaintext"\} [1-9]/,
  )
})
