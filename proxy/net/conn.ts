// One TCP connection: reads handed up as they come, writes batched into one flush per turn of the loop, with
// back-pressure both ways. It hides the runtime's socket and the traps of it: blocked writes, half-close, resets.
import type { Socket, SocketHandler } from "bun"
import { unmapped } from "./address.ts"
import { loop, type TurnTask } from "./loop.ts"
import { Timer } from "./timer_wheel.ts"
import { handshakeReason, peerCertificate, type TlsPeer, type TlsTerms } from "./tls.ts"

/** Queued output above which `write` and `send` say false: two bandwidth-delay products of a cluster network. */
export const CONN_HIGH_WATER_BYTES = 256 * 1024

/** Queued output below which `onDrain` is called: low enough to batch, high enough that the wire never runs dry. */
export const CONN_LOW_WATER_BYTES = 64 * 1024

/** Chunks up to this size are copied into the pooled output by `send`: a copy is cheaper than a system call. */
export const SEND_COPY_BYTES = 4 * 1024

/** After `close()`: how long the peer may take to answer our FIN before the socket is dropped (RFC 9112 section 9.6). */
export const LINGER_MS = 1_000

/** After `close()`: how long queued output may take to leave; a peer that stops reading must not hold memory. */
export const CLOSE_FLUSH_MS = 30_000

/** What happens on a connection. Whoever serves it implements this; it may be swapped on the way. */
export interface ConnHandler {
  /** A dialled connection is up, or an accepted one has become TLS by `Conn.acceptTls`; `conn.peer` says whose. */
  onOpen(conn: Conn): void
  /** Bytes came. `chunk` is fresh and the handler's own: it may be kept and altered in place. */
  onData(conn: Conn, chunk: Uint8Array): void
  /** The queue fell under the low-water mark after `write` or `send` had said false. */
  onDrain(conn: Conn): void
  /** The peer's FIN; writing is still possible. */
  onEnd(conn: Conn): void
  /**
   * The end, exactly once, never from within a call on this connection; also for a dial that failed.
   *
   * @param error  null for an orderly end or our own doing, else a code such as ECONNRESET, ECONNREFUSED, ETIMEDOUT
   */
  onClose(conn: Conn, error: string | null): void
}

/** Told of a connection's life beside its handler, whoever that is by then; for bookkeeping only. */
export interface ConnObserver {
  /** The dial succeeded; not called for accepted connections. */
  connOpened(conn: Conn): void
  /** Called right after `ConnHandler.onClose`. */
  connClosed(conn: Conn, error: string | null): void
}

/** Stands for "no block taken". */
const NO_BLOCK = new Uint8Array(0)

const FRESH = 0
const CLOSING = 1
const SHUT = 2

class ConnTimer extends Timer {
  private readonly conn: Conn

  constructor(conn: Conn) {
    super()
    this.conn = conn
  }

  fire(): void {
    this.conn.fail("ETIMEDOUT")
  }
}

/** One TCP connection with batched, back-pressured output. */
export class Conn implements TurnTask {
  /** Number of sockets that connections of this process hold now. */
  static openSockets = 0

  handler: ConnHandler
  /** A slot for whoever owns the connection. */
  data: unknown = null
  /** Bookkeeping of the owner; null for none. */
  observer: ConnObserver | null = null
  /** Peer's address as text (IPv4-mapped as IPv4), also after the end. */
  remoteAddress = ""
  remotePort = 0
  /** File descriptor, -1 before open and after the end. */
  fd = -1
  /** Bytes that came so far; those within TLS that is ended here, without what TLS itself takes. */
  bytesRead = 0
  /** Bytes that the kernel took so far. */
  bytesWritten = 0
  /** Bytes of output that wait. */
  queuedBytes = 0
  /** False before `onOpen` of a dial and after the end. */
  open = false
  /** It has been open, now or earlier: a dial that failed never was. */
  wasOpen = false
  /** The peer sent its FIN. */
  readEnded = false
  /** It is over; `onClose` has been or is about to be called. */
  closed = false
  /** Who the peer proved to be in mutual TLS; null without. */
  peer: TlsPeer | null = null
  /** It came about on terms that no longer hold: what runs goes on, nothing new is begun on it. */
  outdated = false
  /** The pooled output block; valid after `reserve`, until the next call on this connection. */
  out: Uint8Array = NO_BLOCK

