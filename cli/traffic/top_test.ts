// What `conduit top` draws at any size, what its keys do, and how it gives a real terminal back.
import { afterAll, expect, test } from "bun:test"
import { create } from "@bufbuild/protobuf"
import { connectNodeAdapter } from "@connectrpc/connect-node"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { TapRequestBegunSchema, TapRequestEndedSchema, TapService } from "../../protos/mod.ts"
import { keysOf } from "./terminal_screen.ts"
import { FIRST_VIEW, onKey, sorted, TOP_COLUMNS, type TopView, topLines } from "./top_screen.ts"
import { MAX_TOP_ROWS, TopTable, templateOf } from "./top_table.ts"

function counted(table: TopTable, path: string, afterMs = 5, failed = false): void {
  table.add({
    begun: create(TapRequestBegunSchema, {
      client: { address: "10.0.0.1:1", kind: "deployment", name: "load" },
      server: { address: "10.0.0.2:80", kind: "deployment", name: "storefront" },
      method: "GET",
      path,
    }),
    ended: create(TapRequestEndedSchema, { status: failed ? 500 : 200, afterMs, failed }),
  })
}

test("requests are counted by source, destination, method and path, with ids for one", () => {
  const table = new TopTable()
  counted(table, "/items/1?page=2", 5)
  counted(table, "/items/2", 1, true)
  counted(table, "/items/3", 9)
  expect(table.all).toEqual([
    {
      source: "deploy/load",
      destination: "deploy/storefront",
      method: "GET",
      path: "/items/{id}",
      count: 3,
      bestMs: 1,
      worstMs: 9,
      lastMs: 9,
      success: 2 / 3,
      failed: 1,
    },
  ])
})

test.each([
  ["/a/b", "/a/b"],
  ["/users/42/orders", "/users/{id}/orders"],
  ["/u/3f2504e0-4f89-11d3-9a0c-0305e82c3301", "/u/{id}"],
  ["/emojivoto.v1.VotingService/VoteDoughnut", "/emojivoto.v1.VotingService/VoteDoughnut"],
  ["/conduit.demo.shop.v1.CartService/GetCart", "/conduit.demo.shop.v1.CartService/GetCart"],
])("the path %s counts as %s", (path, template) => {
  expect(templateOf(path)).toBe(template)
})

test("a million paths are a bounded table, and what is too many is counted", () => {
  const table = new TopTable()
  for (let i = 0; i < 5 * MAX_TOP_ROWS; i++) counted(table, `/p${i}x`)
  expect(table.all.length).toBe(MAX_TOP_ROWS + 1)
  expect(table.all.reduce((sum, row) => sum + row.count, 0)).toBe(5 * MAX_TOP_ROWS)
})

test("a screen has its height in lines, none longer than its width, whatever the size", () => {
  const table = new TopTable()
  for (let i = 0; i < 40; i++) counted(table, `/a/very/long/path/that/goes/on/and/on/${"x".repeat(i)}`)
  for (let width = 1; width < 160; width += 3) {
    for (const height of [1, 2, 3, 4, 10, 60]) {
      for (let sort = 0; sort < TOP_COLUMNS.length; sort++) {
        const view = { ...FIRST_VIEW, sort, scroll: 30 }
        const lines = topLines({ rows: table.all, view, status: "the mesh: 2 proxies", width, height })
        expect(lines).toHaveLength(height)
        for (const line of lines) expect(line.length).toBeLessThanOrEqual(width)
      }
    }
  }
})

test("keys sort, invert, scroll, pause and end", () => {
  const view = (key: string, before: TopView = FIRST_VIEW, rows = 100): TopView => {
    const action = onKey(key, before, rows, 23)
    if (action === null || typeof action === "string") throw new Error(`${key} gives no view`)
    return action.view
  }
  expect(TOP_COLUMNS[view(">").sort]?.title).toBe("BEST")
  expect(view("<")).toMatchObject({ sort: FIRST_VIEW.sort - 1, ascending: true })
  expect(view("I").ascending).toBe(true)
  expect(view("\u001b[6~").scroll).toBe(20)
  expect(view("\u001b[F").scroll).toBe(80)
  expect(view("\u001b[A").scroll).toBe(0)
  expect(view(" ").paused).toBe(true)
  expect(onKey("q", FIRST_VIEW, 1, 20)).toBe("quit")
  expect(onKey("\u0003", FIRST_VIEW, 1, 20)).toBe("quit")
  expect(onKey("\u001b", FIRST_VIEW, 1, 20)).toBeNull()
  expect(keysOf("q\u001b[A\u001b[5~<")).toEqual(["q", "\u001b[A", "\u001b[5~", "<"])
})

