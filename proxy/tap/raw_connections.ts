// Raw connections as taps see them: known from their opening to their end, so that who begins to look hears of those that are
// open already. Where nobody looks, each costs an entry of a map.
import type { Tap, TapSubject } from "./tap.ts"

/** What is told of a raw connection. */
export interface ConnectionFacts {
  /** Whether it arrives at the application. */
  readonly inbound: boolean
  /** Address and port of the client. */
  readonly client: string
  /** DNS name that the client proved; empty for none. */
  readonly clientId: string
  /** Address and port of the endpoint. */
  readonly server: string
  /** DNS name that the server proved; empty for none. */
  readonly serverId: string
  /** As TlsLabel. */
  readonly tls: string
  /** `tls` for TLS of the application's own. */
  readonly protocol: "tcp" | "tls"
  /** Host name that the application's own TLS asks for; empty for none. */
  readonly serverName: string
  /** Service called, `name.namespace`; empty for none. */
  readonly service: string
  /** Reading of the clock when both ends were connected, milliseconds. */
  readonly openedMs: number
  /** IP address of the other side: of the client inbound, of the endpoint outbound. */
  readonly peer: string
}

/** A raw connection that is open. */
export interface RawConnection {
  /** What is told of it; asked for only where somebody looks. */
  facts(): ConnectionFacts
  /** Reading of the clock when both ends were connected, milliseconds. */
  readonly openedMs: number
  /** Octets that the client sent. */
  readonly clientBytes: number
  /** Octets that the server sent. */
  readonly serverBytes: number
}

/** A tap that was told of a connection. */
interface Told extends TapSubject {
  readonly tap: Tap
}

const NOBODY: readonly Told[] = []

/** The raw connections of a proxy. */
export class RawConnections {
  /** Each with who was told of it. */
  private readonly open = new Map<RawConnection, readonly Told[]>()
  private readonly nextId: () => number

  /** @param nextId  numbers that nothing else of this proxy has in a tap */
  constructor(nextId: () => number) {
    this.nextId = nextId
  }

  /** One is open, and these look. @param takes  whether a tap is told of it, by chance */
  opened(connection: RawConnection, taps: readonly Tap[], takes: (tap: Tap) => boolean): void {
    this.open.set(connection, NOBODY)
    for (const tap of taps) this.tell(connection, tap, takes)
  }

  /** One is over. @param error  null after an orderly end */
  closed(connection: RawConnection, error: string | null, nowMs: number): void {
    const told = this.open.get(connection) ?? NOBODY
    this.open.delete(connection)
    const { openedMs, clientBytes, serverBytes } = connection
    for (const subject of told)
      subject.tap.tellClosed(subject, nowMs - openedMs, clientBytes, serverBytes, error ?? "")
  }

  /** Tells a tap of those that are open and that it was not told of. */
  tellOpen(tap: Tap, takes: (tap: Tap) => boolean): void {
    if (!tap.match.connections) return
    for (const connection of this.open.keys()) this.tell(connection, tap, takes)
  }

  /** A tap is over. */
  forget(tap: Tap): void {
    for (const [connection, told] of this.open) {
      if (told.some(one => one.tap === tap))
        this.open.set(
          connection,
          told.filter(one => one.tap !== tap),
        )
    }
  }

  private tell(connection: RawConnection, tap: Tap, takes: (tap: Tap) => boolean): void {
    if (!tap.match.connections || !takes(tap)) return
    const told = this.open.get(connection) ?? NOBODY
    if (told.some(one => one.tap === tap)) return
    const facts = connection.facts()
    if (!tap.match.takesConnection(facts.inbound, facts.peer)) return
    const subject: Told = { tap, id: this.nextId(), lossy: false }
    if (tap.tellOpened(subject, facts)) this.open.set(connection, [...told, subject])
  }
}
