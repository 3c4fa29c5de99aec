// The sidecar proxy: reads its environment, builds its parts, serves until SIGTERM.
import { readFileSync, writeSync } from "node:fs"
import { ConnectionTracker } from "./accept/mod.ts"
import { AccessLogFile } from "./access_log/mod.ts"
import { serveAdmin } from "./admin/mod.ts"
import { type Config, ConfigError, PROXY_VERSION, readConfig } from "./config.ts"
import { type ControlPlaneOptions, createCalls, createControlPlane } from "./control_plane/mod.ts"
import { Discovery } from "./discovery/mod.ts"
import { serveHttp1 } from "./http1/mod.ts"
import { serveHttp2 } from "./http2/mod.ts"
import { Identity, identityMetrics, MeshTls } from "./identity/mod.ts"
import { createInbound } from "./inbound/mod.ts"
import { Lifecycle } from "./lifecycle.ts"
import { createLogger, type Logger } from "./log.ts"
import { dialThrough, errorCode, loop } from "./net/mod.ts"
import { createOutbound, ownConnection } from "./outbound/mod.ts"
import { PluginAsker } from "./ask/mod.ts"
import { InboundPolicy, OutboundPolicy, PolicyWatch } from "./policy/mod.ts"
import { QuietMemory } from "./quiet_memory.ts"
import { serveTaps } from "./tap/mod.ts"
import {
  controlMetrics,
  type Metric,
  PROMETHEUS_CONTENT_TYPE,
  Registry,
  Reporter,
  SeriesGroup,
  SWEEP_INTERVAL_MS,
  Telemetry,
} from "./telemetry/mod.ts"
import { createTracing } from "./tracing/mod.ts"

/** Service account of the control plane's tap service, the only one that may see requests. */
const TAP_SERVICE = "conduit-tap"

/** How often bytes of open connections are brought into the metrics. */
const COLLECT_INTERVAL_MS = 1_000

/** How long the last report may take to leave. */
const LAST_REPORT_MS = 200

const ERRORS: Metric = {
  name: "proxy_errors_total",
  kind: "counter",
  help: "Errors inside the proxy that were caught; each is in the log with its context.",
}

