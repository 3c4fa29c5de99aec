// Figures of the proxy's certificate, under Linkerd's names.
import { type Collect, figure, type Metric, type Registry, SeriesGroup } from "../telemetry/mod.ts"
import type { Identity } from "./identity.ts"

const EXPIRATION: Metric = {
  name: "identity_cert_expiration_timestamp_seconds",
  kind: "gauge",
  help: "End of the certificate's validity, seconds since 1970; 0 before there is one.",
}
const REFRESHES: Metric = {
  name: "identity_cert_refresh_count",
  kind: "counter",
  help: "Certificates received.",
}
const REFRESH_ERRORS: Metric = {
  name: "identity_cert_refresh_errors_total",
  kind: "counter",
  help: "Attempts to get a certificate that failed.",
}

/** Gives the figures. How often there was a certificate is in the registry: the control plane is told of renewals. */
export function identityMetrics(identity: Identity, registry: Registry): Collect {
  const group = registry.group("identity", key => new SeriesGroup(key))
  // It stays, however long nothing is renewed.
  group.running++
  const refreshes = registry.scalar(group, REFRESHES, [])
  identity.onCertified = () => {
    refreshes.value = identity.refreshes
  }
  return () => [
    figure(EXPIRATION, [], Math.floor((identity.lastCertificate?.notAfterMs ?? 0) / 1000)),
    figure(REFRESH_ERRORS, [], identity.refreshErrors),
  ]
}
