// The objects around a policy case: the target, its clients, and the case's policies, as one manifest.
import type { PolicyCase } from "./cases.ts"

/** Addresses of the clients. */
export interface ClientAddresses {
  readonly web4: string
  readonly web6: string
  readonly other4: string
}

function workload(name: string, account: string, ip: string, pod: string, annotations = "{}"): string {
  return `
apiVersion: apps/v1
kind: Deployment
metadata: { name: ${name}, namespace: lab }
spec: { template: {} }
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: { name: ${name}-1, namespace: lab, ownerReferences: [{ kind: Deployment, name: ${name}, controller: true }] }
spec: { template: {} }
---
apiVersion: v1
kind: Pod
metadata:
  name: ${name}
  namespace: lab
  annotations: ${annotations}
  ownerReferences: [{ kind: ReplicaSet, name: ${name}-1, controller: true }]
spec:
  serviceAccountName: ${account}
  containers: [${pod}]
status: { podIP: ${ip} }
`
}

const PORTS =
  "[{ name: http, containerPort: 8081 }, { name: grpc, containerPort: 8080 }, { name: raw, containerPort: 7000 }]"
const PROBES =
  "readinessProbe: { httpGet: { path: /healthz, port: http } }, livenessProbe: { grpc: { port: 8080 } }"
const SERVER = `{ name: app, ports: ${PORTS}, ${PROBES} }`

/**
 * The manifest of a case. `web` and `other` run as one service account.
 *
 * @param marker  makes this state differ from the one before, also where the policies are the same
 */
export function worldOf(one: PolicyCase, addresses: ClientAddresses, marker: number): string {
  const annotations =
    one.byDefault === undefined ? "{}" : `{ config.conduit.io/default-inbound-policy: ${one.byDefault} }`
  const nobody = "rules: [{ from: [{ networks: [192.0.2.1/32] }] }]"
  const policies = [
    ...one.policies,
    `{ target: { kind: Deployment, name: api, ports: [${marker + 1}] }, action: Audit, ${nobody} }`,
  ]
  return [
    workload("api", "api", "10.250.0.1", SERVER, annotations),
    workload("web", "web", addresses.web4, "{ name: app }"),
    workload("other", "web", addresses.other4, "{ name: app }"),
    ...policies.map(
      (spec, index) => `
apiVersion: policy.conduit.io/v1alpha1
kind: AuthorizationPolicy
metadata: { name: p${index}, namespace: lab }
spec: ${spec
        .replaceAll("$WEB4", addresses.web4)
        .replaceAll("$WEB6", addresses.web6)
        .replaceAll("$OTHER4", addresses.other4)}
`,
    ),
  ].join("---")
}