  private socket: Socket<Conn> | null = null
  private outStart = 0
  private outEnd = 0
  private queue: Uint8Array[] = []
  /** Block to give back once the queue entry of the same index is written. */
  private releases: (Uint8Array | null)[] = []
  private queueHead = 0
  private headOffset = 0
  private dirty = false
  private blocked = false
  private drainWanted = false
  private paused = false
  /** FRESH, CLOSING (FIN or close once the queue is empty), SHUT (FIN sent). */
  private writeState = FRESH
  private closeWanted = false
  private inSocketCall = false
  private closeError: string | null = null
  /** `onClose` has been called. */
  closeDelivered = false
  private timer: ConnTimer | null = null
  /** Terms of the handshake under way, else null. */
  private terms: TlsTerms | null = null
  /** Who keeps tickets for resumption; null for nobody. */
  private ticketTerms: TlsTerms | null = null
  private dialled = false

  constructor(handler: ConnHandler) {
    this.handler = handler
  }

  /** Own address as text, empty unless open; a system call. */
  get localAddress(): string {
    return this.socket === null ? "" : unmapped(this.socket.localAddress)
  }

  /** Own port, 0 unless open; a system call. */
  get localPort(): number {
    return this.socket?.localPort ?? 0
  }

  /** Whether output is still taken: no `shutdown`, `close`, `reset` or end so far. */
  get writable(): boolean {
    return !this.closed && this.writeState === FRESH
  }

  /**
   * Queues `chunk` by reference and writes at once if nothing waits before it.
   *
   * @returns false when over the high-water mark: wait for `onDrain`
   */
  write(chunk: Uint8Array): boolean {
    if (this.closed || this.writeState !== FRESH) return true
    const length = chunk.length
    if (length === 0) return this.queuedBytes <= CONN_HIGH_WATER_BYTES
    if (this.queuedBytes === 0 && this.open && !this.blocked && this.socket !== null) {
      const taken = this.writeSocket(chunk, 0, length)
      if (taken === length || taken < 0) return true
      this.queuedBytes = length - taken
      this.queue.push(chunk)
      this.releases.push(null)
      this.headOffset = taken
      this.blocked = true
    } else {
      this.append(chunk)
      this.markDirty()
    }
    if (this.queuedBytes <= CONN_HIGH_WATER_BYTES) return true
    this.drainWanted = true
    return false
  }

  /**
   * As `write`, but it goes out with this turn's flush; small chunks are copied, large ones kept by reference.
   *
   * @returns false when over the high-water mark: wait for `onDrain`
   */
  send(chunk: Uint8Array): boolean {
    if (this.closed || this.writeState !== FRESH) return true
    const length = chunk.length
    if (length <= SEND_COPY_BYTES) {
      const start = this.reserve(length)
      this.out.set(chunk, start)
      this.outEnd = start + length
      this.queuedBytes += length
    } else {
      this.append(chunk)
    }
    this.markDirty()
    if (this.queuedBytes <= CONN_HIGH_WATER_BYTES) return true
    this.drainWanted = true
    return false
  }

  /**
   * Makes room for `bytes` bytes of output in `out`.
   *
   * @returns the offset in `out` to write from; call `commit` before any other call on this connection
   */
  reserve(bytes: number): number {
    if (this.out.length - this.outEnd < bytes) {
      const block = this.out
      if (block.length > 0) {
        if (this.outEnd > this.outStart || this.queueHead < this.queue.length) {
          // An empty slice only carries the block until all slices of it before are written.
          this.queue.push(block.subarray(this.outStart, this.outEnd))
          this.releases.push(block)
        } else {
          loop.blocks.give(block)
        }
      }
      this.out = loop.blocks.take(bytes)
      this.outStart = 0
      this.outEnd = 0
    }
    return this.outEnd
  }

