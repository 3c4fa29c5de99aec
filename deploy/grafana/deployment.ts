// One Deployment: what it serves and to whom, what it calls and how that goes, and its proxies.
import type { Dashboard } from "./dashboard.ts"
import { latency, perSecond, successRate } from "./figures.ts"

const OWN = 'namespace="$namespace", deployment="$deployment"'
const IN = `direction="inbound", ${OWN}`
const OUT = `direction="outbound", ${OWN}`
const PEER = "dst_namespace, dst_deployment"
const CALLED = `${OUT}, dst_deployment!=""`
const QUANTILES = [0.5, 0.95, 0.99] as const

/** "Conduit / Deployment". */
export const DEPLOYMENT: Dashboard = {
  uid: "conduit-deployment",
  title: "Conduit / Deployment",
  description: "What a Deployment serves, what it calls, and its proxies.",
  variables: [
    {
      name: "namespace",
      label: "Namespace",
      of: 'up{job="conduit-proxy", deployment!=""}',
      values: "namespace",
    },
    {
      name: "deployment",
      label: "Deployment",
      of: 'up{job="conduit-proxy", namespace="$namespace"}',
      values: "deployment",
    },
  ],
  rows: [
    {
      title: "$deployment",
      panels: [
        {
          title: "Success rate",
          kind: "stat",
          unit: "percentunit",
          help: "Share of its responses that were no failure.",
          targets: [{ expr: successRate("response", IN), legend: "success rate" }],
          thresholds: [0.999, 0.99],
        },
        {
          title: "Requests per second",
          kind: "stat",
          unit: "reqps",
          help: "Requests that its pods received.",
          targets: [{ expr: perSecond("request_total", IN), legend: "requests" }],
        },
        {
          title: "Latency, p99",
          kind: "stat",
          unit: "ms",
          help: "Of its responses, as its own proxies see them.",
          targets: [{ expr: latency(0.99, "response", IN), legend: "p99" }],
        },
        {
          title: "Pods",
          kind: "stat",
          unit: "short",
          help: "Its proxies that Prometheus reaches.",
          targets: [{ expr: `sum(up{job="conduit-proxy", ${OWN}})`, legend: "pods" }],
        },
        {
          title: "Callers",
          kind: "stat",
          unit: "short",
          help: "Identities that have called it in the last minutes; `conduit edges` names them.",
          targets: [
            {
              expr: `count(sum by (client_id) (rate(request_total{${IN}, client_id!=""}[$__rate_interval])) > 0)`,
              legend: "callers",
            },
          ],
        },
      ],
    },
    {
      title: "What it serves",
      panels: [
        {
          title: "Success rate",
          kind: "curves",
          unit: "percentunit",
          help: "By pod: one that fails alone is a pod to look at, all of them are a release or something behind.",
          targets: [{ expr: successRate("response", IN, "pod"), legend: "{{pod}}" }],
        },
        {
          title: "Requests per second",
          kind: "curves",
          unit: "reqps",
          help: "By pod: a pod with much less than others is slow, since the balancer asks those that answer soon.",
          targets: [{ expr: perSecond("request_total", IN, "pod"), legend: "{{pod}}" }],
        },
        {
          title: "Latency",
          kind: "curves",
          unit: "ms",
          help: "Percentiles over all of its pods.",
          targets: QUANTILES.map(quantile => ({
            expr: latency(quantile, "response", IN),
            legend: `p${quantile * 100}`,
          })),
        },
        {
          title: "Responses by status",
          kind: "curves",
          unit: "reqps",
          help: "By HTTP status; a gRPC call that failed has status 200 and is found by its gRPC status.",
          targets: [{ expr: perSecond("response_total", IN, "status_code"), legend: "{{status_code}}" }],
        },
        {
          title: "Requests by caller",
          kind: "curves",
          unit: "reqps",
          help: "By the identity that the caller proved; who proved none is not meshed.",
          targets: [
            {
              expr: perSecond("request_total", `${IN}, client_id!=""`, "client_id"),
              legend: "{{client_id}}",
            },
          ],
        },
        {
          title: "Refused by policy",
          kind: "curves",
          unit: "reqps",
          help: "By the identity that was refused; `conduit explain --id ID` names the rule.",
          targets: [
            { expr: perSecond("inbound_http_authz_deny_total", OWN, "client_id"), legend: "{{client_id}}" },
          ],
        },
      ],
    },
    {
      title: "What it calls",
      panels: [
        {
          title: "Success rate",
          kind: "curves",
          unit: "percentunit",
          help: "By the Deployment that is called, as its own proxies see it: connections that failed count.",
          targets: [
            { expr: successRate("response", CALLED, PEER), legend: "{{dst_namespace}}/{{dst_deployment}}" },
          ],
        },
        {
          title: "Requests per second",
          kind: "curves",
          unit: "reqps",
          help: "By the Deployment that is called.",
          targets: [
            {
              expr: perSecond("request_total", CALLED, PEER),
              legend: "{{dst_namespace}}/{{dst_deployment}}",
            },
          ],
        },
        {
          title: "Latency, p95",
          kind: "curves",
          unit: "ms",
          help: "By the Deployment that is called, the network and its proxy included.",
          targets: [
            {
              expr: latency(0.95, "response", CALLED, PEER),
              legend: "{{dst_namespace}}/{{dst_deployment}}",
            },
          ],
        },
        {
          title: "Failures by reason",
          kind: "curves",
          unit: "reqps",
          help: "What its proxies answered or broke off themselves: no-endpoint, connect-failed, timeout, ...",
          targets: [{ expr: perSecond("response_total", `${OUT}, error!=""`, "error"), legend: "{{error}}" }],
        },
      ],
    },
    {
      title: "Bytes and connections",
      panels: [
        {
          title: "Connections open",
          kind: "curves",
          unit: "short",
          help: "Connections that its proxies have accepted.",
          targets: [
            {
              expr: `sum by (direction) (tcp_open_connections{${OWN}, peer="src"})`,
              legend: "{{direction}}",
            },
          ],
        },
        {
          title: "Bytes per second",
          kind: "curves",
          unit: "Bps",
          help: "Read from clients and written to them.",
          targets: [
            {
              expr: perSecond("tcp_read_bytes_total", `${OWN}, peer="src"`, "direction"),
              legend: "{{direction}} read",
            },
            {
              expr: perSecond("tcp_write_bytes_total", `${OWN}, peer="src"`, "direction"),
              legend: "{{direction}} written",
            },
          ],
        },
      ],
    },
    {
      title: "Its proxies",
      panels: [
        {
          title: "CPU",
          kind: "curves",
          unit: "cores",
          help: "Cores used by each proxy.",
          targets: [
            {
              expr: perSecond("process_cpu_seconds_total", `job="conduit-proxy", ${OWN}`, "pod"),
              legend: "{{pod}}",
            },
          ],
        },
        {
          title: "Memory",
          kind: "curves",
          unit: "bytes",
          help: "Of each proxy alone, the shared program left out.",
          targets: [{ expr: `sum by (pod) (process_anonymous_memory_bytes{${OWN}})`, legend: "{{pod}}" }],
        },
        {
          title: "Certificate ends in",
          kind: "curves",
          unit: "s",
          help: "Renewed at 70 % of its life; one that falls below is not renewed: `conduit identity`.",
          targets: [
            {
              expr: `min by (pod) (identity_cert_expiration_timestamp_seconds{job="conduit-proxy", ${OWN}} > 0) - time()`,
              legend: "{{pod}}",
            },
          ],
        },
      ],
    },
  ],
}
