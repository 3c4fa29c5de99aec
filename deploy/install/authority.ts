// What the mesh's identities rest on: given with the values and checked, or made when nothing was given.
import { checkAuthority, makeAuthority, parseTrustAnchors } from "../identity/mod.ts"
import { type Values, ValuesError } from "./values.ts"

const NAMES = {
  anchor: "identityTrustAnchorsPEM",
  issuer: "identity.issuer.crtPEM",
  issuerKey: "identity.issuer.keyPEM",
} as const

/**
 * The values with trust anchors and issuer: those that were given, or new ones.
 *
 * @param namespace  of the control plane
 * @param nowMs  wall clock, milliseconds since 1970
 * @param running  values of the installation that runs; what it has is taken as it is, so that nothing that works is
 * refused or replaced
 * @throws ValuesError for given ones that cannot be used
 */
export async function withAuthority(
  values: Values,
  namespace: string,
  nowMs: number,
  running?: Values,
): Promise<Values> {
  const given = authorityOf(values)
  if (given.anchor === "") {
    const trustDomain = String(values.identityTrustDomain)
    const { anchor, issuer, issuerKey } = await makeAuthority({
      trustDomain,
      controlNamespace: namespace,
      nowMs,
    })
    return {
      ...values,
      identityTrustAnchorsPEM: anchor,
      identity: { issuer: { crtPEM: issuer, keyPEM: issuerKey } },
    }
  }
  if (running !== undefined && JSON.stringify(authorityOf(running)) === JSON.stringify(given)) return values
  try {
    if (values.identityExternalIssuer === true) parseTrustAnchors(given.anchor, nowMs, NAMES.anchor)
    else checkAuthority(given, NAMES, nowMs)
  } catch (error) {
    throw new ValuesError(error instanceof Error ? error.message : String(error))
  }
  return values
}

function authorityOf(values: Values) {
  const { crtPEM, keyPEM } = (values.identity as { issuer: { crtPEM: string; keyPEM: string } }).issuer
  return { anchor: String(values.identityTrustAnchorsPEM), issuer: crtPEM, issuerKey: keyPEM }
}
