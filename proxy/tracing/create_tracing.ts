// Puts tracing together: who decides, who encodes, who sends. Made only where a collector is set.
import { type Config, PROXY_VERSION } from "../config.ts"
import { resolveName } from "../control_plane/mod.ts"
import type { Tracer } from "../http/mod.ts"
import type { Logger } from "../log.ts"
import type { Registry } from "../telemetry/mod.ts"
import { type Connect, createPost } from "./otlp_post.ts"
import type { Attribute } from "./span.ts"
import { SpanExporter } from "./span_exporter.ts"
import { Tracing } from "./tracing.ts"

/** What tracing needs of the process. */
export interface TracingParts {
  readonly config: Config
  readonly registry: Registry
  readonly log: Logger
  /** Connects to the collector. */
  readonly connect: Connect
}

/** Tracing at work. */
export interface WorkingTracing {
  readonly tracer: Tracer
  /** Begins to export what waits: the process is about to end. */
  flush(): void
}

/** Null where no collector is set. */
export function createTracing({ config, registry, log, connect }: TracingParts): WorkingTracing | null {
  if (config.traceCollector === "") return null
  const exporter = new SpanExporter({
    post: createPost({
      address: config.traceCollector,
      userAgent: `conduit-proxy/${PROXY_VERSION}`,
      resolve: resolveName,
      connect,
    }),
    source: { resource: resourceOf(config), version: PROXY_VERSION },
    registry,
    log,
  })
  const tracer = new Tracing({ sampling: config.traceSampling, export: span => exporter.add(span) })
  return { tracer, flush: () => exporter.flush() }
}

/** The workload as OpenTelemetry's resource conventions name it. */
function resourceOf(config: Config): Attribute[] {
  const { namespace, pod, node, workload, workloadKind } = config
  const list: Attribute[] = [
    ["service.name", workload || pod],
    ["service.namespace", namespace],
    ["service.instance.id", `${namespace}/${pod}`],
    ["k8s.namespace.name", namespace],
    ["k8s.pod.name", pod],
    ["k8s.container.name", "conduit-proxy"],
  ]
  if (workload !== "" && workloadKind !== "") list.push([`k8s.${workloadKind}.name`, workload])
  if (node !== "") list.push(["k8s.node.name", node])
  return list
}
