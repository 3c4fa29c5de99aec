// Trust anchors and issuer that `conduit dev up` was given as files, checked before anything starts.
import { readFileSync, statSync } from "node:fs"
import { type AuthorityPem, checkAuthority, MAX_PEM_BYTES } from "../identity/mod.ts"

/** What was given; each may be missing. */
export interface GivenIdentity {
  /** Anchors and issuer; undefined when the mesh makes its own. */
  readonly authority?: AuthorityPem | undefined
  /** Life of certificates, such as `24h`. */
  readonly issuanceLifetime?: string | undefined
  /** Allowance for clocks that differ, such as `20s`. */
  readonly clockSkewAllowance?: string | undefined
}

/** Paths, by the flags that give them. */
export interface IdentityFiles {
  readonly "identity-trust-anchors-file": string
  readonly "identity-issuer-certificate-file": string
  readonly "identity-issuer-key-file": string
}

/**
 * Reads anchors and issuer.
 *
 * @throws Error with a sentence that names the flag and holds nothing of the files
 */
export function readGivenIdentity(files: Partial<IdentityFiles>, nowMs: number): AuthorityPem | undefined {
  const names = [
    "identity-trust-anchors-file",
    "identity-issuer-certificate-file",
    "identity-issuer-key-file",
  ] as const
  const given = names.filter(name => files[name] !== undefined)
  if (given.length === 0) return undefined
  const missing = names.filter(name => files[name] === undefined)
  if (missing.length > 0) {
    const list = (some: readonly string[]) => some.map(name => `--${name}`).join(" and ")
    throw new Error(
      `${list(missing)} must stand beside ${list(given)}: anchors, issuer and key belong together`,
    )
  }
  const [anchor = "", issuer = "", issuerKey = ""] = names.map(name => read(name, files[name] ?? ""))
  const [anchorsFlag = "", issuerFlag = "", keyFlag = ""] = names.map(name => `--${name} ${files[name]}`)
  const authority = { anchor, issuer, issuerKey }
  checkAuthority(authority, { anchor: anchorsFlag, issuer: issuerFlag, issuerKey: keyFlag }, nowMs)
  return authority
}

function read(flag: string, path: string): string {
  try {
    if (statSync(path).size > MAX_PEM_BYTES) throw new Error(`it has more than ${MAX_PEM_BYTES} bytes`)
    return readFileSync(path, "utf8")
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    throw new Error(
      `--${flag} ${path} cannot be read: ${code === "ENOENT" ? "it does not exist" : (code ?? message)}`,
    )
  }
}
