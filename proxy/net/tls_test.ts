// TLS below connections: real handshakes over loopback, with certificates of a test's authority.
import { expect, test } from "bun:test"
import { LabCa } from "../identity/test_ca.ts"
import type { Conn, ConnHandler } from "./conn.ts"
import { dial } from "./dial.ts"
import { listen } from "./listen.ts"
import { type PeerCertificate, protocolNames, TLS_1_3, type TlsPeer, type TlsTerms } from "./tls.ts"

const SERVER = "server.lab.serviceaccount.identity.conduit.cluster.local"

/** Terms that take everybody, and write down what they hear. */
class Terms implements TlsTerms {
  readonly options: TlsTerms["options"]
  handshakeTimeoutMs = 2_000
  readonly heard: string[] = []
  tickets: Uint8Array[] = []
  verdict: (certificate: PeerCertificate) => TlsPeer | string = ({ protocol }) => ({
    spiffeId: "spiffe://x",
    dnsName: "x",
    protocol,
  })

  constructor(options: TlsTerms["options"]) {
    this.options = options
  }

  ticket(): Uint8Array | null {
    return this.tickets.at(-1) ?? null
  }
  keepTicket(ticket: Uint8Array): void {
    this.tickets.push(ticket)
  }
  judge(certificate: PeerCertificate): TlsPeer | string {
    return this.verdict(certificate)
  }
  succeeded(_peer: TlsPeer, resumed: boolean): void {
    this.heard.push(resumed ? "resumed" : "full")
  }
  failed(reason: string): void {
    this.heard.push(reason)
  }
}

/** Collects what happens on a connection. */
class Side implements ConnHandler {
  text = ""
  events: string[] = []
  private waiting: (() => void)[] = []

  onOpen(): void {
    this.add("open")
  }
  onData(_conn: Conn, chunk: Uint8Array): void {
    this.text += Buffer.from(chunk).toString()
    this.add("data")
  }
  onDrain(): void {}
  onEnd(): void {
    this.add("end")
  }
  onClose(_conn: Conn, error: string | null): void {
    this.add(`close ${error}`)
  }
  private add(event: string): void {
    if (event !== "data") this.events.push(event)
    for (const wake of this.waiting.splice(0)) wake()
  }
  async until(holds: () => boolean): Promise<void> {
    while (!holds()) await new Promise<void>(resolve => this.waiting.push(resolve))
  }
}

async function pair(serverCa?: LabCa, clientCa?: LabCa) {
  const ca = serverCa ?? (await LabCa.create())
  const [own, other] = [await ca.issue("lab", "server"), await (clientCa ?? ca).issue("lab", "client")]
  const versions = {
    minVersion: TLS_1_3,
    maxVersion: TLS_1_3,
    rejectUnauthorized: true,
    requestCert: true,
  } as const
  const ALPNProtocols = protocolNames("conduit.tcp")
  const common = { ca: ca.pem, ALPNProtocols, ...versions }
  const accept = new Terms({ key: own.keyPem, cert: own.certPem, ...common })
  const dialling = new Terms({ key: other.keyPem, cert: other.certPem, serverName: SERVER, ...common })
  const accepted: Conn[] = []
  const serverSide = new Side()
  const listener = listen({
    address: "127.0.0.1",
    port: 0,
    accept(conn) {
      accepted.push(conn)
      return {
        ...quiet,
        onData(_conn, chunk) {
          conn.handler = serverSide
          conn.acceptTls(accept, chunk)
        },
      }
    },
  })
  return { accept, dialling, serverSide, accepted, listener }
}

const quiet: ConnHandler = { onOpen() {}, onData() {}, onDrain() {}, onEnd() {}, onClose() {} }
const bytes = (text: string) => Buffer.from(text)

