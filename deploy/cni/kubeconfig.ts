// The kubeconfig that the installer leaves on a node for the plugin. It is JSON, which kubectl reads too, and which the
// plugin reads in no time.
import { readFileSync } from "node:fs"
import type { CredentialSource } from "../kubernetes/mod.ts"

/** An API server and who asks it. */
export interface KubeconfigFacts {
  /** Such as `https://10.96.0.1:443`. */
  readonly server: string
  /** The authority that its certificate must be of, PEM. */
  readonly authority: string
  /** A service account's token; secret. */
  readonly token: string
}

/** The kubeconfig's text; secret. */
export function kubeconfigText({ server, authority, token }: KubeconfigFacts): string {
  const name = "conduit-cni"
  const config = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [
      {
        name,
        cluster: { server, "certificate-authority-data": Buffer.from(authority).toString("base64") },
      },
    ],
    users: [{ name, user: { token } }],
    contexts: [{ name, context: { cluster: name, user: name } }],
    "current-context": name,
  }
  return `${JSON.stringify(config, null, 2)}\n`
}

/**
 * Credentials of such a file. It is read for each request: the installer may renew the token between two.
 *
 * @throws Error with one sentence when it cannot be read or is no such file
 */
export function fileCredentials(path: string): CredentialSource {
  const read = (): KubeconfigFacts => {
    let text: string
    try {
      text = readFileSync(path, "utf8")
    } catch (error) {
      throw new Error(`cannot read ${path} (${(error as NodeJS.ErrnoException).code})`)
    }
    const config = parsed(text)
    const { server, "certificate-authority-data": authority = "" } = config.clusters?.[0]?.cluster ?? {}
    const token = config.users?.[0]?.user?.token
    if (typeof server !== "string" || typeof token !== "string" || typeof authority !== "string") {
      throw new Error(`${path} is not a kubeconfig that the installer of conduit-cni wrote`)
    }
    return { server, token, authority: Buffer.from(authority, "base64").toString() }
  }
  const { server } = read()
  return {
    server,
    what: path,
    namespace: "default",
    current: async () => {
      const { token, authority } = read()
      return { server, headers: { authorization: `Bearer ${token}` }, tls: { ca: authority }, proxy: "" }
    },
  }
}

interface Written {
  readonly clusters?: { readonly cluster?: Record<string, unknown> }[]
  readonly users?: { readonly user?: { readonly token?: unknown } }[]
}

function parsed(text: string): Written {
  try {
    return (JSON.parse(text) ?? {}) as Written
  } catch {
    // Not even JSON: the caller says what that means, without a word of what is in it.
    return {}
  }
}
