// The proxy's discovery and reporter against the real control plane as a process of its own: answers, changes, and
// a control plane that is killed and comes back. Needs no root: all on 127.0.0.1.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { renameSync, rmSync, unlinkSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import { createClient } from "@connectrpc/connect"
import { createGrpcTransport } from "@connectrpc/connect-node"
import { telemetryQueryV1 } from "../../protos/mod.ts"
import { Endpoint, SingleEndpoint, UNKNOWN_ENDPOINT } from "../../proxy/balance/mod.ts"
import { createControlPlane } from "../../proxy/control_plane/mod.ts"
import { Discovery } from "../../proxy/discovery/mod.ts"
import { Admission, createHttpService, OUTCOME_COMPLETE } from "../../proxy/http/mod.ts"
import { createLogger } from "../../proxy/log.ts"
import { loop } from "../../proxy/net/mod.ts"
import { OUTBOUND, Reporter, Telemetry } from "../../proxy/telemetry/mod.ts"
import { tempFolder } from "../lab/temp_folder.ts"

const ROOT = join(import.meta.dir, "../..")
const DEADLINE_MS = 10_000

const folder = tempFolder("control-link")
let destinationPort = 0
let telemetryPort = 0
let control: Bun.Subprocess | null = null

/** A port that was free a moment ago: a control plane that comes back must come back on the same one. */
function freePort(): Promise<number> {
  return new Promise(resolve => {
    const server = createServer()
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })
}

function startControl(): void {
  control = Bun.spawn(
    [
      process.execPath,
      join(ROOT, "control/main.ts"),
      "all",
      "--manifests",
      folder,
      "--listen-host",
      "127.0.0.1",
    ],
    {
      env: {
        ...process.env,
        CONDUIT_DESTINATION_PORT: String(destinationPort),
        CONDUIT_TELEMETRY_PORT: String(telemetryPort),
        CONDUIT_API_PORT: "0",
        CONDUIT_ADMIN_PORT: "0",
      },
      stdout: "ignore",
      stderr: "ignore",
    },
  )
}

async function killControl(): Promise<void> {
  control?.kill("SIGKILL")
  await control?.exited
  control = null
}

function put(name: string, object: unknown): void {
  writeFileSync(join(folder, `.${name}`), JSON.stringify(object))
  renameSync(join(folder, `.${name}`), join(folder, `${name}.json`))
}

function putPod(host: number): void {
  put(`pod-${host}`, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: `web-${host}`,
      namespace: "shop",
      labels: { app: "web", "conduit.io/control-plane-ns": "conduit" },
    },
    spec: { nodeName: "n1", containers: [{ name: "app" }, { name: "conduit-proxy" }] },
    status: {
      podIP: `10.0.0.${host}`,
      podIPs: [{ ip: `10.0.0.${host}` }],
      phase: "Running",
      conditions: [{ type: "Ready", status: "True" }],
    },
  })
}

async function until(what: string, isTrue: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS
  while (!(await isTrue())) {
    if (performance.now() > deadline) throw new Error(`waited ${DEADLINE_MS} ms in vain for ${what}`)
    await Bun.sleep(20)
  }
}

function parts() {
  const { clock, timers } = loop
  const log = createLogger({ level: "error" })
  const openLink = createControlPlane({ clock, timers, log, version: "test" })
  return { clock, timers, log, openLink }
}

beforeAll(async () => {
  destinationPort = await freePort()
  telemetryPort = await freePort()
  put("service", {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "web", namespace: "shop" },
    spec: {
      clusterIP: "10.96.0.10",
      clusterIPs: ["10.96.0.10"],
      selector: { app: "web" },
      ports: [{ port: 80, protocol: "TCP", targetPort: 8080 }],
    },
  })
  putPod(1)
  putPod(2)
  startControl()
})

afterAll(async () => {
  await killControl()
  rmSync(folder, { recursive: true, force: true })
})

