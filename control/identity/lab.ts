// What tests of identity are made of: a folder as a kubelet mounts it, tokens as a cluster issues them, and the
// identity service over real TLS.
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { createGrpcTransport } from "@connectrpc/connect-node"
import { type AuthorityPem, makeAuthority, TokenIssuer, x509 } from "../../deploy/identity/mod.ts"
import { createIdentityClient, type IdentityClient } from "../../protos/mod.ts"
import { createLog } from "../log.ts"
import { type RunningControlPlane, runControlPlane } from "../run.ts"
import { parseSettings } from "../settings.ts"
import { IDENTITY_AUDIENCE } from "./token_reviewer.ts"

/** `iss` of the lab's tokens. */
export const LAB_ISSUER = "https://lab.cluster"
/** Names of the lab's mesh. */
export const LAB_NAMES = { trustDomain: "cluster.local", controlNamespace: "conduit" }

/** A control plane with identity, in one process or several, in a folder of its own. */
export class IdentityLab {
  readonly folder = mkdtempSync(join(tmpdir(), "conduit-identity-"))
  readonly tokens = new TokenIssuer(LAB_ISSUER, Date.now)
  readonly lines: string[] = []
  authority!: AuthorityPem
  readonly #running: RunningControlPlane[] = []

  /** Makes anchors, issuer and the token of `conduit-SERVICE`. */
  async prepare(service = "identity"): Promise<void> {
    this.authority = await newAuthority()
    this.write("issuer/tls.crt", this.authority.issuer)
    this.write("issuer/tls.key", this.authority.issuerKey)
    this.write("anchors.crt", this.authority.anchor)
    this.write("jwks.json", this.tokens.jwks)
    this.write("token", this.token({ namespace: "conduit", serviceAccount: `conduit-${service}` }))
    mkdirSync(join(this.folder, "manifests"))
  }

  /** Replaces a file whole. */
  write(name: string, text: string): void {
    const path = join(this.folder, name)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(`${path}.new`, text)
    renameSync(`${path}.new`, path)
  }

  /** A token as the cluster issues it. */
  token(claims: Partial<Parameters<TokenIssuer["issue"]>[0]> = {}, issuer = this.tokens): string {
    return issuer.issue({
      namespace: "shop",
      serviceAccount: "web",
      pod: "web-1",
      podUid: "uid-1",
      audience: IDENTITY_AUDIENCE,
      lifetimeS: 3600,
      ...claims,
    })
  }

  /** Environment of a process of the control plane. */
  env(): Record<string, string> {
    return {
      CONDUIT_IDENTITY_PORT: "0",
      CONDUIT_DESTINATION_PORT: "0",
      CONDUIT_TELEMETRY_PORT: "0",
      CONDUIT_API_PORT: "0",
      CONDUIT_TAP_PORT: "0",
      CONDUIT_ADMIN_PORT: "0",
      CONDUIT_TRUST_ANCHORS_FILE: join(this.folder, "anchors.crt"),
      CONDUIT_TOKEN_FILE: join(this.folder, "token"),
      CONDUIT_IDENTITY_ISSUER_DIR: join(this.folder, "issuer"),
      CONDUIT_IDENTITY_JWKS_FILE: join(this.folder, "jwks.json"),
      CONDUIT_IDENTITY_TOKEN_ISSUER: LAB_ISSUER,
    }
  }

  /** Runs a service, or all, until `close`; back when it is ready. */
  async run(service = "identity", env: Record<string, string> = {}): Promise<RunningControlPlane> {
    const args = [service, "--listen-host", "127.0.0.1", "--manifests", join(this.folder, "manifests")]
    const settings = parseSettings(args, { ...this.env(), ...env })
    if (typeof settings === "string") throw new Error(settings)
    const log = createLog({
      format: "plain",
      write: line => this.lines.push(line),
      now: () => new Date(0),
    })
    const running = await runControlPlane(settings, log)
    this.#running.push(running)
    const ready = `http://127.0.0.1:${running.ports.get("admin")}/ready`
    await eventually(async () => (await fetch(ready)).ok)
    return running
  }

  /** Port of a service of the control plane that runs; the last one, of several. */
  portOf(service: "identity" | "destination" | "telemetry" | "api" | "admin"): number {
    return this.#running.findLast(({ ports }) => ports.has(service))?.ports.get(service) ?? 0
  }

  /** Text of /metrics. */
  async metrics(adminPort: number = this.portOf("admin")): Promise<string> {
    return await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text()
  }

  /** A client of the identity service that checks it as a proxy does. */
  client(anchors: string = this.authority.anchor): IdentityClient {
    return createIdentityClient(
      createGrpcTransport({
        baseUrl: `https://127.0.0.1:${this.portOf("identity")}`,
        nodeOptions: {
          ca: anchors,
          servername: "conduit-identity.conduit.serviceaccount.identity.conduit.cluster.local",
          minVersion: "TLSv1.3",
        },
      }),
    )
  }

  /** Ends all. */
  close(): void {
    for (const running of this.#running) running.stop()
    rmSync(this.folder, { recursive: true, force: true })
  }
}

/** An anchor and an issuer of the lab's mesh. */
export function newAuthority(options: { anchorLifetimeMs?: number; issuerLifetimeMs?: number } = {}) {
  return makeAuthority({ ...LAB_NAMES, nowMs: Date.now(), ...options })
}

/** A key pair of the only kind that is signed. */
export async function newKeys(namedCurve = "P-256"): Promise<CryptoKeyPair> {
  return await crypto.subtle.generateKey({ name: "ECDSA", namedCurve }, true, ["sign", "verify"])
}

/** A CSR in DER. @param names  alternative names that it asks for */
export async function newCsr(
  keys: CryptoKeyPair,
  names: readonly { readonly type: "url" | "dns" | "ip" | "email"; readonly value: string }[] = [],
  subject = "",
): Promise<Uint8Array> {
  const csr = await x509.Pkcs10CertificateRequestGenerator.create({
    keys,
    name: subject,
    signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
    extensions: names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension([...names])],
  })
  return new Uint8Array(csr.rawData)
}

/** Waits until it is so. @throws Error after 10 s */
export async function eventually(isSo: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = performance.now() + 10_000
  while (!(await isSo())) {
    if (performance.now() > endMs) throw new Error("it did not come to be within 10 s")
    await Bun.sleep(20)
  }
}
