// Who may ask the public API in a cluster.
import { expect, test } from "bun:test"
import { createSecureContext } from "node:tls"
import { Code, ConnectError } from "@connectrpc/connect"
import { createConnectTransport } from "@connectrpc/connect-node"
import { makeServerCertificate } from "../../deploy/identity/mod.ts"
import { createClient } from "../../protos/client/mod.ts"
import { createApiClient } from "../../protos/mod.ts"
import { ClusterStore } from "../cluster/mod.ts"
import type { Access, TokenVerdict } from "../kubernetes/mod.ts"
import { localQueries, TelemetryStore } from "../telemetry/mod.ts"
import { type Asker, admit } from "./access.ts"
import { serveApi } from "./service.ts"

const STAT = "/conduit.api.v1.ApiService/Stat"
const NOBODY: Asker = { local: false, secure: true, peer: null, token: null }
const ID = "spiffe://cluster.local/ns/ci/sa/gate"
const GATE = { namespace: "ci", serviceAccount: "gate", spiffeId: ID, dnsName: "gate.ci" }

/** Reviews of a cluster in which `good` is a token of ci/gate, which may do what `rights` lists as `verb path`. */
function cluster(...rights: string[]) {
  const seen: Access[] = []
  const reviews = {
    token: async (token: string, audience: string): Promise<TokenVerdict> =>
      token === "good" && audience === "api.conduit.io"
        ? { holds: true, namespace: "ci", serviceAccount: "gate" }
        : { holds: false, why: "the API server does not accept the token" },
    access: async (access: Access) => {
      seen.push(access)
      const allowed = "path" in access && rights.includes(`${access.verb} ${access.path}`)
      return { allowed, why: "" }
    },
  }
  return { reviews, seen }
}

async function answer(asker: Asker, rights: string[] = [], changes = false): Promise<string> {
  return await admit(cluster(...rights).reviews, asker, STAT, changes).then(
    () => "admitted",
    error => `${Code[ConnectError.from(error).code]}: ${ConnectError.from(error).rawMessage}`,
  )
}

test("who comes through the API server reads without more, and does not change anything so", async () => {
  const local = { ...NOBODY, local: true, secure: false }
  expect(await answer(local)).toBe("admitted")
  expect(await answer(local, [], true)).toStartWith("Unauthenticated: the caller did not prove who it is")
  expect(await answer({ ...local, token: "good" }, [`post ${STAT}`], true)).toBe("admitted")
  expect(await answer({ ...local, token: "good" }, [`get ${STAT}`], true)).toStartWith("PermissionDenied")
})

test("who says who it is gets what that one may, from wherever it asks", async () => {
  expect(await answer({ ...NOBODY, local: true, token: "good" })).toStartWith("PermissionDenied")
  expect(await answer({ ...NOBODY, local: true, token: "bad" })).toStartWith("Unauthenticated")
})

test("another pod proves a service account, by certificate or token, and RBAC grants it the path of the call", async () => {
  expect(await answer(NOBODY)).toStartWith("Unauthenticated: the caller did not prove who it is")
  for (const proof of [{ peer: GATE }, { token: "good" }]) {
    expect(await answer({ ...NOBODY, ...proof }, [`get ${STAT}`])).toBe("admitted")
    expect(await answer({ ...NOBODY, ...proof })).toBe(
      `PermissionDenied: service account ci/gate may not "get" the nonResourceURL ${STAT}; a ClusterRole that grants it is to be bound to it`,
    )
  }
  expect(await answer({ ...NOBODY, token: "bad" }, [`get ${STAT}`])).toBe(
    "Unauthenticated: the token does not hold: the API server does not accept the token",
  )
})

test("RBAC is asked about the service account as the API server would know it", async () => {
  const { reviews, seen } = cluster()
  await admit(reviews, { ...NOBODY, peer: GATE }, STAT, false).catch(() => {})
  expect(seen).toEqual([
    {
      user: "system:serviceaccount:ci:gate",
      groups: ["system:serviceaccounts", "system:serviceaccounts:ci", "system:authenticated"],
      verb: "get",
      path: STAT,
    },
  ])
})

