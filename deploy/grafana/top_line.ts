// The whole mesh on one page: where to look first.
import type { Dashboard } from "./dashboard.ts"
import { latency, perSecond, successRate } from "./figures.ts"

const IN = 'direction="inbound"'
const WORKLOAD = "namespace, deployment"

/** "Conduit / Top line". */
export const TOP_LINE: Dashboard = {
  uid: "conduit-top-line",
  title: "Conduit / Top line",
  description: "Success rate, requests per second and latency of everything in the mesh.",
  variables: [],
  rows: [
    {
      title: "All of the mesh",
      panels: [
        {
          title: "Success rate",
          kind: "stat",
          unit: "percentunit",
          help: "Share of responses that were no failure (5xx, or a gRPC status that is the server's fault).",
          targets: [{ expr: successRate("response", IN), legend: "success rate" }],
          thresholds: [0.999, 0.99],
        },
        {
          title: "Requests per second",
          kind: "stat",
          unit: "reqps",
          help: "Requests that reached a meshed pod.",
          targets: [{ expr: perSecond("request_total", IN), legend: "requests" }],
        },
        {
          title: "Latency, p99",
          kind: "stat",
          unit: "ms",
          help: "From the request's head to the end of the response, at the pod that serves.",
          targets: [{ expr: latency(0.99, "response", IN), legend: "p99" }],
        },
        {
          title: "Secured",
          kind: "stat",
          unit: "percentunit",
          help: "Share of requests that came in mutual TLS. The rest comes from outside of the mesh.",
          targets: [
            {
              expr: `(${perSecond("request_total", `${IN}, tls="true"`)} or vector(0)) / ${perSecond("request_total", IN)}`,
              legend: "in mutual TLS",
            },
          ],
        },
        {
          title: "Meshed pods",
          kind: "stat",
          unit: "short",
          help: "Proxies that Prometheus reaches.",
          targets: [{ expr: 'sum(up{job="conduit-proxy"})', legend: "pods" }],
        },
        {
          title: "Deployments",
          kind: "stat",
          unit: "short",
          help: "Deployments with a proxy that Prometheus reaches.",
          targets: [
            {
              expr: `count(count by (${WORKLOAD}) (up{job="conduit-proxy", deployment!=""} == 1))`,
              legend: "deployments",
            },
          ],
        },
      ],
    },
    {
      title: "By namespace",
      panels: [
        {
          title: "Success rate",
          kind: "curves",
          unit: "percentunit",
          help: "Of what the namespace's pods serve.",
          targets: [{ expr: successRate("response", IN, "namespace"), legend: "{{namespace}}" }],
        },
        {
          title: "Requests per second",
          kind: "curves",
          unit: "reqps",
          help: "Of what the namespace's pods serve.",
          targets: [{ expr: perSecond("request_total", IN, "namespace"), legend: "{{namespace}}" }],
        },
        {
          title: "Latency, p95",
          kind: "curves",
          unit: "ms",
          help: "Of what the namespace's pods serve.",
          targets: [{ expr: latency(0.95, "response", IN, "namespace"), legend: "{{namespace}}" }],
        },
      ],
    },
    {
      title: "By Deployment",
      panels: [
        {
          title: "Deployments",
          kind: "table",
          unit: "short",
          help: "As `conduit stat deploy -A` shows them. The dashboard of one is a click away, above.",
          width: 24,
          targets: [
            {
              expr: successRate("response", `${IN}, deployment!=""`, WORKLOAD),
              legend: "success {{namespace}} {{deployment}}",
            },
            {
              expr: perSecond("request_total", `${IN}, deployment!=""`, WORKLOAD),
              legend: "requests {{namespace}} {{deployment}}",
            },
            ...[0.5, 0.95, 0.99].map(quantile => ({
              expr: latency(quantile, "response", `${IN}, deployment!=""`, WORKLOAD),
              legend: `p${quantile * 100} {{namespace}} {{deployment}}`,
            })),
          ],
        },
        {
          title: "Lowest success rates",
          kind: "curves",
          unit: "percentunit",
          help: "The five Deployments that fail most.",
          targets: [
            {
              expr: `bottomk(5, ${successRate("response", `${IN}, deployment!=""`, WORKLOAD)})`,
              legend: "{{namespace}}/{{deployment}}",
            },
          ],
        },
        {
          title: "Connections that are not HTTP",
          kind: "curves",
          unit: "short",
          help: "Open connections to pods, HTTP's among them.",
          targets: [
            {
              expr: `sum by (${WORKLOAD}) (tcp_open_connections{${IN}, peer="src"})`,
              legend: "{{namespace}}/{{deployment}}",
            },
          ],
        },
        {
          title: "Refused by policy",
          kind: "curves",
          unit: "reqps",
          help: "Requests and connections that an AuthorizationPolicy or the default refused; `conduit policy list`.",
          targets: [
            {
              expr: `sum by (${WORKLOAD}) (rate({__name__=~"inbound_(http|tcp)_authz_deny_total"}[$__rate_interval]))`,
              legend: "{{namespace}}/{{deployment}}",
            },
          ],
        },
      ],
    },
  ],
}
