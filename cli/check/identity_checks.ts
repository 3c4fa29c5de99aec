// Checks of what the mesh's identity rests on: trust anchors, the issuer, and how long they last.
import type { X509Certificate } from "node:crypto"
import {
  anchorOf,
  endMs,
  parseIssuer,
  parseIssuerChain,
  parseTrustAnchors,
  pemCertificates,
} from "../../deploy/identity/mod.ts"
import { ago } from "../output.ts"
import { count, type Finding, failure, lines, warning, well } from "./check.ts"
import type { World } from "./world.ts"

/** Certificates that end within this are warned of: time to roll out new anchors without haste. Linkerd's figure. */
export const EXPIRY_WARNING_MS = 60 * 24 * 3_600_000

const ROTATE =
  "make a new issuer, or new anchors and an issuer, and give them to conduit upgrade (--identity-trust-anchors-file with old and new ones, --identity-issuer-certificate-file, --identity-issuer-key-file)"

/** There are trust anchors, and they hold. */
export async function anchorsHold(world: World): Promise<Finding> {
  const { anchors } = await world.authority()
  if (anchors === "") {
    return failure(
      "the control plane has no trust anchors: nothing is encrypted, and nobody proves who they are",
      "conduit upgrade with --identity-trust-anchors-file, --identity-issuer-certificate-file and --identity-issuer-key-file gives it an identity",
    )
  }
  const all = attempt(() => pemCertificates(anchors))
  if (typeof all === "string") return failure(`the bundle of trust anchors ${all}`, ROTATE)
  const alive = attempt(() => parseTrustAnchors(anchors, world.nowMs(), "the trust anchors"))
  if (typeof alive === "string") return failure(alive, ROTATE)
  const begin = alive.filter(one => Date.parse(one.validFrom) > world.nowMs())
  if (begin.length > 0)
    return failure(
      lines(begin.map(one => `${nameOf(one)} is not valid before ${one.validFrom}`)),
      "set the clock of this machine, or wait",
    )
  const ended = all.filter(one => endMs(one) <= world.nowMs())
  if (ended.length === 0) return well(count(alive.length, "anchor"))
  return warning(
    lines(ended.map(one => `${nameOf(one)} has ended, at ${one.validTo}`)),
    "leave it out of the bundle: nothing can rest on it any more",
  )
}

/** The issuer holds: its certificates are in time, may sign and fit its key. */
export async function issuerHolds(world: World): Promise<Finding> {
  const { issuer, issuerKey } = await world.authority()
  const now = world.nowMs()
  if (issuer === "")
    return failure("the control plane has no issuer, so no workload gets a certificate", ROTATE)
  const chain = attempt(() =>
    issuerKey === null
      ? parseIssuerChain(issuer, now)
      : parseIssuer({ certificate: issuer, key: issuerKey }, now).chain,
  )
  if (typeof chain === "string") return failure(chain, ROTATE)
  return well(chain[0] === undefined ? "" : nameOf(chain[0]))
}

/** The issuer chains to an anchor. */
export async function issuerChains(world: World): Promise<Finding> {
  const { issuer, anchors } = await world.authority()
  const now = world.nowMs()
  const chain = parseIssuerChain(issuer, now)
  const anchor = anchorOf({ chain }, parseTrustAnchors(anchors, now))
  if (anchor !== null) return well(nameOf(anchor))
  return failure(
    "the issuer's certificate is signed by none of the trust anchors: no proxy would trust what it signs",
    ROTATE,
  )
}

/** Anchors and issuer last. */
export async function authorityLasts(world: World): Promise<Finding> {
  const { issuer, anchors } = await world.authority()
  const now = world.nowMs()
  const all = [...parseTrustAnchors(anchors, now), ...parseIssuerChain(issuer, now)]
  const ending = new Map(
    all.filter(one => endMs(one) - now < EXPIRY_WARNING_MS).map(one => [one.fingerprint256, one] as const),
  )
  const first = all.reduce((a, b) => (endMs(a) < endMs(b) ? a : b))
  if (ending.size === 0) return well(`the first to end is ${nameOf(first)}, in ${ago(endMs(first) - now)}`)
  return warning(
    lines(
      [...ending.values()].map(one => `${nameOf(one)} ends in ${ago(endMs(one) - now)}, at ${one.validTo}`),
    ),
    ROTATE,
  )
}

function nameOf({ subject, serialNumber }: X509Certificate): string {
  return subject.replaceAll("\n", ", ") || `serial ${serialNumber}`
}

function attempt<T>(read: () => T): T | string {
  try {
    return read()
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}
