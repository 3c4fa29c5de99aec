// Questions about the world outside, asked of the host's own name servers from the host's network.
import { readFileSync } from "node:fs"
import { isIPv6 } from "node:net"

/** How long one name server may take. */
export const UPSTREAM_TIMEOUT_MS = 2_000

/** Name servers of a resolv.conf, in its order; empty when it names none or cannot be read. */
export function hostNameServers(path = "/etc/resolv.conf"): string[] {
  let text: string
  try {
    text = readFileSync(path, "utf8")
  } catch {
    return []
  }
  return [...text.matchAll(/^\s*nameserver\s+(\S+)/gm)].map(match => match[1] ?? "")
}

/** Sends one raw query to each server in turn until one answers; null when none does. */
export async function askUpstream(packet: Buffer, servers: readonly string[]): Promise<Buffer | null> {
  for (const server of servers) {
    const reply = await askOne(packet, server)
    if (reply !== null) return reply
  }
  return null
}

async function askOne(packet: Buffer, server: string): Promise<Buffer | null> {
  let settle: (reply: Buffer | null) => void = () => {}
  const reply = new Promise<Buffer | null>(resolve => {
    settle = resolve
  })
  const late = setTimeout(() => settle(null), UPSTREAM_TIMEOUT_MS)
  try {
    const socket = await Bun.udpSocket({
      hostname: isIPv6(server) ? "::" : "0.0.0.0",
      connect: { hostname: server, port: 53 },
      socket: {
        data: (_socket, message) => settle(Buffer.from(message)),
        error: () => settle(null),
      },
    })
    socket.send(packet)
    const answer = await reply
    socket.close()
    return answer
  } catch {
    return null
  } finally {
    clearTimeout(late)
  }
}
