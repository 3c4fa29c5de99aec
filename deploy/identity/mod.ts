// What a mesh's identity rests on: trust anchors, issuer, and the issuer of tokens; made, read and checked.
export {
  type AuthorityNames,
  anchorOf,
  checkAuthority,
  endMs,
  type Issuer,
  type IssuerText,
  intermediates,
  parseIssuer,
  parseIssuerChain,
  parseTrustAnchors,
  whyNoAnchor,
} from "./credentials.ts"
export { type AuthorityPem, type MakeAuthorityOptions, makeAuthority } from "./make_authority.ts"
export {
  type MakeServerCertificateOptions,
  makeServerCertificate,
  type ServerCertificatePem,
} from "./make_server_certificate.ts"
export { derToPem, MAX_PEM_BYTES, pemCertificates } from "./pem.ts"
export { type TokenClaims, TokenIssuer } from "./token_issuer.ts"
export { x509 } from "./x509.ts"
