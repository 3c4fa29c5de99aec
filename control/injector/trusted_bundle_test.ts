// How API servers are told: one object, changed only where it must be, and never over somebody else's change.
import { afterEach, beforeEach, expect, test } from "bun:test"
import { makeServerCertificate } from "../../deploy/identity/mod.ts"
import { KubeApi } from "../../deploy/kubernetes/mod.ts"
import { MAX_BUNDLE_CONFLICTS, publishCertificates } from "./trusted_bundle.ts"

const PATH = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/conduit-mesh-injector"
let server: Bun.Server<undefined>
let api: KubeApi
/** The object as the API server has it; null where it is not there. */
let object: {
  metadata: { resourceVersion: string }
  webhooks: { name: string; clientConfig: object }[]
} | null
let patches: { path: string; type: string | null; body: unknown }[] = []
/** Answers 409 to so many changes. */
let conflicts = 0

beforeEach(() => {
  object = {
    metadata: { resourceVersion: "7" },
    webhooks: [{ name: "injector.conduit.io", clientConfig: {} }],
  }
  patches = []
  conflicts = 0
  server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      const { pathname, search } = new URL(request.url)
      if (pathname !== PATH || object === null)
        return Response.json({ message: "not found" }, { status: 404 })
      if (request.method === "GET") return Response.json(object)
      const body = (await request.json()) as { webhooks: { clientConfig: object }[] }
      patches.push({ path: search, type: request.headers.get("content-type"), body })
      if (conflicts-- > 0) return Response.json({ message: "it was changed" }, { status: 409 })
      const [webhook] = object.webhooks
      if (webhook !== undefined) webhook.clientConfig = body.webhooks[0]?.clientConfig ?? {}
      return Response.json(object)
    },
  })
  const address = `http://127.0.0.1:${server.port}`
  api = new KubeApi({
    server: address,
    what: "a test",
    namespace: "default",
    current: async () => ({ server: address, headers: {}, tls: {}, proxy: "" }),
  })
})

afterEach(() => server.stop(true))

async function newPem(): Promise<string> {
  const options = { name: "a", dnsNames: ["a.b.svc"], nowMs: Date.now(), lifetimeMs: 60_000 }
  return (await makeServerCertificate(options)).certificate
}

const publish = (pem: string) => publishCertificates(api, "conduit-mesh-injector", [pem], Date.now())

test("the certificate is merged into its webhook at the version that was read, and once only", async () => {
  const pem = await newPem()
  await publish(pem)
  await publish(pem)
  expect(patches).toEqual([
    {
      path: "?fieldManager=conduit-injector",
      type: "application/strategic-merge-patch+json",
      body: {
        metadata: { resourceVersion: "7" },
        webhooks: [
          {
            name: "injector.conduit.io",
            clientConfig: { caBundle: Buffer.from(pem.trimEnd().concat("\n")).toString("base64") },
          },
        ],
      },
    },
  ])
})

test("another's change in between is read first", async () => {
  conflicts = 2
  await publish(await newPem())
  expect(patches).toHaveLength(3)
})

test("who always comes too late gives way, and says so", async () => {
  conflicts = 100
  await expect(publish(await newPem())).rejects.toThrow("others changed it 5 times meanwhile")
  expect(patches).toHaveLength(MAX_BUNDLE_CONFLICTS)
})

test("an object that is not there is an error with the API server's words", async () => {
  object = null
  await expect(publish(await newPem())).rejects.toThrow("not found")
})