  /** Makes the bytes of `out` up to `end` part of the output, to go out with this turn's flush. */
  commit(end: number): void {
    if (this.closed || this.writeState !== FRESH) return
    this.queuedBytes += end - this.outEnd
    this.outEnd = end
    if (this.queuedBytes > CONN_HIGH_WATER_BYTES) this.drainWanted = true
    this.markDirty()
  }

  /** Stops reading; a FIN that comes meanwhile is seen after `resume`. */
  pause(): void {
    if (this.paused || this.closed) return
    this.paused = true
    // A handshake has to be read to its end; `attach` pauses then.
    if (this.open) this.socket?.pause()
  }

  /** Reads on. */
  resume(): void {
    if (!this.paused || this.closed) return
    this.paused = false
    if (this.open) this.socket?.resume()
  }

  /** Sends a FIN once the output has left; reading goes on. */
  shutdown(): void {
    if (this.closed || this.writeState !== FRESH) return
    this.writeState = CLOSING
    if (this.queuedBytes === 0 && this.open) this.finishWriting()
  }

  /** Lets the output leave, then closes both ways. What the peer still sends is dropped. A dial is given up. */
  close(): void {
    if (this.closed || this.closeWanted) return
    if (!this.open) {
      this.reset()
      return
    }
    this.closeWanted = true
    if (this.writeState === FRESH) this.writeState = CLOSING
    this.armTimer(CLOSE_FLUSH_MS)
    this.resume()
    if (this.queuedBytes === 0) this.finishWriting()
  }

  /** Sends a RST now and drops the output. A dial is given up. */
  reset(): void {
    this.fail(null)
  }

  /** As `reset`, and `onClose` will be given `error`. */
  fail(error: string | null): void {
    if (this.closed) return
    this.closeError = error
    const socket = this.socket
    const { terms } = this
    this.finish()
    if (terms !== null && socket !== null && error === "ETIMEDOUT") {
      this.closeError = "tls handshake-timeout"
      terms.failed("handshake-timeout", "the handshake did not end in time", this)
    }
    if (socket !== null) {
      this.inSocketCall = true
      socket.terminate()
      this.inSocketCall = false
    }
    this.reportCloseLater()
  }

  /** Of the loop: this turn's flush. */
  endOfTurn(): void {
    this.dirty = false
    if (this.closed) {
      this.reportClose()
      return
    }
    this.flush()
  }

  /** For `dial`: gives up with ETIMEDOUT unless connected within `timeoutMs`. */
  armConnectTimeout(timeoutMs: number): void {
    this.armTimer(timeoutMs)
  }

  /** For `listen` and `dial`: the socket is up. */
  attach(socket: Socket<Conn>): void {
    if (this.closed) {
      socket.terminate()
      return
    }
    if (this.socket === null) Conn.openSockets++
    this.socket = socket
    this.open = true
    this.wasOpen = true
    this.fd = (socket as unknown as { readonly fd: number }).fd
    // A dialled connection knows whom it dialled; each name asked for is a system call.
    if (this.remotePort === 0) {
      this.remoteAddress = unmapped(socket.remoteAddress)
      this.remotePort = socket.remotePort
    }
    if (this.timer !== null) loop.timers.cancel(this.timer)
    if (this.paused) socket.pause()
    if (this.queuedBytes > 0) this.markDirty()
    else if (this.writeState === CLOSING) this.finishWriting()
  }

  /**
   * Goes on in TLS as its server: `first` is what was read of the ClientHello and must not have been handed on. Nothing
   * is read or written until the handshake is over; then comes `onOpen`, or `onClose` if it failed. Nothing may have
   * been written before.
   */
  acceptTls(terms: TlsTerms, first: Uint8Array): void {
    const { socket } = this
    if (socket === null || this.closed) return
    this.terms = terms
    // Counted is what is read of the connection, and of this nothing but TLS is.
    this.bytesRead -= first.length
    if (this.paused) socket.resume()
    this.open = false
    this.armTimer(terms.handshakeTimeoutMs)
    // The runtime tells the raw socket of every ciphertext, and of the end, too: a connection that is over hears it.
    socket.data = SPENT
    this.inSocketCall = true
    try {
      const [raw, tls] = socket.upgradeTLS({
        isServer: true,
        tls: terms.options,
        initialData: first,
        allowHalfOpen: true,
        data: this,
        socket: Conn.tlsSocketHandler,
      } as never) as [Socket<Conn>, Socket<Conn>]
      raw.data = SPENT
      if (!this.closed) this.socket = tls
    } catch (error) {
      this.handshakeFailed(error)
    }
    this.inSocketCall = false
  }

