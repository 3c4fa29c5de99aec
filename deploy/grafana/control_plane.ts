// Whether the control plane is well, as it says itself and as proxies see it.
import type { Dashboard } from "./dashboard.ts"
import { perSecond, sumBy } from "./figures.ts"

const CONTROL = 'job="conduit-controller"'
const WEBHOOK = "the webhook serves API servers, and a local mesh has none"

/** "Conduit / Control plane". */
export const CONTROL_PLANE: Dashboard = {
  uid: "conduit-control-plane",
  title: "Conduit / Control plane",
  description:
    "Health of the control plane. Proxies serve on without it; what changes meanwhile does not reach them.",
  variables: [],
  rows: [
    {
      title: "Is it there",
      panels: [
        {
          title: "Processes",
          kind: "stat",
          unit: "short",
          help: "Processes that Prometheus reaches, by component.",
          width: 8,
          targets: [{ expr: `sum by (component) (up{${CONTROL}})`, legend: "{{component}}" }],
        },
        {
          title: "Versions",
          kind: "stat",
          unit: "short",
          help: "Processes by version; more than one while an upgrade is under way.",
          targets: [{ expr: `count by (version) (conduit_build_info{${CONTROL}})`, legend: "{{version}}" }],
        },
        {
          title: "Proxies by version",
          kind: "stat",
          unit: "short",
          help: "A pod gets the new proxy when it is made anew: `conduit check --proxy`.",
          targets: [
            { expr: 'count by (version) (conduit_build_info{job="conduit-proxy"})', legend: "{{version}}" },
          ],
        },
        {
          title: "Cluster read",
          kind: "stat",
          unit: "short",
          help: "1 once all kinds of objects are known.",
          targets: [{ expr: "min(cluster_synced)", legend: "read" }],
          thresholds: [1, 0.5],
        },
        {
          title: "Problems",
          kind: "stat",
          unit: "short",
          help: "Objects that cannot be used: `conduit check` names them.",
          targets: [
            {
              expr: "max(cluster_problems) + max(destination_route_problems) + max(policy_problems)",
              legend: "problems",
            },
          ],
          thresholds: [1, 10],
        },
        {
          title: "Streams of proxies",
          kind: "curves",
          unit: "short",
          help: "Streams up, as proxies see them, by service: as many as there are proxies, while all is well.",
          targets: [{ expr: "sum by (svc) (control_connected)", legend: "{{svc}}" }],
        },
        {
          title: "Failed attempts of proxies",
          kind: "curves",
          unit: "ops",
          help: "Streams that broke or did not open, by service.",
          targets: [
            {
              expr: perSecond("control_response_total", 'classification="failure"', "svc"),
              legend: "{{svc}}",
            },
          ],
        },
        {
          title: "Restarts, last hour",
          kind: "curves",
          unit: "short",
          help: "By component.",
          targets: [
            {
              expr: `sum by (component) (changes(process_start_time_seconds{${CONTROL}}[1h]))`,
              legend: "{{component}}",
            },
          ],
        },
      ],
    },
    {
      title: "What it tells proxies",
      panels: [
        {
          title: "Destination: streams, watches, targets",
          kind: "curves",
          unit: "short",
          help: "Proxies connected, what they watch, and how many different things that is.",
          targets: [
            { expr: "sum(destination_streams)", legend: "streams" },
            { expr: "sum(destination_watches)", legend: "watches" },
            { expr: "sum(destination_targets)", legend: "targets" },
          ],
        },
        {
          title: "Updates per second",
          kind: "curves",
          unit: "ops",
          help: "Messages to proxies.",
          targets: [
            { expr: perSecond("destination_updates_total", ""), legend: "destination" },
            { expr: perSecond("policy_updates_total", ""), legend: "policy" },
          ],
        },
        {
          title: "Streams cut or refused",
          kind: "curves",
          unit: "ops",
          help: "Cut: a proxy did not read. Refused: a caller without the identity of the pod that it says it is.",
          targets: [
            { expr: perSecond("destination_dropped_total", ""), legend: "destination, cut" },
            { expr: perSecond("destination_refused_total", ""), legend: "destination, refused" },
            { expr: perSecond("policy_dropped_total", ""), legend: "policy, cut" },
            { expr: perSecond("policy_refused_total", ""), legend: "policy, refused" },
          ],
        },
        {
          title: "Policy: streams and pods",
          kind: "curves",
          unit: "short",
          help: "Proxies connected, and pods whose policies they follow.",
          targets: [
            { expr: "sum(policy_streams)", legend: "streams" },
            { expr: "sum(policy_pods)", legend: "pods" },
          ],
        },
        {
          title: "Objects of the cluster",
          kind: "curves",
          unit: "short",
          help: "Objects kept, by component.",
          targets: [{ expr: "sum by (component) (cluster_objects)", legend: "{{component}}" }],
        },
        {
          title: "Telemetry: proxies that report",
          kind: "curves",
          unit: "short",
          help: "Proxies kept. Those refused as too many are counted beside.",
          targets: [
            { expr: "sum(telemetry_reporters)", legend: "proxies" },
            { expr: "sum(telemetry_refused_reporters_total)", legend: "refused" },
          ],
        },
      ],
    },
    {
      title: "Identity",
      panels: [
        {
          title: "Certificates per second",
          kind: "curves",
          unit: "ops",
          help: "Signed, and refused by reason.",
          targets: [
            { expr: perSecond("identity_issued_total", ""), legend: "signed" },
            { expr: perSecond("identity_refused_total", "", "reason"), legend: "refused: {{reason}}" },
          ],
        },
        {
          title: "Trust anchor ends in",
          kind: "stat",
          unit: "s",
          help: "The one that ends first. Without it no certificate is believed: rotate it in time.",
          targets: [
            {
              expr: "min(identity_trust_anchor_expiration_timestamp_seconds > 0) - time()",
              legend: "trust anchor",
            },
          ],
          thresholds: [2_592_000, 604_800],
        },
        {
          title: "Issuer ends in",
          kind: "stat",
          unit: "s",
          help: "Certificates of proxies end no later than it.",
          targets: [
            { expr: "min(identity_issuer_expiration_timestamp_seconds > 0) - time()", legend: "issuer" },
          ],
          thresholds: [604_800, 172_800],
        },
        {
          title: "First certificate of a proxy ends in",
          kind: "stat",
          unit: "s",
          help: "Of all proxies; renewed at 70 % of their life.",
          targets: [
            {
              expr: 'min(identity_cert_expiration_timestamp_seconds{job="conduit-proxy"} > 0) - time()',
              legend: "certificate",
            },
          ],
          thresholds: [14_400, 3_600],
        },
      ],
    },
    {
      title: "API and webhook",
      panels: [
        {
          title: "Calls per second",
          kind: "curves",
          unit: "reqps",
          help: "Of the public API, by method.",
          targets: [
            { expr: perSecond("grpc_server_started_total", "", "grpc_method"), legend: "{{grpc_method}}" },
          ],
        },
        {
          title: "Calls by code",
          kind: "curves",
          unit: "reqps",
          help: "What is not OK is a mistake of the caller (InvalidArgument, NotFound) or a fault (Internal, Unavailable).",
          targets: [
            { expr: perSecond("grpc_server_handled_total", "", "grpc_code"), legend: "{{grpc_code}}" },
          ],
        },
        {
          title: "Time of calls, p99",
          kind: "curves",
          unit: "s",
          help: "By method; streams until their end.",
          targets: [
            {
              expr: `histogram_quantile(0.99, ${perSecond("grpc_server_handling_seconds_bucket", "", "grpc_method, le")}) >= 0`,
              legend: "{{grpc_method}}",
            },
          ],
        },
        {
          title: "Reviews of the injector",
          kind: "curves",
          unit: "ops",
          help: "By what became of the pod.",
          targets: [{ expr: perSecond("injector_reviews_total", "", "outcome"), legend: "{{outcome}}" }],
          onlyOnKubernetes: WEBHOOK,
        },
        {
          title: "Webhook's certificate ends in",
          kind: "stat",
          unit: "s",
          help: "Renewed by itself; past its end pods are made without a proxy.",
          targets: [
            { expr: "min(injector_cert_expiration_timestamp_seconds > 0) - time()", legend: "certificate" },
          ],
          onlyOnKubernetes: WEBHOOK,
        },
      ],
    },
    {
      title: "Processes",
      panels: [
        {
          title: "CPU",
          kind: "curves",
          unit: "cores",
          help: "Cores used, by component.",
          targets: [
            { expr: perSecond("process_cpu_seconds_total", CONTROL, "component"), legend: "{{component}}" },
          ],
        },
        {
          title: "Memory",
          kind: "curves",
          unit: "bytes",
          help: "Resident, by component.",
          targets: [
            {
              expr: sumBy("component", `process_resident_memory_bytes{${CONTROL}}`),
              legend: "{{component}}",
            },
          ],
        },
        {
          title: "Event loop late by",
          kind: "curves",
          unit: "s",
          help: "The longest that anything waited for its turn in half a minute. Above a second, give it CPU.",
          targets: [
            {
              expr: `max by (component) (process_event_loop_lag_seconds{${CONTROL}})`,
              legend: "{{component}}",
            },
          ],
        },
        {
          title: "File descriptors used",
          kind: "curves",
          unit: "percentunit",
          help: "Of those that the process may have; each proxy takes one.",
          targets: [
            {
              expr: `max by (component) (process_open_fds{${CONTROL}} / process_max_fds{${CONTROL}})`,
              legend: "{{component}}",
            },
          ],
        },
      ],
    },
  ],
}