test("nobody is asked for a token where others can read it", async () => {
  const plain = { ...NOBODY, secure: false, token: "good" }
  expect(await answer(plain, [`get ${STAT}`])).toStartWith("Unauthenticated: from outside of its pod")
})

test("an API server that does not answer admits nobody", async () => {
  const away = async (): Promise<never> => {
    throw new Error("nothing listens there")
  }
  const asking = admit({ token: away, access: away }, { ...NOBODY, token: "good" }, STAT, false)
  await expect(asking).rejects.toMatchObject({ code: Code.Unavailable })
})

test("probes and tools that ask what is served prove nothing; calls of the mesh do, before they are read", async () => {
  const { reviews, seen } = cluster()
  const queries = localQueries(new TelemetryStore(0), () => 0)
  const options = { host: "127.0.0.1", port: 0, version: "1", reviews }
  const server = await serveApi(new ClusterStore(), queries, options)
  // A token makes the caller somebody, whom RBAC grants nothing here, also where it comes from loopback.
  const post = async (path: string, body: string): Promise<number> => {
    const headers = { "content-type": "application/json", authorization: "Bearer good" }
    const answer = await fetch(`http://127.0.0.1:${server.port}${path}`, { method: "POST", headers, body })
    return answer.status
  }
  try {
    expect(await post("/grpc.health.v1.Health/Check", "{}")).toBe(200)
    expect(seen).toEqual([])
    expect(await post(STAT, "{")).toBe(403)
    expect(seen).toHaveLength(1)
  } finally {
    server.close()
  }
})

test("every call is held to it, with the bearer token of the request, also where the answer is a stream", async () => {
  const { reviews, seen } = cluster("get /conduit.api.v1.ApiService/Version")
  const queries = localQueries(new TelemetryStore(0), () => 0)
  const server = await serveApi(new ClusterStore(), queries, {
    host: "127.0.0.1",
    port: 0,
    version: "1",
    reviews,
  })
  const transport = createConnectTransport({ baseUrl: `http://127.0.0.1:${server.port}`, httpVersion: "1.1" })
  const api = createApiClient(transport)
  try {
    const headers = { authorization: "Bearer good" }
    expect((await api.version({})).controlPlane).toBe("1")
    expect((await api.version({}, { headers })).controlPlane).toBe("1")
    const streamed = async (): Promise<void> => {
      for await (const _ of api.identities({}, { headers }));
    }
    await expect(streamed()).rejects.toMatchObject({ code: Code.PermissionDenied })
    const bad = api.version({}, { headers: { authorization: "bearer bad" } })
    await expect(bad).rejects.toMatchObject({ code: Code.Unauthenticated })
    expect(seen.map(access => "path" in access && access.path)).toEqual([
      "/conduit.api.v1.ApiService/Version",
      "/conduit.api.v1.ApiService/Identities",
    ])
  } finally {
    server.close()
  }
})

test("conduit/client proves a service account over TLS, by the name that the API's certificate bears", async () => {
  const name = "conduit-api.conduit.serviceaccount.identity.conduit.cluster.local"
  const lifetimeMs = 60_000
  const pair = await makeServerCertificate({ name: "api", dnsNames: [name], nowMs: Date.now(), lifetimeMs })
  const context = createSecureContext({ cert: pair.certificate, key: pair.key })
  const { reviews, seen } = cluster("get /conduit.api.v1.ApiService/Version")
  const queries = localQueries(new TelemetryStore(0), () => 0)
  const server = await serveApi(new ClusterStore(), queries, {
    ...{ host: "127.0.0.1", port: 0, version: "1", reviews },
    tls: {
      context: () => context,
      names: null,
      client: "optional",
      plaintext: "served",
      onRefused: () => {},
    },
  })
  const url = `https://127.0.0.1:${server.port}`
  try {
    const known = { url, ca: pair.certificate, serverName: name }
    const answer = await createClient({ ...known, token: async () => "good" }).version({})
    expect(answer.controlPlane).toBe("1")
    expect(seen).toHaveLength(1)
    const other = createClient({ ...known, serverName: "conduit-api.conduit", token: "good" })
    await expect(other.version({})).rejects.toThrow("does not match certificate's altnames")
    expect(seen).toHaveLength(1)
  } finally {
    server.close()
  }
})