test("rows stand in the order of their column", () => {
  const table = new TopTable()
  counted(table, "/a", 1)
  counted(table, "/b", 9)
  counted(table, "/b", 9)
  expect(sorted(table.all, FIRST_VIEW).map(({ path }) => path)).toEqual(["/b", "/a"])
  expect(sorted(table.all, { ...FIRST_VIEW, sort: 3, ascending: true }).map(({ path }) => path)).toEqual([
    "/a",
    "/b",
  ])
})

// An API whose tap tells of one request, and then waits.
const api = createServer(
  connectNodeAdapter({
    routes: router => {
      router.service(TapService, {
        async *tap(_request, { signal }) {
          const begun = {
            client: { address: "10.0.0.1:1" },
            server: { address: "10.0.0.2:2" },
            method: "GET",
            path: "/seen",
          }
          const moments = [
            { case: "begun" as const, value: begun },
            { case: "ended" as const, value: { status: 200, afterMs: 1 } },
          ]
          yield { events: moments.map(moment => ({ id: "a/b/1", moment })), state: { proxies: 1 } }
          await new Promise(resolve => signal.addEventListener("abort", resolve))
        },
      })
    },
  }),
).listen(0, "127.0.0.1")
afterAll(() => api.close())

/** Runs `conduit top` on a terminal of 60 x 15, and does `act` once it has drawn a request. */
const ON_A_TERMINAL = `
import fcntl, os, pty, re, select, signal, struct, sys, termios, time
act = sys.argv[1]
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[2], sys.argv[2:])
def size(columns, rows):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
size(60, 15)
out = b""
def read_until(text, seconds):
    global out
    end = time.time() + seconds
    while text not in out and time.time() < end:
        if select.select([fd], [], [], 0.1)[0]:
            try: out += os.read(fd, 65536)
            except OSError: return
read_until(b"/seen", 30)
if act == "resize":
    size(30, 5)
    os.kill(pid, signal.SIGWINCH)
    # One that was drawn before it knew may still be under way.
    for _ in range(5):
        out = b""
        read_until(b"\\x1b[J", 10)
        frame = out.split(b"\\x1b[H")[-1].decode()
        if all(len(line) <= 30 for line in re.sub("\\x1b.[KJ]", "", frame).splitlines()): break
    out = b""
    act = "q"
    sys.stderr.write(frame)
if act == "q": os.write(fd, b"q")
else: os.kill(pid, signal.SIGTERM)
read_until(b"\\x1b[?1049l", 10)
sys.stdout.write(repr((b"\\x1b[?25h\\x1b[?1049l" in out, os.waitpid(pid, 0)[1])))
`

test.each(["q", "SIGTERM", "resize"])(
  "the terminal is given back as it was after %s",
  async act => {
    const { port } = api.address() as AddressInfo
    const command = [process.execPath, new URL("../main.ts", import.meta.url).pathname, "top", "deploy/web"]
    const child = Bun.spawn(
      ["python3", "-c", ON_A_TERMINAL, act, ...command, "--api-addr", `127.0.0.1:${port}`],
      { stdout: "pipe", stderr: "pipe" },
    )
    const [out, frame] = await Promise.all([child.stdout.text(), child.stderr.text()])
    expect(out).toBe("(True, 0)")
    if (act === "resize") {
      // biome-ignore lint/suspicious/noControlCharactersInRegex: a terminal's
      const lines = frame.replaceAll(/\u001b\[[KJ]/g, "").split(/[\r\n]+/)
      expect(lines.length).toBeLessThanOrEqual(5)
      for (const line of lines) expect(line.length).toBeLessThanOrEqual(30)
    }
  },
  45_000,
)
