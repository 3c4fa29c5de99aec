// The cluster's own certificate authority, by openssl: every part of Kubernetes proves itself with a certificate.
import { writeFileSync } from "node:fs"
import { join } from "node:path"

/** Days that certificates are valid: a test run takes minutes. */
const DAYS = 2

/** Whose certificate it is, as Kubernetes reads it: CN is the user, each O a group. */
export interface Subject {
  readonly user: string
  readonly groups?: readonly string[]
  /** Subject alternative names as openssl writes them, such as `DNS:localhost,IP:127.0.0.1`. */
  readonly names?: string
}

/** Paths of a certificate and its key. */
export interface KeyPair {
  readonly certificate: string
  readonly key: string
}

/** Issues certificates into a folder. */
export class Authority {
  readonly folder: string
  /** Path of the authority's own certificate. */
  readonly certificate: string
  readonly #config: string
  #issued = 0

  private constructor(folder: string) {
    this.folder = folder
    this.certificate = join(folder, "ca.crt")
    // openssl's own configuration would add extensions of its choice.
    this.#config = join(folder, "openssl.cnf")
    writeFileSync(this.#config, "[req]\ndistinguished_name = name\n[name]\n")
  }

  /** Makes the authority, and the keys that sign service account tokens (`sa.key`, `sa.pub`). */
  static async create(folder: string): Promise<Authority> {
    const made = new Authority(folder)
    await made.#request("ca", { user: "cluster-ca" }, "critical,CA:true", [])
    await openssl(["genrsa", "-out", join(folder, "sa.key"), "2048"])
    await openssl(["rsa", "-in", join(folder, "sa.key"), "-pubout", "-out", join(folder, "sa.pub")])
    return made
  }

  /** Issues a certificate for servers and clients alike. @throws Error with what openssl said */
  async issue(subject: Subject): Promise<KeyPair> {
    const name = `${++this.#issued}-${subject.user.replaceAll(/[^\w.-]/g, "_")}`
    const by = ["-CA", this.certificate, "-CAkey", join(this.folder, "ca.key")]
    await this.#request(name, subject, "critical,CA:false", [
      ...by,
      "-addext",
      "extendedKeyUsage=serverAuth,clientAuth",
    ])
    return { certificate: join(this.folder, `${name}.crt`), key: join(this.folder, `${name}.key`) }
  }

  async #request(
    name: string,
    subject: Subject,
    constraints: string,
    more: readonly string[],
  ): Promise<void> {
    const groups = (subject.groups ?? []).map(group => `/O=${group}`).join("")
    await openssl([
      "req",
      "-x509",
      "-config",
      this.#config,
      ...["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", `${DAYS}`],
      ...["-keyout", join(this.folder, `${name}.key`), "-out", join(this.folder, `${name}.crt`)],
      ...["-subj", `${groups}/CN=${subject.user}`],
      ...["-addext", `basicConstraints=${constraints}`],
      ...(subject.names === undefined ? [] : ["-addext", `subjectAltName=${subject.names}`]),
      ...more,
    ])
  }
}

async function openssl(args: readonly string[]): Promise<void> {
  const child = Bun.spawn(["openssl", ...args], { stdin: "ignore", stdout: "ignore", stderr: "pipe" })
  const [said, code] = await Promise.all([child.stderr.text(), child.exited])
  if (code !== 0) throw new Error(`cluster: openssl ${args[0]} failed: ${said.trim()}`)
}
