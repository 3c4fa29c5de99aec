// One of the ten servers of balancing_test.ts. Each answer takes a while; what is wrong with it is set from outside, and it
// tells when which requests came. The kernel of a test machine may have no netem, so slowness is made here.
import { CALL_PORT, DIRECT_PORT, type Seen, SERVICE_MS, SLOW_FACTOR, type State } from "./balancing_world.ts"

/** Half a turn of a server that is slow now and then. */
const FLAP_MS = 1000

let state: State = "sound"
let seen: Seen[] = []

function isSlow(): boolean {
  return state === "slow" || (state === "flapping" && Math.floor(Date.now() / FLAP_MS) % 2 === 1)
}

async function answer(request: Request): Promise<Response> {
  const { pathname, searchParams } = new URL(request.url)
  if (pathname === "/be") {
    state = searchParams.get("state") as State
    seen = []
    return new Response()
  }
  if (pathname === "/seen") return Response.json(seen)
  const failed = state === "failing"
  seen.push({ atMs: Date.now(), failed })
  if (failed) return new Response("", { status: 503 })
  await Bun.sleep(SERVICE_MS * (isSlow() ? SLOW_FACTOR : 1))
  return new Response("ok")
}

for (const port of [CALL_PORT, DIRECT_PORT]) Bun.serve({ hostname: "0.0.0.0", port, fetch: answer })
