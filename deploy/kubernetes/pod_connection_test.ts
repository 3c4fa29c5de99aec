// Connections to pods through an API server, over real HTTPS with a client certificate, and real WebSockets.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test"
import { readFileSync, writeFileSync } from "node:fs"
import { createServer as createHttp } from "node:http"
import { connect, createServer, type Server } from "node:net"
import { KubeApi } from "./api.ts"
import { kubeconfigCredentials } from "./kubeconfig.ts"
import { FakeApiServer } from "./lab.ts"
import { connectToPod } from "./pod_connection.ts"
import { getFromPod } from "./pod_http.ts"

let server: FakeApiServer
let api: KubeApi
const pods: Server[] = []
const LIMITS = { timeoutMs: 5_000, maxBytes: 1_000_000 }
const WEB = { namespace: "shop", pod: "web-1", port: 80 }

beforeAll(async () => {
  server = await FakeApiServer.start()
  api = new KubeApi(await kubeconfigCredentials(server.kubeconfig(), ""), 2_000)
})
afterEach(() => {
  server.pods.clear()
  server.answers.clear()
  for (const pod of pods.splice(0)) pod.close()
})
afterAll(async () => await server[Symbol.asyncDispose]())

/** Something that listens in the pod. */
async function listens(answer: (asked: string) => string | null): Promise<void> {
  const pod = createServer(socket => {
    socket.on("error", () => {})
    socket.once("data", chunk => {
      const text = answer(chunk.toString())
      if (text !== null) socket.end(text)
    })
  })
  pods.push(pod)
  await new Promise<void>(resolve => pod.listen(0, "127.0.0.1", resolve))
  server.pods.set("shop/web-1:80", (pod.address() as { port: number }).port)
}

test("bytes go to the pod's port and back whole, however many there are", async () => {
  const large = "x".repeat(300_000)
  await listens(
    asked => `HTTP/1.1 200 OK\r\ncontent-length: 300000\r\n\r\n${asked.includes("/big ") ? large : ""}`,
  )
  expect(await getFromPod(api, WEB, "/big", LIMITS)).toBe(large)
  expect(server.asked.at(-1)).toBe("GET /api/v1/namespaces/shop/pods/web-1/portforward?ports=80")
})

test("a pod that answers something else, breaks off, says too much or nothing is told", async () => {
  const asking = (maxBytes = 1_000, timeoutMs = 5_000) => getFromPod(api, WEB, "/", { timeoutMs, maxBytes })
  await listens(() => "HTTP/1.1 503 Busy\r\n\r\n")
  await expect(asking()).rejects.toThrow("port 80 of pod shop/web-1 answered 503")
  await listens(() => "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
  await expect(asking()).rejects.toThrow("broke off its answer")
  await listens(() => `HTTP/1.1 200 OK\r\n\r\n${"x".repeat(2_000)}`)
  await expect(asking()).rejects.toThrow("sent more than 1000 bytes")
  await listens(() => "SSH-2.0-x\r\n")
  await expect(asking()).rejects.toThrow("does not speak HTTP")
  await listens(() => null)
  await expect(asking(1_000, 50)).rejects.toThrow("did not answer within 0.05 s")
})

test("a port that nothing listens on is told without the kubelet's chain of reasons", async () => {
  const connection = await connectToPod(api, WEB)
  const failed = await new Promise<Error>(resolve => connection.once("error", resolve))
  expect(failed.message).toBe("nothing listens on port 80 of pod shop/web-1")
})

test("a connection that is cut on the way ends", async () => {
  await listens(() => null)
  const connection = await connectToPod(api, WEB)
  connection.resume()
  const closed = new Promise<void>(resolve => connection.once("close", () => resolve()))
  server.cut()
  await closed
})

test("letting go of a connection ends it on the API server too", async () => {
  await listens(() => null)
  const connection = await connectToPod(api, WEB)
  expect(server.open).toBe(1)
  connection.destroy()
  while (server.open > 0) await Bun.sleep(1)
})

test("a refusal is that of the API server, with its reason", async () => {
  const message = 'pods "web-1" is forbidden: User "jo" cannot get resource "pods/portforward"'
  server.answers.set("/api/v1/namespaces/shop/pods/web-1/portforward", { refused: 403, message })
  await expect(connectToPod(api, WEB)).rejects.toMatchObject({ name: "KubeError", status: 403, message })
})

test("an API server that opens no WebSocket, and one that is not there, are told", async () => {
  server.answers.set("/api/v1/namespaces/shop/pods/web-1/portforward", {})
  await expect(connectToPod(api, WEB)).rejects.toThrow("no WebSocket was opened")
  const nobody = await kubeconfigCredentials(server.kubeconfig(undefined, "https://127.0.0.1:1"), "")
  await expect(connectToPod(new KubeApi(nobody), WEB)).rejects.toMatchObject({ status: 0 })
})

test("an API server that takes connections and says nothing is not waited for", async () => {
  const silent = createServer(socket => void socket.on("error", () => {}))
  pods.push(silent)
  await new Promise<void>(resolve => silent.listen(0, "127.0.0.1", resolve))
  const url = `https://127.0.0.1:${(silent.address() as { port: number }).port}`
  const away = new KubeApi(await kubeconfigCredentials(server.kubeconfig(undefined, url), ""), 100)
  await expect(away.call({ path: "/version" })).rejects.toThrow("no answer within 0.1 s")
  await expect(connectToPod(away, WEB)).rejects.toThrow("no answer within 0.1 s")
})

test("a proxy that the kubeconfig names is on the way of requests and of connections to pods", async () => {
  let used = 0
  const proxy = createHttp().on("connect", (request, socket) => {
    used++
    const [host = "", port] = (request.url ?? "").split(":")
    const beyond = connect(Number(port), host, () => socket.write("HTTP/1.1 200 OK\r\n\r\n"))
    beyond.on("error", () => socket.destroy())
    socket.on("error", () => beyond.destroy())
    socket.pipe(beyond).pipe(socket)
  })
  await new Promise<void>(resolve => proxy.listen(0, "127.0.0.1", resolve))
  try {
    await listens(() => "HTTP/1.1 200 OK\r\n\r\nhello")
    const path = server.kubeconfig()
    const config = JSON.parse(readFileSync(path, "utf8"))
    config.clusters[0].cluster["proxy-url"] = `http://127.0.0.1:${(proxy.address() as { port: number }).port}`
    writeFileSync(path, JSON.stringify(config))
    const behind = new KubeApi(await kubeconfigCredentials(path, ""), 2_000)
    server.answers.set("/version", { minor: "34" })
    expect(await behind.call({ path: "/version" })).toEqual({ minor: "34" })
    expect(await getFromPod(behind, WEB, "/", LIMITS)).toBe("hello")
    expect(used).toBe(2)
  } finally {
    proxy.closeAllConnections()
    proxy.close()
  }
})

test("without a client certificate that the API server takes nothing is opened", async () => {
  const stranger = await kubeconfigCredentials(server.kubeconfig({ token: "x" }), "")
  await expect(connectToPod(new KubeApi(stranger, 2_000), WEB)).rejects.toMatchObject({ name: "KubeError" })
})
