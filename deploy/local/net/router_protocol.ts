// What runner and router say to each other: one JSON object a line, over the router's standard input and output.
import type { DnsZone } from "./dns_zone.ts"

/** A check that the router makes of a pod, because only it can reach pods. */
export interface ProbeRequest {
  readonly id: number
  readonly kind: "http" | "https" | "tcp" | "grpc"
  readonly host: string
  readonly port: number
  /** Path and query, for HTTP; the service asked about, for gRPC. */
  readonly path: string
  readonly headers: readonly (readonly [string, string])[]
  readonly timeoutMs: number
}

/** Runner to router. */
export type ToRouter =
  | { readonly zone: DnsZone }
  | { readonly probe: ProbeRequest }
  | { readonly dnsReply: { readonly id: number; readonly packet: string | null } }

/** Router to runner. */
export type FromRouter =
  | { readonly ready: true }
  | { readonly failed: string }
  | { readonly probed: { readonly id: number; readonly ok: boolean; readonly reason: string } }
  | { readonly dnsQuery: { readonly id: number; readonly packet: string } }

/** Cuts a byte stream into lines and gives each, parsed, to `take`. */
export async function readMessages<T>(
  stream: ReadableStream<Uint8Array>,
  take: (message: T) => void,
): Promise<void> {
  const decoder = new TextDecoder()
  let rest = ""
  for await (const chunk of stream) {
    rest += decoder.decode(chunk, { stream: true })
    for (let end = rest.indexOf("\n"); end >= 0; end = rest.indexOf("\n")) {
      const line = rest.slice(0, end)
      rest = rest.slice(end + 1)
      if (line !== "") take(JSON.parse(line) as T)
    }
  }
}