test("both ends are proven before either is told that the connection is open, and what was queued follows", async () => {
  const { accept, dialling, serverSide, accepted, listener } = await pair()
  const side = new Side()
  const conn = dial("127.0.0.1", listener.port, side, { tls: dialling })
  conn.write(bytes("early"))
  expect(conn.open).toBe(false)
  await serverSide.until(() => serverSide.text === "early")
  expect(serverSide.events).toEqual(["open"])
  expect(side.events).toEqual(["open"])
  expect(conn.peer?.protocol).toBe("conduit.tcp")
  expect(accepted[0]?.peer?.protocol).toBe("conduit.tcp")
  expect([accept.heard, dialling.heard]).toEqual([["full"], ["full"]])
  expect(accepted[0]?.bytesRead).toBe("early".length)
  conn.reset()
  listener.close()
})

test("half-close passes, both ways, and both ends hear an orderly end", async () => {
  const { dialling, serverSide, accepted, listener } = await pair()
  const side = new Side()
  const conn = dial("127.0.0.1", listener.port, side, { tls: dialling })
  conn.write(bytes("question"))
  conn.shutdown()
  await serverSide.until(() => serverSide.events.includes("end"))
  expect(serverSide.text).toBe("question")
  accepted[0]?.write(bytes("answer after the end"))
  accepted[0]?.shutdown()
  await side.until(() => side.events.includes("close null"))
  expect(side.text).toBe("answer after the end")
  await serverSide.until(() => serverSide.events.includes("close null"))
  listener.close()
})

test("a kept ticket resumes the session, and the peer is judged as before", async () => {
  const { dialling, serverSide, accepted, listener } = await pair()
  const judged: PeerCertificate[] = []
  const { verdict } = dialling
  dialling.verdict = certificate => {
    judged.push(certificate)
    return verdict(certificate)
  }
  for (let i = 0; i < 2; i++) {
    const side = new Side()
    const conn = dial("127.0.0.1", listener.port, side, { tls: dialling })
    await serverSide.until(() => accepted[i]?.open === true && accepted[i]?.peer !== null)
    accepted[i]?.write(bytes("x"))
    await side.until(() => side.text === "x")
    conn.reset()
  }
  expect(dialling.heard).toEqual(["full", "resumed"])
  expect(judged.map(one => one.altNames.includes(SERVER))).toEqual([true, true])
  listener.close()
})

test("a peer that is judged unfit is cut off before it is heard, and the reason counted", async () => {
  const { dialling, listener } = await pair()
  dialling.verdict = () => "wrong-identity"
  const side = new Side()
  dial("127.0.0.1", listener.port, side, { tls: dialling })
  await side.until(() => side.events.length > 0)
  expect(side.events).toEqual(["close tls wrong-identity"])
  expect(dialling.heard).toEqual(["wrong-identity"])
  listener.close()
})

test("a client with a certificate of another authority is refused, and so is a server", async () => {
  for (const [serverCa, clientCa] of [[await LabCa.create(), await LabCa.create()]] as const) {
    const { accept, serverSide, dialling, listener } = await pair(serverCa, clientCa)
    dial("127.0.0.1", listener.port, new Side(), { tls: dialling })
    await serverSide.until(() => serverSide.events.length > 0)
    expect(serverSide.events).toEqual(["close tls untrusted"])
    expect(accept.heard).toEqual(["untrusted"])
    const stranger = new Terms({ ...dialling.options, ca: clientCa.pem })
    const side = new Side()
    dial("127.0.0.1", listener.port, side, { tls: stranger })
    await side.until(() => side.events.length > 0)
    expect(side.events).toEqual(["close tls untrusted"])
    listener.close()
  }
})

test("a server that does not answer the handshake is given up in time", async () => {
  const silent = listen({ address: "127.0.0.1", port: 0, accept: () => quiet })
  const { dialling, listener } = await pair()
  dialling.handshakeTimeoutMs = 50
  const side = new Side()
  const conn = dial("127.0.0.1", silent.port, side, { tls: dialling })
  await side.until(() => side.events.length > 0)
  expect(side.events).toEqual(["close tls handshake-timeout"])
  expect(conn.open).toBe(false)
  expect(dialling.heard).toEqual(["handshake-timeout"])
  silent.close()
  listener.close()
})
