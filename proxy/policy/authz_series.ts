// How decisions are counted: names and labels as Linkerd's, found once per connection and verdict.
import type { Verdict } from "../../protos/authorization/mod.ts"
import type { Client } from "../accept/mod.ts"
import {
  compact,
  type Labels,
  type Metric,
  type Registry,
  type Scalar,
  SeriesGroup,
} from "../telemetry/mod.ts"

const HTTP = {
  allow: metric("inbound_http_authz_allow_total", "Requests that policy let through."),
  deny: metric("inbound_http_authz_deny_total", "Requests that policy refused."),
  audit: metric("inbound_http_authz_audit_total", "Requests that a policy with action Audit matched."),
}

const TCP = {
  allow: metric("inbound_tcp_authz_allow_total", "Connections that policy let through, HTTP aside."),
  deny: metric("inbound_tcp_authz_deny_total", "Connections that policy refused or ended, HTTP aside."),
  audit: metric(
    "inbound_tcp_authz_audit_total",
    "Connections that a policy with action Audit matched, HTTP aside.",
  ),
}

function metric(name: string, help: string): Metric {
  return { name, kind: "counter", help }
}

/** The series of one verdict for one client and port. */
export class AuthzSeries extends SeriesGroup {
  private readonly total: Scalar
  private readonly audit: Scalar | null

  constructor(
    key: string,
    total: (group: SeriesGroup) => Scalar,
    audit: (group: SeriesGroup) => Scalar | null,
  ) {
    super(key)
    this.total = total(this)
    this.audit = audit(this)
  }

  /** Counts one more. */
  count(): void {
    this.total.value++
    if (this.audit !== null) this.audit.value++
  }
}

/** Finds and makes the series. */
export class AuthzMetrics {
  private readonly registry: Registry

  constructor(registry: Registry) {
    this.registry = registry
  }

  /** Series of a verdict. @param target  address and port, as labels write them */
  of(isHttp: boolean, client: Client, target: string, port: number, verdict: Verdict): AuthzSeries {
    const { registry } = this
    const { allow, deny, audit } = isHttp ? HTTP : TCP
    const call: Labels = [
      ["target_addr", target],
      ["target_port", String(port)],
      ["tls", client.tls],
      ["client_id", client.dnsName],
    ]
    const total = verdict.allowed ? allow : deny
    const labels = compact([...call, ...verdictLabels(verdict)])
    const audited = verdict.audit
    const key = `authz ${total.name} ${JSON.stringify(labels)} ${audited === null ? "" : `${audited.namespace}/${audited.name}`}`
    if (!registry.full || registry.has(key)) {
      return registry.group(
        key,
        newKey =>
          new AuthzSeries(
            newKey,
            group => registry.scalar(group, total, labels),
            group =>
              audited === null
                ? null
                : registry.scalar(
                    group,
                    audit,
                    compact([...call, ...policyLabels(audited.namespace, audited.name)]),
                  ),
          ),
      )
    }
    return registry.group(
      `authz overflow ${total.name} ${audited !== null}`,
      newKey =>
        new AuthzSeries(
          newKey,
          group => registry.scalar(group, total, [["client_id", "other"]]),
          group => (audited === null ? null : registry.scalar(group, audit, [["client_id", "other"]])),
        ),
    )
  }
}

function verdictLabels({ cause, namespace, name }: Verdict): Labels {
  if (namespace !== "") return policyLabels(namespace, name)
  return [
    ["authz_kind", "default"],
    ["authz_name", name === "" ? cause : name],
  ]
}

/** @param namespace  empty for a default policy */
function policyLabels(namespace: string, name: string): Labels {
  return namespace === ""
    ? [
        ["authz_kind", "default"],
        ["authz_name", name],
      ]
    : [
        ["authz_group", "policy.conduit.io"],
        ["authz_kind", "authorizationpolicy"],
        ["authz_namespace", namespace],
        ["authz_name", name],
      ]
}
