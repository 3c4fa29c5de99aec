import { afterEach, expect, test } from "bun:test"
import { type AddressInfo, connect, createServer, type Server } from "node:net"
import { fileURLToPath } from "node:url"
import { FakeApiServer } from "../../deploy/kubernetes/lab.ts"
import { openBrowser } from "./browser.ts"
import { type LocalPort, leadTo } from "./local_port.ts"

const MAIN = fileURLToPath(new URL("../main.ts", import.meta.url))
const WORDS = ["dashboard", "--no-open", "--port", "0"]
const servers: Server[] = []
const ports: LocalPort[] = []

afterEach(() => {
  for (const one of servers.splice(0)) one.close()
  for (const one of ports.splice(0)) one.stop()
})

async function dashboardThatSays(text: string): Promise<number> {
  const server = createServer(socket => socket.on("error", () => {}).once("data", () => socket.end(text)))
  servers.push(server)
  await new Promise<void>(resolve => server.listen(0, "127.0.0.1", resolve))
  return (server.address() as AddressInfo).port
}

const answer = (body: string): string => `HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n${body}`

test("a page that asks after its pod went finds the next one, and is told why while there is none", async () => {
  const first = await dashboardThatSays(answer("first"))
  const second = await dashboardThatSays(answer("second"))
  let to: number | null = first
  const troubles: (string | null)[] = []
  const way = await leadTo(
    [0],
    async () => {
      if (to === null) throw new Error("no pod of conduit-web is ready")
      return connect(to, "127.0.0.1")
    },
    trouble => troubles.push(trouble),
  )
  ports.push(way)
  const ask = async () => await fetch(`http://127.0.0.1:${way.port}/`, { keepalive: false })
  expect(await (await ask()).text()).toBe("first")
  to = null
  const none = await ask()
  expect([none.status, await none.text()]).toEqual([502, "conduit: no pod of conduit-web is ready\n"])
  to = second
  expect(await (await ask()).text()).toBe("second")
  expect(troubles).toEqual([null, "no pod of conduit-web is ready", null])
})

test("the usual port gives way to another; one that was asked for does not", async () => {
  const taken = await dashboardThatSays("")
  const nowhere = () => Promise.reject(new Error("not asked"))
  const way = await leadTo([taken, 0], nowhere, () => {})
  ports.push(way)
  expect(way.port).not.toBe(taken)
  expect(leadTo([taken], nowhere, () => {})).rejects.toThrow(
    `port ${taken} of 127.0.0.1 cannot be listened on`,
  )
})

test("where there is no display no browser is looked for", () => {
  expect(openBrowser("http://127.0.0.1:1/", {}, "linux")).toBe("this session has no display")
})

test("in a cluster the page comes from a pod of conduit-web, and from the next when that one goes", async () => {
  await using cluster = await FakeApiServer.start()
  const pod = (name: string): object => ({
    metadata: { name, namespace: "conduit" },
    spec: { containers: [{ ports: [{ name: "api", containerPort: 8084 }] }] },
    status: { phase: "Running", conditions: [{ type: "Ready", status: "True" }] },
  })
  const runs = async (name: string): Promise<void> => {
    cluster.answers.set("/api/v1/namespaces/conduit/pods", { items: [pod(name)] })
    cluster.pods.clear()
    cluster.pods.set(`conduit/${name}:8084`, await dashboardThatSays(answer(name)))
  }
  await runs("conduit-web-1")
  const child = Bun.spawn({
    cmd: [process.execPath, MAIN, ...WORDS, "--kubeconfig", cluster.kubeconfig()],
    env: { PATH: process.env.PATH ?? "", HOME: cluster.folder },
    ...{ stdin: "ignore", stdout: "pipe", stderr: "pipe", timeout: 25_000 },
  })
  const { value } = await child.stdout.getReader().read()
  const line = new TextDecoder().decode(value)
  expect(line).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/\n$/)
  const ask = async () => await (await fetch(line.trim(), { keepalive: false })).text()
  expect(await ask()).toBe("conduit-web-1")
  await runs("conduit-web-2")
  expect(await ask()).toBe("conduit-web-2")
  cluster.answers.set("/api/v1/namespaces/conduit/pods", { items: [] })
  expect(await ask()).toContain("conduit: conduit is not installed")
  await runs("conduit-web-3")
  expect(await ask()).toBe("conduit-web-3")
  child.kill("SIGINT")
  expect(await child.exited).toBe(0)
}, 30_000)
