// A caller of test pods: asks TARGET again and again, RATE times a second and each time over a new connection, and
// answers on port 8080 what became of it: `{"ok": 1, "failed": 0, "last": ""}`. POST /reset begins anew.
const { TARGET = "", RATE = "20" } = process.env

/** Longest wait for one answer: whoever waits longer has failed. */
const DEADLINE_MS = 5_000

let counts = { ok: 0, failed: 0, last: "" }

async function ask(): Promise<void> {
  const own = counts
  try {
    const signal = AbortSignal.timeout(DEADLINE_MS)
    const answer = await fetch(TARGET, { signal, headers: { connection: "close" }, keepalive: false })
    const text = await answer.text()
    if (answer.ok) own.ok++
    else {
      own.failed++
      own.last = `${answer.status} ${answer.headers.get("conduit-proxy-error") ?? text.slice(0, 200)}`
    }
  } catch (error) {
    own.failed++
    own.last = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
  }
}

setInterval(() => void ask(), 1000 / Number(RATE))
Bun.serve({
  port: 8080,
  fetch(request) {
    if (request.method === "POST") counts = { ok: 0, failed: 0, last: "" }
    return Response.json(counts)
  },
})
process.on("SIGTERM", () => process.exit(0))
