// What `conduit install` and `conduit upgrade` share: the flags that say how, and the values that they make.
import { readFileSync } from "node:fs"
import type { ArgsDef } from "citty"
import {
  type Part,
  parseSet,
  readValues,
  type Values,
  ValuesError,
  withAuthority,
} from "../../deploy/install/mod.ts"
import { Failure, UsageError } from "../failure.ts"
import { flagValues, GLOBAL_FLAGS, type GlobalArgs } from "../flags.ts"
import { planeNamespace } from "../kubernetes.ts"
import { isInstalled } from "../running_mesh.ts"

/** Largest file of values that is read. */
export const MAX_VALUES_BYTES = 4 * 1024 * 1024

/** Flags of an installation, new or not. */
const INSTALLATION_FLAGS = {
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
  "identity-external-issuer": {
    type: "boolean",
    description: "the Secret conduit-identity-issuer is kept by another, such as cert-manager",
  },
  "identity-issuance-lifetime": {
    type: "string",
    valueHint: "DURATION",
    description: "life of certificates, from 10s to 720h (default: 24h)",
  },
  "identity-clock-skew-allowance": {
    type: "string",
    valueHint: "DURATION",
    description: "allowance for clocks that differ (default: 20s)",
  },
  "prometheus-url": {
    type: "string",
    valueHint: "URL",
    description: "a Prometheus that scrapes the proxies, for figures older than an hour",
  },
} as const satisfies ArgsDef

/** Flags of `conduit install`. */
export const INSTALL_FLAGS = {
  ...INSTALLATION_FLAGS,
  "ignore-cluster": {
    type: "boolean",
    description: "print new trust anchors although the cluster has a control plane",
  },
} as const satisfies ArgsDef

/** Flags of `conduit upgrade`. */
export const UPGRADE_FLAGS = {
  ...INSTALLATION_FLAGS,
  force: { type: "boolean", description: "also what would break connections for a while" },
} as const satisfies ArgsDef

/** Flags that stand for one value; those of `FILES` for a file with it. */
const WORDS: Readonly<Record<string, string>> = {
  registry: "image.registry",
  "image-version": "image.version",
  "image-pull-policy": "image.pullPolicy",
  "default-inbound-policy": "policy.defaultInboundPolicy",
  "identity-trust-domain": "identityTrustDomain",
  "identity-issuance-lifetime": "identityIssuanceLifetime",
  "identity-clock-skew-allowance": "identityClockSkewAllowance",
  "prometheus-url": "telemetry.prometheusUrl",
}
const FILES: Readonly<Record<string, string>> = {
  "identity-trust-anchors-file": "identityTrustAnchorsPEM",
  "identity-issuer-certificate-file": "identity.issuer.crtPEM",
  "identity-issuer-key-file": "identity.issuer.keyPEM",
}

/** What either command reads, to find flags that are given several times. */
const EVERY_FLAG = { ...INSTALL_FLAGS, ...UPGRADE_FLAGS }

/**
 * The values of an installation: defaults, those of the running one, files in their order, --set, then flags; with a
 * new authority where none is given.
 *
 * @param running  what a running installation has; null for a new one
 * @throws UsageError for a value that cannot be used; Failure for a file that cannot be read
 */
export async function installationValues(
  args: GlobalArgs & Readonly<Record<string, unknown>>,
  rawArgs: readonly string[],
  part: Part,
  running: { readonly values: Values; readonly from: string } | null,
): Promise<Values> {
  const layers: { values: unknown; from: string }[] = running === null ? [] : [running]
  for (const file of await flagValues(EVERY_FLAG, rawArgs, "values")) {
    layers.push({ values: await parseFile(file), from: file })
  }
  try {
    for (const set of await flagValues(EVERY_FLAG, rawArgs, "set")) {
      layers.push({ values: parseSet(set), from: "--set" })
    }
    if (args["identity-external-issuer"] === true)
      layers.push({ values: { identityExternalIssuer: true }, from: "--identity-external-issuer" })
    if (args.ha === true) layers.push({ values: { ha: true }, from: "--ha" })
    for (const [flag, path] of Object.entries(WORDS)) {
      if (typeof args[flag] === "string") layers.push({ values: nested(path, args[flag]), from: `--${flag}` })
    }
    for (const [flag, path] of Object.entries(FILES)) {
      const file = args[flag]
      if (typeof file === "string")
        layers.push({ values: nested(path, read(file, `--${flag}`)), from: `--${flag}` })
    }
    const values = readValues(layers)
    if (part === "crds") return values
    const makes = running === null && values.identityTrustAnchorsPEM === ""
    if (makes && args["ignore-cluster"] !== true && (await isInstalled(args))) {
      throw new Failure(
        `a control plane is in namespace "${planeNamespace(args)}" of the cluster already, and new trust anchors would cut ` +
          "its proxies off: conduit upgrade prints it with those that it has; --ignore-cluster prints new ones",
      )
    }
    return await withAuthority(values, planeNamespace(args), Date.now(), running?.values)
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
