// Certificates of the control plane itself: names, a process's own certificate, TLS on its ports and to others.
export { certifyOver, type MeshTransport, meshTransport, watchAnchors } from "./client.ts"
export {
  type Certified,
  type Certify,
  OwnCertificate,
  type OwnCertificateOptions,
  RENEW_AT,
  RENEW_JITTER,
} from "./own_certificate.ts"
export { type Peer, peerOf, peerOfCertificate, setPeer } from "./peer.ts"
export {
  isTrustDomain,
  isWorkload,
  type MeshNames,
  spiffeId,
  type Workload,
  workloadDnsName,
} from "./workload_name.ts"