/** Builds the parts and serves. Throws only where listening fails. */
function run(config: Config, log: Logger): void {
  const startedAtMs = Date.now()
  const { clock, timers } = loop
  const random = Math.random
  const registry = new Registry()
  const telemetry = new Telemetry(clock, registry, { version: PROXY_VERSION, startedAtMs })
  countErrors(registry, log)

  const control = { clock, timers, log, version: PROXY_VERSION, random }
  const mesh = config.identityAddress === "" ? null : createMesh(config, log, registry)
  const openLink = createControlPlane({
    ...control,
    ...(mesh === null
      ? {}
      : {
          dial: (address, port, handler, connectTimeoutMs, serviceAccount) =>
            dialThrough(address, port, handler, mesh.controlGate(serviceAccount, connectTimeoutMs, false)),
        }),
  })
  const discovery = new Discovery({
    openLink,
    address: config.destinationAddress,
    clock,
    timers,
    log,
    random,
    identity: { namespace: config.namespace, pod: config.pod, node: config.node, version: PROXY_VERSION },
    probePort: config.adminPort,
  })
  const policyWatch = new PolicyWatch({
    openLink,
    address: config.policyAddress,
    timers,
    log,
    namespace: config.namespace,
    pod: config.pod,
    defaultPolicy: config.defaultInboundPolicy,
    trustDomain: config.trustDomain,
  })
  const asker = new PluginAsker({
    ...{ openLink, address: config.policyAddress, clock, timers, log },
    ...{ namespace: config.namespace, pod: config.pod },
  })
  const { refusals } = telemetry
  const policy = new InboundPolicy({ watch: policyWatch, registry, clock, log, refusals, asker })
  policy.observer = telemetry.access
  const reporter = new Reporter({
    openLink,
    address: config.telemetryAddress,
    timers,
    random,
    registries: [registry, telemetry.access.registry],
    info: {
      namespace: config.namespace,
      pod: config.pod,
      workloadKind: config.workloadKind,
      workload: config.workload,
      version: PROXY_VERSION,
      startedAtMs,
    },
  })
  telemetry.addCollector(controlMetrics("destination", config.destinationAddress, discovery.link))
  if (policyWatch.link !== null) {
    telemetry.addCollector(controlMetrics("policy", config.policyAddress, policyWatch.link))
  }
  telemetry.addCollector(controlMetrics("telemetry", config.telemetryAddress, reporter.link))

  const tracker = new ConnectionTracker(telemetry)
  if (mesh !== null) {
    const { identity } = mesh
    telemetry.addCollector(controlMetrics("identity", config.identityAddress, identity.link))
    telemetry.addCollector(identityMetrics(identity))
    telemetry.http.tlsOf = info => mesh.tlsOf(info)
    mesh.onFallback = fallsBack => {
      if (fallsBack) log.warn("no certificate yet: meshed peers are called in plaintext until there is one")
      else tracker.outdateBare()
    }
  }
  const { accessLog: format } = config
  const accessLog = format === "off" ? null : new AccessLogFile({ format, registry, log })
  const tracing = createTracing({
    config,
    registry,
    log,
    connect: (address, port, handler) => ownConnection(discovery, outbound, address, port, handler),
  })
  const ipv6 = hasIpv6()
  const shared = {
    ownPorts: [config.outboundPort, config.inboundPort, config.adminPort, config.tapPort],
    discovery,
    engines: { http1: serveHttp1, http2: serveHttp2 },
    env: { clock, timers, log },
    telemetry,
    tracker,
    opaquePorts: config.opaquePorts,
    accessLog,
    tracer: tracing === null ? null : tracing.tracer,
    mesh,
    random,
  }
  const outbound = createOutbound({
    ...shared,
    env: { ...shared.env, onUnreached: () => discovery.link.hurry() },
    listenAddresses: ipv6 ? ["127.0.0.1", "::1"] : ["127.0.0.1"],
    port: config.outboundPort,
    podIps: config.podIps,
    egress: new OutboundPolicy({ watch: policyWatch, registry, clock, log, refusals: telemetry.refusals }),
  })
  const inbound = createInbound({
    ...shared,
    listenAddresses: ipv6 ? ["::"] : ["0.0.0.0"],
    port: config.inboundPort,
    policy,
  })
  policyWatch.onChange(() => {
    asker.want(policyWatch.current.asks)
    inbound.reexamine()
    outbound.reexamine()
  })
  // Asks for a collection when the loop has nothing to do, and gives the pages back; `Bun.gc` alone keeps half of them.
  const quietMemory = new QuietMemory(() => Bun.shrink())
  const collect = setInterval(() => {
    tracker.collect()
    quietMemory.tick(tracker.churnedBytes)
  }, COLLECT_INTERVAL_MS)
  const sweep = setInterval(() => telemetry.sweep(), SWEEP_INTERVAL_MS)

  const lifecycle = new Lifecycle({
    clock,
    timers,
    log,
    graceMs: config.shutdownGraceMs,
    openConnections: () => inbound.connections + outbound.connections,
    outboundUsedMs: () => outbound.usedMs,
    drain: () => inbound.drain(),
    closeIdle: () => inbound.closeIdle(),
    exit() {
      clearInterval(collect)
      clearInterval(sweep)
      tracker.collect()
      reporter.finish()
      accessLog?.flush()
      tracing?.flush()
      setTimeout(() => process.exit(0), LAST_REPORT_MS)
    },
  })
  process.on("SIGTERM", () => lifecycle.terminate("SIGTERM"))
  process.on("SIGINT", () => lifecycle.terminate("SIGINT"))

  serveAdmin({
    address: ipv6 ? "::" : "0.0.0.0",
    port: config.adminPort,
    timers,
    log,
    metricsContentType: PROMETHEUS_CONTENT_TYPE,
    metrics() {
      tracker.collect()
      return telemetry.text()
    },
    unreadyReasons() {
      const reasons: string[] = []
      if (lifecycle.draining) reasons.push("the proxy is shutting down")
      if (!discovery.answered) {
        reasons.push(`no answer yet from the destination service at ${config.destinationAddress}`)
      }
      if (!policyWatch.answered) {
        reasons.push(`no answer yet from the policy service at ${config.policyAddress}`)
      }
      if (mesh !== null && mesh.identity.credentials === null) {
        reasons.push(`no certificate from the identity service at ${config.identityAddress}`)
      }
      return reasons
    },
    identity: () => mesh?.identity.describe() ?? null,
    refusals: id => telemetry.refusals.json(id),
    discovery: () => discovery.describe(),
    shutdown: () => lifecycle.terminate("POST /shutdown"),
  })
  if (mesh !== null)
    serveTaps({
      address: ipv6 ? "::" : "0.0.0.0",
      port: config.tapPort,
      taps: telemetry.taps,
      clock,
      timers,
      terms: () => mesh.acceptControl(TAP_SERVICE),
    })
  outbound.listen()
  inbound.listen()
  mesh?.identity.start()
  discovery.start()
  policyWatch.start()
  reporter.start()
  log.info("serving", {
    version: PROXY_VERSION,
    pod: `${config.namespace}/${config.pod}`,
    outbound: config.outboundPort,
    inbound: config.inboundPort,
    admin: config.adminPort,
  })
}

