// The routes of a Service: what callers saw beside what was sent, which differ where requests are sent again.
import type { Dashboard } from "./dashboard.ts"
import { latency, perSecond, successRate } from "./figures.ts"

const ROUTE = 'direction="outbound", dst_namespace="$namespace", dst_service="$service", rt_route=~"$route"'
const BY = "rt_route"
const LEGEND = "{{rt_route}}"

/** "Conduit / Route". */
export const ROUTES: Dashboard = {
  uid: "conduit-route",
  title: "Conduit / Route",
  description: "Routes of a Service, as its callers see them: by rule of its HTTPRoutes and GRPCRoutes.",
  variables: [
    {
      name: "namespace",
      label: "Namespace",
      of: 'route_request_total{dst_service!=""}',
      values: "dst_namespace",
    },
    {
      name: "service",
      label: "Service",
      of: 'route_request_total{dst_namespace="$namespace"}',
      values: "dst_service",
    },
    {
      name: "route",
      label: "Route",
      of: 'route_request_total{dst_namespace="$namespace", dst_service="$service"}',
      values: "rt_route",
      several: true,
    },
  ],
  rows: [
    {
      title: "$service",
      panels: [
        {
          title: "Routes",
          kind: "table",
          unit: "short",
          help: "As `conduit routes` shows them.",
          width: 24,
          targets: [
            { expr: successRate("route_response", ROUTE, BY), legend: `success ${LEGEND}` },
            { expr: perSecond("route_request_total", ROUTE, BY), legend: `requests ${LEGEND}` },
            { expr: perSecond("route_actual_request_total", ROUTE, BY), legend: `sent ${LEGEND}` },
            ...[0.5, 0.95, 0.99].map(quantile => ({
              expr: latency(quantile, "route_response", ROUTE, BY),
              legend: `p${quantile * 100} ${LEGEND}`,
            })),
          ],
        },
        {
          title: "Success rate",
          kind: "curves",
          unit: "percentunit",
          help: "What callers saw, after all attempts.",
          targets: [{ expr: successRate("route_response", ROUTE, BY), legend: LEGEND }],
        },
        {
          title: "Requests per second",
          kind: "curves",
          unit: "reqps",
          help: "What callers asked.",
          targets: [{ expr: perSecond("route_request_total", ROUTE, BY), legend: LEGEND }],
        },
        {
          title: "Attempts per request",
          kind: "curves",
          unit: "short",
          help: "1 where nothing is sent again. Above the retry budget of 1.2 there is a Service that mostly fails.",
          targets: [
            {
              expr: `${perSecond("route_actual_request_total", ROUTE, BY)} / (${perSecond("route_request_total", ROUTE, BY)} > 0)`,
              legend: LEGEND,
            },
          ],
        },
        {
          title: "Latency",
          kind: "curves",
          unit: "ms",
          help: "Over all chosen routes, all attempts and pauses between them included.",
          targets: [0.5, 0.95, 0.99].map(quantile => ({
            expr: latency(quantile, "route_response", ROUTE),
            legend: `p${quantile * 100}`,
          })),
        },
        {
          title: "Responses by status",
          kind: "curves",
          unit: "reqps",
          help: "What callers got in the end.",
          targets: [
            { expr: perSecond("route_response_total", ROUTE, "status_code"), legend: "{{status_code}}" },
          ],
        },
        {
          title: "Requests by caller",
          kind: "curves",
          unit: "reqps",
          help: "By the Deployment that calls.",
          targets: [
            {
              expr: perSecond("route_request_total", ROUTE, "namespace, deployment"),
              legend: "{{namespace}}/{{deployment}}",
            },
          ],
        },
      ],
    },
  ],
}
