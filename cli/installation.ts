// What `conduit install` and `conduit upgrade` share: the flags that say how, and the values that they make.
import { readFileSync } from "node:fs"
import type { ArgsDef } from "citty"
import { parseSet, readValues, type Values, ValuesError } from "../deploy/install/mod.ts"
import { Failure, UsageError } from "./failure.ts"
import { flagValues, GLOBAL_FLAGS } from "./flags.ts"

/** Largest file of values that is read. */
export const MAX_VALUES_BYTES = 4 * 1024 * 1024

/** Flags of an installation. */
export const INSTALLATION_FLAGS = {
  ...GLOBAL_FLAGS,
  values: {
    type: "string",
    alias: "f",
    valueHint: "FILE",
    description: "values, as for Helm; several times",
  },
  set: { type: "string", valueHint: "NAME=VALUE", description: "one value; several times" },
  ha: { type: "boolean", description: "three of every service that can be several" },
  crds: { type: "boolean", description: "the custom resource definitions only" },
  "skip-crds": { type: "boolean", description: "all but the custom resource definitions" },
  registry: { type: "string", valueHint: "REGISTRY", description: "where the images are" },
  "image-version": { type: "string", valueHint: "TAG", description: "tag of the images" },
  "image-pull-policy": { type: "string", valueHint: "POLICY", description: "Always, IfNotPresent or Never" },
  "default-inbound-policy": {
    type: "string",
    valueHint: "POLICY",
    description: "who may call where no policy says",
  },
  "identity-trust-domain": { type: "string", valueHint: "DOMAIN", description: "trust domain of identities" },
  "identity-trust-anchors-file": { type: "string", valueHint: "FILE", description: "trust anchors, PEM" },
  "identity-issuer-certificate-file": {
    type: "string",
    valueHint: "FILE",
    description: "the issuer's certificate, PEM",
  },
  "identity-issuer-key-file": { type: "string", valueHint: "FILE", description: "the issuer's key, PEM" },
} as const satisfies ArgsDef

/** Flags that stand for one value; those of `FILES` for a file with it. */
const WORDS: Readonly<Record<string, string>> = {
  registry: "image.registry",
  "image-version": "image.version",
  "image-pull-policy": "image.pullPolicy",
  "default-inbound-policy": "policy.defaultInboundPolicy",
  "identity-trust-domain": "identityTrustDomain",
}
const FILES: Readonly<Record<string, string>> = {
  "identity-trust-anchors-file": "identityTrustAnchorsPEM",
  "identity-issuer-certificate-file": "identity.issuer.crtPEM",
  "identity-issuer-key-file": "identity.issuer.keyPEM",
}

/**
 * The values of an installation: defaults, `base`, files in their order, --set, then flags.
 *
 * @param base  what a running installation has; empty for a new one
 * @throws UsageError for a value that cannot be used; Failure for a file that cannot be read
 */
export async function installationValues(
  args: Readonly<Record<string, unknown>>,
  rawArgs: readonly string[],
  base: readonly { values: unknown; from: string }[],
): Promise<Values> {
  const layers = [...base]
  for (const file of await flagValues(INSTALLATION_FLAGS, rawArgs, "values")) {
    layers.push({ values: await parseFile(file), from: file })
  }
  try {
    for (const set of await flagValues(INSTALLATION_FLAGS, rawArgs, "set")) {
      layers.push({ values: parseSet(set), from: "--set" })
    }
    if (args.ha === true) layers.push({ values: { ha: true }, from: "--ha" })
    for (const [flag, path] of Object.entries(WORDS)) {
      if (typeof args[flag] === "string") layers.push({ values: nested(path, args[flag]), from: `--${flag}` })
    }
    for (const [flag, path] of Object.entries(FILES)) {
      const file = args[flag]
      if (typeof file === "string")
        layers.push({ values: nested(path, read(file, `--${flag}`)), from: `--${flag}` })
    }
    return readValues(layers)
  } catch (error) {
    throw error instanceof ValuesError ? new UsageError(error.message) : error
  }
}

function nested(path: string, value: unknown): Values {
  return path.split(".").reduceRight<unknown>((inner, name) => ({ [name]: inner }), value) as Values
}

function read(file: string, flag: string): string {
  try {
    const text = readFileSync(file === "-" ? 0 : file, "utf8")
    if (text.length > MAX_VALUES_BYTES) throw new Error(`it is larger than ${MAX_VALUES_BYTES} bytes`)
    return text
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? (error as Error).message
    throw new Failure(`${flag}: cannot read ${file} (${reason})`, { cause: error })
  }
}

async function parseFile(file: string): Promise<unknown> {
  const { parseDocument } = await import("yaml")
  const document = parseDocument(read(file, "-f"))
  const [error] = document.errors
  if (error !== undefined) throw new UsageError(`${file}: ${error.message.split("\n", 1)[0]}`)
  return document.toJS({ maxAliasCount: 100 })
}
