// Services that proxies call, with identity on: who is served over real TLS, and who is turned away.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { Code, ConnectError, type Transport } from "@connectrpc/connect"
import { createGrpcTransport } from "@connectrpc/connect-node"
import { derToPem } from "../deploy/identity/mod.ts"
import { createDestinationClient, createTelemetryClient, createTelemetryQueryClient } from "../protos/mod.ts"
import { eventually, IdentityLab, newCsr, newKeys } from "./identity/lab.ts"

const lab = new IdentityLab()

beforeAll(async () => {
  await lab.prepare()
  const pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web-1", namespace: "shop" },
    spec: { serviceAccountName: "web", containers: [] },
  }
  await lab.run("all")
  lab.write("manifests/pod.json", JSON.stringify(pod))
})
afterAll(() => lab.close())

async function transport(
  service: "destination" | "telemetry",
  who: { namespace: string; serviceAccount: string } | null,
): Promise<Transport> {
  let proof = {}
  if (who !== null) {
    const keys = await newKeys()
    const { chain } = await lab.client().certify({ token: lab.token(who), csr: await newCsr(keys) })
    const der = Buffer.from(await crypto.subtle.exportKey("pkcs8", keys.privateKey)).toString("base64")
    const key = `-----BEGIN PRIVATE KEY-----\n${der}\n-----END PRIVATE KEY-----\n`
    proof = { cert: chain.map(derToPem).join(""), key }
  }
  return createGrpcTransport({
    baseUrl: `https://127.0.0.1:${lab.portOf(service)}`,
    nodeOptions: {
      ...proof,
      ca: lab.authority.anchor,
      servername: "conduit-identity.conduit.serviceaccount.identity.conduit.cluster.local",
    },
  })
}

async function codeOf(call: Promise<unknown>): Promise<string> {
  return await call.then(
    () => "served",
    error => Code[ConnectError.from(error).code] ?? "",
  )
}

const WEB = { namespace: "shop", serviceAccount: "web" }
const CONTROL = { namespace: "conduit", serviceAccount: "conduit-api" }

async function hello(as: Transport, pod: string): Promise<string> {
  async function* requests() {
    yield { request: { case: "hello" as const, value: { namespace: "shop", pod } } }
    const value = { watchId: 1n, target: { case: "inbound" as const, value: { port: 80 } } }
    yield { request: { case: "subscribe" as const, value } }
    await Bun.sleep(300)
  }
  const answers = async () => {
    for await (const _ of createDestinationClient(as).watch(requests())) return
    throw new ConnectError("nothing", Code.DataLoss)
  }
  return await codeOf(answers())
}

test("a proxy is served as the pod whose identity it proves, and as no other", async () => {
  const web = await transport("destination", WEB)
  await eventually(async () => (await hello(web, "web-1")) === "served")
  expect(await hello(await transport("destination", { ...WEB, serviceAccount: "x" }), "web-1")).toBe(
    "PermissionDenied",
  )
  expect(await hello(await transport("destination", { ...WEB, namespace: "x" }), "web-1")).toBe(
    "PermissionDenied",
  )
  expect(await hello(web, "web-2")).toBe("Unavailable")
})

test("reports are taken from the reporter's namespace only, questions from the control plane only", async () => {
  const report = (as: Transport) =>
    codeOf(
      createTelemetryClient(as).report(
        (async function* () {
          yield { reporter: { namespace: "shop", pod: "web-1" } }
        })(),
      ),
    )
  const ask = (as: Transport) => codeOf(createTelemetryQueryClient(as).reporters({}))
  const [web, control] = await Promise.all([transport("telemetry", WEB), transport("telemetry", CONTROL)])
  expect(await report(web)).toBe("served")
  expect(await report(control)).toBe("PermissionDenied")
  expect(await ask(web)).toBe("PermissionDenied")
  expect(await ask(control)).toBe("served")
})

test("who proves nothing is served nothing, in plaintext or over TLS", async () => {
  expect(await codeOf(createTelemetryQueryClient(await transport("telemetry", null)).reporters({}))).not.toBe(
    "served",
  )
  const plain = createGrpcTransport({ baseUrl: `http://127.0.0.1:${lab.portOf("telemetry")}` })
  expect(await codeOf(createTelemetryQueryClient(plain).reporters({}))).not.toBe("served")
  expect(await lab.metrics()).toMatch(/connections_refused_total\{reason="no_identity"\} 1\n/)
})
