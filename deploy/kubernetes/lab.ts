// What tests of clusters are made of: an API server over real HTTPS and WebSockets that answers what a test tells it to,
// forwards to ports of this machine as if they were pods, and takes who has a client certificate or a token.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { connect, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { x509 } from "../identity/mod.ts"

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256" } as const
const SIGNING = { name: "ECDSA", hash: "SHA-256" } as const
const DAY_MS = 86_400_000

/** A certificate with its key, PEM. */
export interface KeyPair {
  readonly cert: string
  readonly key: string
}

/** A certificate that is made. */
export interface IssueOptions {
  /** Names and addresses of a server; none for a client. */
  readonly names?: readonly x509.JsonGeneralName[]
  /** End, milliseconds since 1970. Default: tomorrow. */
  readonly notAfterMs?: number
  /** Who signs, PEM. */
  readonly by: KeyPair
}

/** An authority of its own, as each cluster has one. */
export async function newAuthority(): Promise<KeyPair> {
  const keys = await newKeys()
  const made = await x509.X509CertificateGenerator.createSelfSigned({
    name: "CN=cluster",
    keys,
    signingAlgorithm: SIGNING,
    notBefore: new Date(Date.now() - DAY_MS),
    notAfter: new Date(Date.now() + DAY_MS),
    extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
  })
  return { cert: `${made.toString("pem")}\n`, key: await keyPem(keys) }
}

/** Issues a certificate. */
export async function issue(subject: string, { names = [], notAfterMs, by }: IssueOptions): Promise<KeyPair> {
  const keys = await newKeys()
  const der = x509.PemConverter.decodeFirst(by.key)
  const made = await x509.X509CertificateGenerator.create({
    subject: `CN=${subject}`,
    issuer: new x509.X509Certificate(by.cert).subject,
    publicKey: keys.publicKey,
    signingKey: await crypto.subtle.importKey("pkcs8", der, ALGORITHM, false, ["sign"]),
    signingAlgorithm: SIGNING,
    notBefore: new Date(Date.now() - 2 * DAY_MS),
    notAfter: new Date(notAfterMs ?? Date.now() + DAY_MS),
    extensions: names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension([...names])],
  })
  return { cert: `${made.toString("pem")}\n`, key: await keyPem(keys) }
}

async function newKeys(): Promise<CryptoKeyPair> {
  return await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"])
}

async function keyPem({ privateKey }: CryptoKeyPair): Promise<string> {
  return x509.PemConverter.encode(await crypto.subtle.exportKey("pkcs8", privateKey), "PRIVATE KEY")
}

/** An answer: JSON with 200, or a refusal as the API server writes it. */
export type Answer = object | { readonly refused: number; readonly message: string }

/** A connection that is being forwarded. */
interface Forward {
  readonly port: number
  socket: Socket | null
}

/** A running API server. Use with `await using`. */
export class FakeApiServer implements AsyncDisposable {
  /** Answers by path without query; what is not there is 404. */
  readonly answers = new Map<string, Answer>()
  /** Ports of this machine by `namespace/pod:port`; what is not there refuses connections as a kubelet tells it. */
  readonly pods = new Map<string, number>()
  /** `METHOD path?query` of every request. */
  readonly asked: string[] = []
  /** Tokens that are taken; who has none must have a client certificate. */
  readonly tokens = new Set<string>()
  readonly folder = mkdtempSync(join(tmpdir(), "conduit-fake-api-"))
  readonly authority: KeyPair
  private readonly client: KeyPair
  private readonly server: Bun.Server<Forward>
  private readonly forwards = new Set<Bun.ServerWebSocket<Forward>>()

  private constructor(authority: KeyPair, client: KeyPair, own: KeyPair, needsCertificate: boolean) {
    this.authority = authority
    this.client = client
    this.server = Bun.serve<Forward>({
      hostname: "127.0.0.1",
      port: 0,
      tls: {
        ...own,
        ca: authority.cert,
        requestCert: needsCertificate,
        rejectUnauthorized: needsCertificate,
      },
      fetch: (request, server) => this.answer(request, server),
      websocket: {
        open: socket => this.forward(socket),
        message: (socket, message) => {
          const bytes = Buffer.from(message as Buffer)
          if (bytes[0] === 0) socket.data.socket?.write(bytes.subarray(1))
        },
        close: socket => {
          this.forwards.delete(socket)
          socket.data.socket?.destroy()
        },
      },
    })
  }