/** Identity and mutual TLS by it. */
function createMesh(config: Config, log: Logger, registry: Registry): MeshTls {
  const { clock, timers } = loop
  const random = Math.random
  const wallClock = Date.now
  const control: ControlPlaneOptions = {
    clock,
    timers,
    log,
    version: PROXY_VERSION,
    random,
    // Before the first certificate there is none to show, and the token says more than an old one.
    dial: (address, port, handler, connectTimeoutMs, serviceAccount) =>
      dialThrough(address, port, handler, mesh.controlGate(serviceAccount, connectTimeoutMs, true)),
  }
  const identity = new Identity({
    address: config.identityAddress,
    domain: config,
    namespace: config.namespace,
    serviceAccount: config.serviceAccount,
    trustAnchors: config.trustAnchors,
    tokenFile: config.tokenFile,
    call: createCalls(control),
    openLink: createControlPlane(control),
    timers,
    log,
    random,
    wallClock,
  })
  const mesh = new MeshTls({
    identity,
    required: config.outboundMtls === "required",
    registry,
    clock,
    log,
    wallClock,
  })
  return mesh
}

/** Errors nobody caught are logged and counted; the proxy lives on, since its connections depend on it. */
function countErrors(registry: Registry, log: Logger): void {
  const group = registry.group("own errors", key => new SeriesGroup(key))
  group.running = 1
  const errors = registry.scalar(group, ERRORS, [])
  const caught = (where: string, error: unknown) => {
    errors.value++
    log.error(`error inside the proxy: ${where}`, {
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    })
  }
  loop.onHandlerError = caught
  process.on("uncaughtException", error => caught("uncaught", error))
  process.on("unhandledRejection", error => caught("unhandled rejection", error))
}

function hasIpv6(): boolean {
  try {
    return readFileSync("/proc/net/if_inet6", "latin1") !== ""
  } catch {
    return false
  }
}

/** Says why the proxy does not start. */
function complain(sentence: string): void {
  writeSync(2, sentence)
}

function main(): void {
  let config: Config
  try {
    config = readConfig(process.env)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    complain(`conduit-proxy: ${error.message}\n`)
    process.exit(2)
  }
  const log = createLogger({ level: config.logLevel, format: config.logFormat })
  try {
    run(config, log)
  } catch (error) {
    const code = errorCode(error)
    const ports = `${config.outboundPort}, ${config.inboundPort} and ${config.adminPort}`
    complain(
      code === "EADDRINUSE"
        ? `conduit-proxy: a port is taken: the proxy needs ${ports}; does another proxy run in this pod?\n`
        : `conduit-proxy: could not start: ${error instanceof Error ? error.message : code}\n`,
    )
    process.exit(1)
  }
}

main()
