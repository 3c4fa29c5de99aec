// The redirect of a meshed pod, as text for iptables-restore and ip6tables-restore: TCP that enters the pod
// goes to the proxy's inbound port, TCP that its containers send goes to the outbound port.
import { formatPortList, type PortRange, parsePortList } from "./port_list.ts"

/** Admin and tap ports of the proxy: never redirected, or the proxy could not answer its own probes. */
export const PROXY_OWN_PORTS: readonly PortRange[] = [{ from: 4190, to: 4191 }]

/** DNS over TCP leaves directly: a resolver must work while the proxy still starts, and has nothing to balance. */
export const DNS_PORT: PortRange = { from: 53, to: 53 }

/** iptables' multiport match takes at most 15 ports a rule, of which a range counts as two. */
export const MULTIPORT_LIMIT = 15

/** What to redirect, and what to leave alone. */
export interface RedirectOptions {
  /** Where inbound connections go; default 4143. */
  readonly inboundPort?: number
  /** Where outbound connections go; default 4140. */
  readonly outboundPort?: number
  /** User id whose own connections are left alone; default 2102. */
  readonly proxyUid?: number
  /** Ports of the pod that are not redirected, besides {@link PROXY_OWN_PORTS}. */
  readonly skipInboundPorts?: readonly PortRange[]
  /** Addresses whose connections into the pod are not redirected, of the family that the rules are for; none by default. */
  readonly skipInboundSources?: readonly string[]
  /** Destination ports that are not redirected, besides {@link DNS_PORT}. */
  readonly skipOutboundPorts?: readonly PortRange[]
}

const DEFAULTS = { inboundPort: 4143, outboundPort: 4140, proxyUid: 2102 } as const

/**
 * The nat table of a meshed pod. The same text suits IPv4 and IPv6 as long as it names no sources.
 *
 * Feed it to `iptables-restore` (or `ip6tables-restore`) without `--noflush` in the pod's own network
 * namespace: the table is replaced as a whole, so running it twice changes nothing.
 *
 * Order matters outbound: the proxy's own connections and loopback (which carries what an application sends
 * to its own pod's address, too) pass before anything is redirected.
 */
export function redirectRules(options: RedirectOptions = {}): string {
  const { inboundPort, outboundPort, proxyUid } = { ...DEFAULTS, ...options }
  const lines = [
    "*nat",
    ":PREROUTING ACCEPT [0:0]",
    ":INPUT ACCEPT [0:0]",
    ":OUTPUT ACCEPT [0:0]",
    ":POSTROUTING ACCEPT [0:0]",
    ":CONDUIT_INBOUND - [0:0]",
    ":CONDUIT_OUTBOUND - [0:0]",
    "-A PREROUTING -p tcp -j CONDUIT_INBOUND",
    "-A OUTPUT -p tcp -j CONDUIT_OUTBOUND",
  ]
  for (const source of options.skipInboundSources ?? [])
    lines.push(`-A CONDUIT_INBOUND -s ${source} -j RETURN`)
  for (const ports of multiports([...PROXY_OWN_PORTS, ...(options.skipInboundPorts ?? [])])) {
    lines.push(`-A CONDUIT_INBOUND -p tcp -m multiport --dports ${ports} -j RETURN`)
  }
  lines.push(`-A CONDUIT_INBOUND -p tcp -j REDIRECT --to-ports ${inboundPort}`)
  lines.push(`-A CONDUIT_OUTBOUND -m owner --uid-owner ${proxyUid} -j RETURN`)
  lines.push("-A CONDUIT_OUTBOUND -o lo -j RETURN")
  for (const ports of multiports([DNS_PORT, ...(options.skipOutboundPorts ?? [])])) {
    lines.push(`-A CONDUIT_OUTBOUND -p tcp -m multiport --dports ${ports} -j RETURN`)
  }
  lines.push(`-A CONDUIT_OUTBOUND -p tcp -j REDIRECT --to-ports ${outboundPort}`)
  lines.push("COMMIT", "")
  return lines.join("\n")
}

/** The arguments of the `conduit-init` container that say the same as `options`. */
export function redirectArgs(options: RedirectOptions = {}): string[] {
  const { inboundPort, outboundPort, proxyUid } = { ...DEFAULTS, ...options }
  const args = [`--inbound-port=${inboundPort}`, `--outbound-port=${outboundPort}`, `--proxy-uid=${proxyUid}`]
  if (options.skipInboundPorts?.length) {
    args.push(`--skip-inbound-ports=${formatPortList(options.skipInboundPorts)}`)
  }
  if (options.skipOutboundPorts?.length) {
    args.push(`--skip-outbound-ports=${formatPortList(options.skipOutboundPorts)}`)
  }
  return args
}

/**
 * Reads what {@link redirectArgs} wrote.
 *
 * @throws Error with one sentence that names the argument which is unknown or has a bad value
 */
export function parseRedirectArgs(args: readonly string[]): RedirectOptions {
  const options: { -readonly [K in keyof RedirectOptions]: RedirectOptions[K] } = {}
  for (const arg of args) {
    const split = arg.indexOf("=")
    const name = split < 0 ? arg : arg.slice(0, split)
    const value = split < 0 ? "" : arg.slice(split + 1)
    if (name === "--inbound-port") options.inboundPort = number(name, value, 1, 65535)
    else if (name === "--outbound-port") options.outboundPort = number(name, value, 1, 65535)
    else if (name === "--proxy-uid") options.proxyUid = number(name, value, 1, 0xfffffffe)
    else if (name === "--skip-inbound-ports") options.skipInboundPorts = parsePortList(value)
    else if (name === "--skip-outbound-ports") options.skipOutboundPorts = parsePortList(value)
    else throw new Error(`conduit-init: unknown argument "${arg}"`)
  }
  return options
}

function number(name: string, value: string, least: number, most: number): number {
  const parsed = /^\d+$/.test(value) ? Number(value) : Number.NaN
  if (!(parsed >= least && parsed <= most)) {
    throw new Error(`conduit-init: ${name}=${value} is not a number from ${least} to ${most}`)
  }
  return parsed
}

function multiports(ranges: readonly PortRange[]): string[] {
  const rules: string[] = []
  let ports: string[] = []
  let weight = 0
  for (const range of ranges) {
    const cost = range.from === range.to ? 1 : 2
    if (weight + cost > MULTIPORT_LIMIT) {
      rules.push(ports.join(","))
      ports = []
      weight = 0
    }
    ports.push(cost === 1 ? `${range.from}` : `${range.from}:${range.to}`)
    weight += cost
  }
  if (ports.length > 0) rules.push(ports.join(","))
  return rules
}
