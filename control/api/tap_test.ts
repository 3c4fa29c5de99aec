// Who may see live requests: figures are open to who reaches the API, what requests say is not.
import { afterAll, expect, test } from "bun:test"
import type { MessageInitShape } from "@bufbuild/protobuf"
import { Code, ConnectError } from "@connectrpc/connect"
import { createConnectTransport } from "@connectrpc/connect-node"
import { createTapClient, TapHeaders, type TapRequestSchema } from "../../protos/mod.ts"
import { ClusterStore } from "../cluster/mod.ts"
import type { Access, TokenVerdict } from "../kubernetes/mod.ts"
import { localQueries, TelemetryStore } from "../telemetry/mod.ts"
import { serveApi } from "./service.ts"
import { tapperOf } from "./tap.ts"

const asked: string[] = []
let rights: readonly string[] = []
const reviews = {
  token: async (token: string): Promise<TokenVerdict> =>
    token === "good"
      ? { holds: true, namespace: "ci", serviceAccount: "gate" }
      : { holds: false, why: "the API server does not accept the token" },
  access: async (access: Access) => {
    if (!("resource" in access)) return { allowed: false, why: "" }
    const { verb, resource, subresource, group, namespace } = access
    return { allowed: rights.includes(`${verb} ${resource}/${subresource}.${group} ${namespace}`), why: "" }
  },
}
const api = await serveApi(
  new ClusterStore(),
  localQueries(new TelemetryStore(0), () => 0),
  {
    host: "127.0.0.1",
    port: 0,
    version: "1",
    reviews,
    relay: async function* (_request, asker) {
      asked.push(asker)
      yield { state: { proxies: 1 } }
    },
  },
)
afterAll(() => api.close())
const client = createTapClient(
  createConnectTransport({ baseUrl: `http://127.0.0.1:${api.port}`, httpVersion: "2" }),
)

async function tap(
  request: MessageInitShape<typeof TapRequestSchema>,
  token: string,
  granted: readonly string[],
): Promise<string> {
  rights = granted
  const headers: Record<string, string> = token === "" ? {} : { authorization: `Bearer ${token}` }
  try {
    for await (const { state } of client.tap(request, { headers })) return `${state?.proxies} proxies`
    return "nothing"
  } catch (error) {
    const { code, rawMessage } = ConnectError.from(error)
    return `${Code[code]}: ${rawMessage}`
  }
}

const WEB = { target: { kind: "deployment", namespace: "shop", name: "web" } }
const MAY_TAP = "watch deployments/tap.tap.conduit.io shop"
const MAY_SEE_HEADERS = "watch deployments/tapheaders.tap.conduit.io shop"

test("a way to the API is no leave to tap: the caller proves who it is", async () => {
  expect(await tap(WEB, "", [MAY_TAP])).toStartWith("Unauthenticated: the caller did not prove who it is")
  expect(await tap(WEB, "bad", [MAY_TAP])).toStartWith("Unauthenticated: the token does not hold")
  expect(asked).toEqual([])
})

test("who may tap is RBAC's to say, per kind and namespace; a refusal names the rule that is missing", async () => {
  const refusal = await tap(WEB, "good", [])
  expect(refusal).toStartWith('PermissionDenied: service account ci/gate may not "watch" deployments/tap')
  expect(refusal).toContain("apiGroups: [tap.conduit.io], resources: [deployments/tap], verbs: [watch]")
  expect(await tap({ target: { kind: "deployment" } }, "good", [MAY_TAP])).toStartWith("PermissionDenied")
  expect(await tap({ target: { kind: "pod", namespace: "shop" } }, "good", [MAY_TAP])).toStartWith(
    "PermissionDenied",
  )
  expect(asked).toEqual([])
  expect(await tap(WEB, "good", [MAY_TAP])).toBe("1 proxies")
  expect(asked).toEqual(["ci/gate"])
})

test("a token decides, not the certificate of the connection: the dashboard passes on that of who looks", async () => {
  const peer = { namespace: "conduit", serviceAccount: "conduit-web", spiffeId: "", dnsName: "" }
  expect(await tapperOf(reviews, { peer, token: "good" })).toMatchObject({ serviceAccount: "gate" })
  expect(await tapperOf(reviews, { peer, token: null })).toBe(peer)
  await expect(tapperOf(reviews, { peer, token: "bad" })).rejects.toThrow("the token does not hold")
})

test("values of header fields need a right of their own", async () => {
  const request = { ...WEB, headers: TapHeaders.VALUES }
  expect(await tap(request, "good", [MAY_TAP])).toContain("deployments/tapheaders")
  expect(await tap(request, "good", [MAY_TAP, MAY_SEE_HEADERS])).toBe("1 proxies")
  expect(await tap({ ...WEB, headers: TapHeaders.NAMES }, "good", [MAY_TAP])).toBe("1 proxies")
})