  private append(chunk: Uint8Array): void {
    if (this.outEnd > this.outStart) {
      this.queue.push(this.out.subarray(this.outStart, this.outEnd))
      this.releases.push(null)
      this.outStart = this.outEnd
    }
    this.queue.push(chunk)
    this.releases.push(null)
    this.queuedBytes += chunk.length
  }

  private markDirty(): void {
    if (this.dirty || this.blocked || !this.open) return
    this.dirty = true
    loop.later(this)
  }

  /** @returns bytes taken, or -1 when the socket takes nothing any more */
  private writeSocket(chunk: Uint8Array, offset: number, length: number): number {
    // Only called while open, which `attach` and `finish` tie to the socket.
    const socket = this.socket!
    this.inSocketCall = true
    const taken = socket.write(chunk as Uint8Array<ArrayBuffer>, offset, length)
    this.inSocketCall = false
    if (taken < 0) {
      // The close event is under way, with what the peer sent before it; should it not come, the timer ends this.
      this.dropOutput()
      this.writeState = SHUT
      this.armTimer(LINGER_MS)
      return -1
    }
    this.bytesWritten += taken
    return taken
  }

  private flush(): void {
    if (this.closed || !this.open) return
    this.blocked = false
    while (this.queueHead < this.queue.length) {
      // queueHead < length.
      const chunk = this.queue[this.queueHead]!
      const length = chunk.length - this.headOffset
      if (length > 0) {
        const taken = this.writeSocket(chunk, this.headOffset, length)
        if (taken < 0) return
        this.queuedBytes -= taken
        if (taken < length) {
          this.headOffset += taken
          this.blocked = true
          this.afterFlush()
          return
        }
      }
      const block = this.releases[this.queueHead]
      if (block) loop.blocks.give(block)
      this.queueHead++
      this.headOffset = 0
    }
    if (this.queueHead > 0) {
      this.queue.length = 0
      this.releases.length = 0
      this.queueHead = 0
    }
    const length = this.outEnd - this.outStart
    if (length > 0) {
      const taken = this.writeSocket(this.out, this.outStart, length)
      if (taken < 0) return
      this.queuedBytes -= taken
      if (taken < length) {
        this.outStart += taken
        this.blocked = true
        this.afterFlush()
        return
      }
    }
    if (this.out.length > 0) {
      loop.blocks.give(this.out)
      this.out = NO_BLOCK
      this.outStart = 0
      this.outEnd = 0
    }
    this.afterFlush()
  }

  private afterFlush(): void {
    if (this.queuedBytes === 0 && this.writeState === CLOSING) {
      this.finishWriting()
      return
    }
    if (this.drainWanted && this.queuedBytes <= CONN_LOW_WATER_BYTES) {
      this.drainWanted = false
      if (this.queueHead > 64) this.compactQueue()
      try {
        this.handler.onDrain(this)
      } catch (error) {
        this.handlerThrew("onDrain", error)
      }
    }
  }

  private compactQueue(): void {
    this.queue.splice(0, this.queueHead)
    this.releases.splice(0, this.queueHead)
    this.queueHead = 0
  }

  /** Output has left: FIN, and the end if the peer's FIN is there or nobody listens any more. */
  private finishWriting(): void {
    const socket = this.socket
    if (socket === null) return
    this.writeState = SHUT
    if (this.readEnded) {
      this.endSocket(socket)
      return
    }
    this.inSocketCall = true
    socket.shutdown()
    this.inSocketCall = false
    // Closing at once would answer what the peer still sends with a RST, and that can overtake our last bytes.
    if (this.closeWanted) this.armTimer(LINGER_MS)
  }