  /** @param who  whether who asks needs a client certificate, or a token */
  static async start(
    who: "certificate" | "token" = "certificate",
    serverEndMs?: number,
  ): Promise<FakeApiServer> {
    const authority = await newAuthority()
    const client = await issue("jo", { by: authority })
    const own = await issue("kube-apiserver", {
      by: authority,
      names: [{ type: "ip", value: "127.0.0.1" }],
      ...(serverEndMs === undefined ? {} : { notAfterMs: serverEndMs }),
    })
    return new FakeApiServer(authority, client, own, who === "certificate")
  }

  /** Its address. */
  get url(): string {
    return `https://127.0.0.1:${this.server.port}`
  }

  /**
   * Writes a kubeconfig with one context, `prod`, whose namespace is `shop`.
   *
   * @param user  fields of its user. Default: the client certificate
   */
  kubeconfig(user: object = this.certificateUser(this.client), server = this.url): string {
    const path = join(this.folder, `${crypto.randomUUID()}.yaml`)
    const ca = Buffer.from(this.authority.cert).toString("base64")
    const config = {
      apiVersion: "v1",
      kind: "Config",
      "current-context": "prod",
      contexts: [{ name: "prod", context: { cluster: "c", user: "jo", namespace: "shop" } }],
      clusters: [{ name: "c", cluster: { server, "certificate-authority-data": ca } }],
      users: [{ name: "jo", user }],
    }
    writeFileSync(path, JSON.stringify(config))
    return path
  }

  /** A user of a kubeconfig with a client certificate. */
  certificateUser({ cert, key }: KeyPair): object {
    const base64 = (text: string): string => Buffer.from(text).toString("base64")
    return { "client-certificate-data": base64(cert), "client-key-data": base64(key) }
  }

  /** Cuts every connection to pods, as when these go away. */
  cut(): void {
    for (const socket of this.forwards) socket.terminate()
  }

  /** How many connections to pods are open. */
  get open(): number {
    return this.forwards.size
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut()
    await this.server.stop(true)
    rmSync(this.folder, { recursive: true })
  }

  private answer(request: Request, server: Bun.Server<Forward>): Response | undefined {
    const { pathname, search, searchParams } = new URL(request.url)
    this.asked.push(`${request.method} ${pathname}${search}`)
    const token = /^Bearer (.+)$/.exec(request.headers.get("authorization") ?? "")?.[1]
    if (this.tokens.size > 0 && !this.tokens.has(token ?? "")) return refusal(401, "Unauthorized")
    const answer = this.answers.get(pathname)
    const refused = answer !== undefined && "refused" in answer ? answer : null
    if (refused !== null) return refusal(Number(refused.refused), String(refused.message))
    if (answer !== undefined) return Response.json(answer)
    const pod = /^\/api\/v1\/namespaces\/([^/]+)\/pods\/([^/]+)\/portforward$/.exec(pathname)
    if (pod !== null) {
      if (request.headers.get("upgrade") === null) return refusal(400, "Upgrade request required")
      const port = Number(searchParams.get("ports"))
      const headers = { "sec-websocket-protocol": "v4.channel.k8s.io" }
      const data = { port: this.pods.get(`${pod[1]}/${pod[2]}:${port}`) ?? -port, socket: null }
      return server.upgrade(request, { headers, data }) ? undefined : refusal(400, "no WebSocket")
    }
    return refusal(404, `${pathname} not found`)
  }

  /** As kubelet does: the port on both channels, then bytes, and what went wrong on the second. */
  private forward(socket: Bun.ServerWebSocket<Forward>): void {
    this.forwards.add(socket)
    const { port } = socket.data
    const bytes = Buffer.alloc(2)
    bytes.writeUInt16LE(Math.abs(port))
    socket.send(Buffer.concat([Buffer.of(0), bytes]))
    socket.send(Buffer.concat([Buffer.of(1), bytes]))
    if (port < 0) {
      const why = `error forwarding port ${-port} to pod 0a1b, uid : failed to execute portforward in network namespace "/var/run/netns/cni-1": failed to connect to localhost:${-port} inside namespace "0a1b", IPv4: dial tcp4 127.0.0.1:${-port}: connect: connection refused`
      socket.send(Buffer.concat([Buffer.of(1), Buffer.from(why)]))
      socket.close()
      return
    }
    const pod = connect(port, "127.0.0.1")
    socket.data.socket = pod
    pod.on("data", chunk => socket.send(Buffer.concat([Buffer.of(0), Buffer.from(chunk)])))
    pod.on("close", () => socket.close())
    pod.on("error", () => socket.close())
  }
}

function refusal(code: number, message: string): Response {
  const reasons: Record<number, string> = { 401: "Unauthorized", 403: "Forbidden", 404: "NotFound" }
  const body = { kind: "Status", status: "Failure", code, message, reason: reasons[code] ?? "BadRequest" }
  return Response.json(body, { status: code })
}