test("a proxy learns of services, pods and changes, and forgets nothing while the control plane is dead", async () => {
  const { clock, timers, log, openLink } = parts()
  const discovery = new Discovery({
    openLink,
    address: `localhost:${destinationPort}`,
    clock,
    timers,
    log,
    identity: { namespace: "shop", pod: "cart-1", node: "n1", version: "test" },
    probePort: 4143,
  })
  discovery.start()
  try {
    const web = discovery.lookup("10.96.0.10", 80)
    const pod = discovery.lookup("10.0.0.2", 8080)
    const outside = discovery.lookup("192.0.2.1", 443)
    const addresses = () => [...(web.endpoints?.endpoints() ?? [])].map(endpoint => endpoint.address).sort()
    await until("the first answers", () => web.known && pod.known && outside.known)
    expect([web.kind, pod.kind, outside.kind, discovery.answered]).toEqual([
      "service",
      "endpoint",
      "external",
      true,
    ])
    expect(web.service?.fqdn).toBe("web.shop.svc.cluster.local")
    expect(addresses()).toEqual(["10.0.0.1", "10.0.0.2"])
    expect(pod.original.info).toMatchObject({ pod: "web-2", namespace: "shop", meshed: true })

    const kept = [...(web.endpoints?.endpoints() ?? [])].find(endpoint => endpoint.address === "10.0.0.1")
    unlinkSync(join(folder, "pod-2.json"))
    await until("a pod that goes", () => addresses().join() === "10.0.0.1")
    expect(pod.kind).not.toBe("endpoint")

    await killControl()
    await until("the loss", () => !discovery.link.up)
    putPod(3)
    expect(addresses()).toEqual(["10.0.0.1"])
    startControl()
    const seen = new Set<number>()
    await until("the pod that came meanwhile", () => {
      seen.add(addresses().length)
      return addresses().join() === "10.0.0.1,10.0.0.3"
    })
    // Never emptied by the control plane's start.
    expect(seen.has(0)).toBe(false)
    expect([...(web.endpoints?.endpoints() ?? [])]).toContain(kept as Endpoint)
  } finally {
    discovery.stop()
  }
}, 40_000)

test("what a proxy counts arrives, across a control plane that is killed and comes back", async () => {
  const { clock, timers, log, openLink } = parts()
  const telemetry = new Telemetry(clock)
  const reporter = new Reporter({
    openLink,
    address: `127.0.0.1:${telemetryPort}`,
    timers,
    registries: [telemetry.registry],
    info: {
      namespace: "shop",
      pod: "cart-1",
      workloadKind: "deployment",
      workload: "cart",
      version: "test",
      startedAtMs: Date.now(),
    },
  })
  const info = {
    ...UNKNOWN_ENDPOINT,
    namespace: "shop",
    pod: "web-1",
    workloadKind: "deployment",
    workload: "web",
  }
  const labels = {
    direction: OUTBOUND,
    dstService: "web",
    dstNamespace: "shop",
    clientId: "",
    route: "",
  } as const
  const service = createHttpService({
    direction: OUTBOUND,
    target: {
      source: new SingleEndpoint(new Endpoint("10.0.0.1", 8080, info)),
      labels: { ...labels, tls: null },
      defaultAuthority: "",
      routes: null,
      port: 80,
    },
    telemetry,
    clock,
    log,
    admission: new Admission(),
  })
  const serve = (count: number, status: number) => {
    for (let i = 0; i < count; i++) {
      const request = {
        method: "GET",
        authority: "web.shop",
        path: "/",
        isGrpc: false,
        upgrade: "",
        header: () => undefined,
        values: () => undefined,
      }
      const exchange = service.begin(request)
      exchange.pick()
      exchange.responseHead(status)
      exchange.end(OUTCOME_COMPLETE, -1)
    }
  }
  const client = createClient(
    telemetryQueryV1.QueryService,
    createGrpcTransport({ baseUrl: `http://127.0.0.1:${telemetryPort}` }),
  )
  const traffic = async () => {
    const { traffic: rows } = await client.traffic({
      windowMs: 60_000,
      direction: telemetryQueryV1.Direction.OUTBOUND,
    })
    const row = rows.find(each => each.reporter?.pod === "cart-1" && each.dst?.workload === "web")
    return row === undefined ? null : [Number(row.successes), Number(row.failures)]
  }
  reporter.start()
  try {
    await until("the stream", () => reporter.link.up)
    serve(90, 200)
    serve(10, 503)
    await until("the counts", async () => (await traffic())?.join() === "90,10")
    await killControl()
    await until("the loss", () => !reporter.link.up)
    serve(5, 200)
    startControl()
    await until("the stream again", () => reporter.link.up)
    serve(7, 200)
    // What was counted before its own start is traffic of the new one only if the proxy began within the same ten seconds;
    // nothing is counted twice.
    await until("the counts since", async () => [7, 12, 102].includes((await traffic())?.[0] ?? 0))
  } finally {
    reporter.stop()
  }
}, 40_000)