  private endSocket(socket: Socket<Conn>): void {
    this.finish()
    this.inSocketCall = true
    socket.end()
    this.inSocketCall = false
    this.reportCloseLater()
  }

  /** Marks the end and lets go of everything; `onClose` is still to be called. */
  private finish(): void {
    if (this.socket !== null) Conn.openSockets--
    this.terms = null
    this.closed = true
    this.open = false
    this.socket = null
    this.fd = -1
    if (this.timer !== null) loop.timers.cancel(this.timer)
    this.dropOutput()
  }

  private dropOutput(): void {
    // Blocks are not given back here: slices of them may sit anywhere in the queue. The collector takes them.
    this.queue = []
    this.releases = []
    this.queueHead = 0
    this.headOffset = 0
    this.out = NO_BLOCK
    this.outStart = 0
    this.outEnd = 0
    this.queuedBytes = 0
    this.blocked = false
    this.drainWanted = false
  }

  private armTimer(delayMs: number): void {
    loop.clock.refresh()
    this.timer ??= new ConnTimer(this)
    loop.timers.schedule(this.timer, delayMs)
  }

  private reportCloseLater(): void {
    if (this.dirty) return
    this.dirty = true
    loop.later(this)
  }

  private reportClose(): void {
    if (this.closeDelivered) return
    this.closeDelivered = true
    // What ends while we only wait for the peer's answer to our close ends as wanted.
    const outcome = this.closeWanted && this.closeError === "ETIMEDOUT" ? null : this.closeError
    try {
      this.handler.onClose(this, outcome)
    } catch (error) {
      loop.onHandlerError("onClose", error)
    }
    this.observer?.connClosed(this, outcome)
  }

  private handlerThrew(where: string, error: unknown): void {
    loop.onHandlerError(`connection with ${this.remoteAddress}:${this.remotePort}: ${where}`, error)
    this.reset()
  }

  private received(chunk: Uint8Array): void {
    this.bytesRead += chunk.length
    if (this.closed || this.closeWanted) return
    try {
      this.handler.onData(this, chunk)
    } catch (error) {
      this.handlerThrew("onData", error)
    }
  }

  private ended(): void {
    if (this.closed || this.readEnded) return
    this.readEnded = true
    if (!this.closeWanted) {
      try {
        this.handler.onEnd(this)
      } catch (error) {
        this.handlerThrew("onEnd", error)
      }
    }
    if (!this.closed && this.writeState === SHUT && this.socket !== null) this.endSocket(this.socket)
  }

  private socketClosed(error: unknown): void {
    if (this.closed) return
    if (this.terms !== null) {
      this.handshakeFailed(error)
      return
    }
    // After our FIN the runtime tells of the peer's by closing at once.
    if (!error && this.writeState === SHUT) this.ended()
    if (this.closed) return
    this.closeError = error ? errorCode(error) : this.readEnded || this.closeWanted ? null : "ECONNRESET"
    this.finish()
    if (this.inSocketCall) this.reportCloseLater()
    else this.reportClose()
  }

  private opened(socket: Socket<Conn>): void {
    this.attach(socket)
    if (this.closed) return
    if (this.dialled) this.observer?.connOpened(this)
    try {
      this.handler.onOpen(this)
    } catch (error) {
      this.handlerThrew("onOpen", error)
    }
  }

  /** For `dial`: TLS is to follow once TCP is up. */
  expectTls(terms: TlsTerms): void {
    this.terms = terms
  }

  /** For `dial`. */
  markDialled(): void {
    this.dialled = true
  }

  /** Of a TLS socket: TCP is up, the handshake begins. */
  private handshakeBegins(socket: Socket<Conn>): void {
    const { terms } = this
    if (this.closed || terms === null) {
      socket.terminate()
      return
    }
    if (this.socket === null) Conn.openSockets++
    this.socket = socket
    this.armTimer(terms.handshakeTimeoutMs)
    const ticket = this.dialled ? terms.ticket() : null
    if (ticket !== null) socket.setSession(ticket as Uint8Array<ArrayBuffer>)
  }

