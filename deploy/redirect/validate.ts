// Proves that a pod's TCP is redirected, without any right: a connection to somewhere else arrives at the proxy's port,
// where this listens in the proxy's place. Pods redirected by the CNI plugin start no application before that holds.
import type { RedirectOptions } from "./redirect.ts"

/** Longest attempt of one connection: a redirected one never leaves the pod. */
export const VALIDATE_ATTEMPT_MS = 1_000
/** Between attempts: a redirect that comes late, as after a repair, is seen within that. */
export const VALIDATE_PAUSE_MS = 500

/** A way out of the pod that the redirect must catch. */
export interface Way {
  /** Where to connect to; nobody lives there. */
  readonly address: string
  /** Where the redirect leads. */
  readonly loopback: string
}

/** Addresses for documentation (RFC 5737, RFC 3849): whatever is not redirected reaches nobody. */
const WAYS = {
  IPv4: { address: "192.0.2.1", loopback: "127.0.0.1" },
  IPv6: { address: "2001:db8::1", loopback: "::1" },
} as const satisfies Record<string, Way>

/** The ways out of a pod with these addresses, one per family. */
export function waysOut(addresses: readonly string[]): Way[] {
  const ways: Way[] = []
  if (addresses.some(address => address.includes("."))) ways.push(WAYS.IPv4)
  if (addresses.some(address => address.includes(":"))) ways.push(WAYS.IPv6)
  return ways
}

/** A port that the redirect does not leave alone. @throws Error when it leaves alone all of them */
export function redirectedPort({ skipOutboundPorts = [] }: RedirectOptions): number {
  for (let port = 20_001; port <= 65_535; port++) {
    if (!skipOutboundPorts.some(({ from, to }) => port >= from && port <= to)) return port
  }
  for (let port = 20_000; port > 53; port--) {
    if (!skipOutboundPorts.some(({ from, to }) => port >= from && port <= to)) return port
  }
  throw new Error("every outbound port is skipped, so that there is no redirect to be seen")
}

/**
 * Waits until every way is redirected.
 *
 * @param timeoutMs  longest wait
 * @param say  told once why it waits
 * @returns null, or the way that is not redirected and what was seen instead
 * @throws Error when the proxy's port cannot be listened on
 */
export async function validate(
  ways: readonly Way[],
  options: RedirectOptions,
  { timeoutMs, say }: { timeoutMs: number; say: (line: string) => void },
): Promise<string | null> {
  const port = redirectedPort(options)
  const secret = crypto.randomUUID()
  const listeners: ReturnType<typeof listen>[] = []
  try {
    for (const { loopback } of ways) listeners.push(listen(loopback, options.outboundPort ?? 4140, secret))
    const end = performance.now() + timeoutMs
    for (let attempt = 0; ; attempt++) {
      const seen = await Promise.all(ways.map(way => attemptOf(way, port, secret)))
      const complaint = seen.find(one => one !== null) ?? null
      if (complaint === null || performance.now() > end) return complaint
      if (attempt === 0) say(`${complaint}; waiting up to ${timeoutMs / 1000} s for the redirect`)
      await Bun.sleep(VALIDATE_PAUSE_MS)
    }
  } finally {
    for (const listener of listeners) listener.stop(true)
  }
}

function listen(hostname: string, port: number, secret: string) {
  try {
    return Bun.listen({
      hostname,
      port,
      socket: {
        open: socket => {
          socket.end(secret)
        },
        data: () => {},
      },
    })
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new Error(`${hostname} port ${port} cannot be listened on in the proxy's place: ${why}`)
  }
}

/** @returns null when our own listener answered */
async function attemptOf(way: Way, port: number, secret: string): Promise<string | null> {
  const { promise, resolve } = Promise.withResolvers<string | null>()
  const where = `TCP to ${way.address} port ${port} is not redirected to the proxy`
  const late = setTimeout(() => resolve(`${where} (no answer)`), VALIDATE_ATTEMPT_MS)
  let text = ""
  const connecting = Bun.connect({
    hostname: way.address,
    port,
    socket: {
      data: (_, bytes) => {
        text += bytes.toString()
        if (text.length > secret.length) resolve(`${where} (somebody else answered)`)
        else if (text === secret) resolve(null)
      },
      close: () => resolve(`${where} (it was closed)`),
      connectError: (_, error) => resolve(`${where} (${(error as { code?: string }).code ?? error.message})`),
    },
  })
  // What fails at once is told by both the promise and connectError.
  connecting.catch(error => resolve(`${where} (${(error as { code?: string }).code ?? String(error)})`))
  const seen = await promise
  clearTimeout(late)
  void connecting.then(
    socket => socket.terminate(),
    () => {},
  )
  return seen
}
