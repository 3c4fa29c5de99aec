// conduit-await as a kubelet runs it: a process and its exit code, against a real server.
import { expect, test } from "bun:test"
import { fileURLToPath } from "node:url"

const MAIN = fileURLToPath(new URL("./await_main.ts", import.meta.url))

function start(...words: readonly string[]) {
  return Bun.spawn([process.execPath, MAIN, ...words], { stdout: "ignore", stderr: "pipe" })
}

test("it ends once /live answers 200, and not before", async () => {
  let asked = 0
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: request => {
      asked++
      const live = new URL(request.url).pathname === "/live" && asked >= 3
      return new Response("", { status: live ? 200 : 503 })
    },
  })
  const child = start(`--port=${server.port}`, "--timeout=20s")
  expect(await child.exited).toBe(0)
  expect(asked).toBe(3)
  await server.stop(true)
})

test("it says why it gave up", async () => {
  const child = start("--port=1", "--timeout=0s")
  expect(await child.exited).toBe(1)
  expect(await child.stderr.text()).toContain("did not accept connections within 0 s")
})

test("an argument that it does not know is wrong usage", async () => {
  expect(await start("--now").exited).toBe(2)
})