  /** Of a TLS socket: the handshake is over, one way or the other. */
  private handshakeEnded(socket: Socket<Conn>, ok: boolean, error: unknown): void {
    const { terms } = this
    if (this.closed || terms === null) return
    if (!ok || error || !socket.authorized) {
      this.handshakeFailed(error)
      return
    }
    const certificate = peerCertificate(socket)
    const verdict = terms.judge(certificate)
    if (typeof verdict === "string") {
      this.refusePeer(terms, verdict, `the peer showed ${certificate.altNames || "no name"}`)
      return
    }
    this.terms = null
    this.peer = verdict
    terms.succeeded(verdict, certificate.resumed)
    // Tickets come later, with the server's first bytes.
    if (this.dialled) this.ticketTerms = terms
    this.opened(socket)
  }

  private tlsFailed(error: unknown): void {
    if (this.closed) return
    if (this.terms !== null) this.handshakeFailed(error)
    else this.fail(`tls ${handshakeReason(error).reason}`)
  }

  private handshakeFailed(error: unknown): void {
    const { terms } = this
    if (terms === null) return
    const { reason, detail } = handshakeReason(error)
    this.refusePeer(terms, reason, detail)
  }

  private refusePeer(terms: TlsTerms, reason: string, detail: string): void {
    this.terms = null
    terms.failed(reason, detail, this)
    this.fail(`tls ${reason}`)
  }

  /** For `dial`: nothing came of it. */
  dialFailed(error: unknown): void {
    if (this.closed) return
    this.closeError = errorCode(error)
    this.finish()
    this.reportCloseLater()
  }

  /** The runtime's callbacks for all connections; `socket.data` is the connection. */
  static readonly socketHandler: SocketHandler<Conn> = {
    binaryType: "uint8array",
    open(socket) {
      loop.clock.refresh()
      socket.data.opened(socket)
    },
    data(socket, chunk) {
      loop.clock.refresh()
      socket.data.received(chunk)
    },
    drain(socket) {
      loop.clock.refresh()
      socket.data.flush()
    },
    end(socket) {
      loop.clock.refresh()
      socket.data.ended()
    },
    close(socket, error) {
      loop.clock.refresh()
      socket.data.socketClosed(error)
    },
    error(socket, error) {
      if (socket.data.closed) return
      // Our own callbacks catch what handlers throw, so this is the runtime's.
      loop.onHandlerError(`connection with ${socket.data.remoteAddress}`, error)
      socket.data.fail(errorCode(error))
    },
    connectError(socket, error) {
      loop.clock.refresh()
      socket.data.dialFailed(error)
    },
  }

  /** The same for TLS; `handshake` comes between the socket's opening and the connection's. */
  static readonly tlsSocketHandler: SocketHandler<Conn> & {
    session(socket: Socket<Conn>, ticket: Uint8Array): void
  } = {
    ...Conn.socketHandler,
    open(socket) {
      loop.clock.refresh()
      socket.data.handshakeBegins(socket)
    },
    handshake(socket, ok, error) {
      loop.clock.refresh()
      socket.data.handshakeEnded(socket, ok, error)
    },
    session(socket, ticket) {
      socket.data.ticketTerms?.keepTicket(ticket)
    },
    error(socket, error) {
      // A record that does not decrypt, or the peer's alert; our own callbacks catch what handlers throw.
      socket.data.tlsFailed(error)
    },
  }
}

/** Stands in for connections whose socket goes on in TLS. */
const SPENT = new Conn({ onOpen() {}, onData() {}, onDrain() {}, onEnd() {}, onClose() {} })
SPENT.closed = true

/** The system's name of an error (ECONNREFUSED), else its message. */
export function errorCode(error: unknown): string {
  if (error !== null && typeof error === "object") {
    const code = (error as { readonly code?: unknown }).code
    if (typeof code === "string" && code !== "") return code
    const message = (error as { readonly message?: unknown }).message
    if (typeof message === "string" && message !== "") return message
  }
  return String(error)
}
