// Pods of `conduit dev` as Kubernetes would lead them: in order, asked by gRPC for their health, with what they mount
// following its objects, and never waiting for each other in a circle that is none.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { conduit, DevMesh } from "../lab/dev_mesh.ts"
import { tempFolder } from "../lab/temp_folder.ts"

const TEST_MS = 90_000

let folder = ""
beforeAll(() => {
  folder = tempFolder("dev-pods")
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const meshed = { annotations: { "conduit.io/inject": "enabled" } }
const plain = { annotations: { "conduit.io/inject": "disabled" } }

function workload(kind: string, name: string, container: object, more: object = {}, pod: object = plain) {
  return {
    apiVersion: "apps/v1",
    kind,
    metadata: { name, namespace: "shop" },
    spec: {
      replicas: 1,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name }, ...pod },
        spec: { terminationGracePeriodSeconds: 1, containers: [{ name, ...container }] },
      },
      ...more,
    },
  }
}

function service(name: string, port: number) {
  const spec = { selector: { app: name }, ports: [{ port }] }
  return { apiVersion: "v1", kind: "Service", metadata: { name, namespace: "shop" }, spec }
}

async function apply(mesh: DevMesh, ...objects: unknown[]): Promise<void> {
  const file = join(folder, `${crypto.randomUUID()}.json`)
  writeFileSync(file, JSON.stringify({ apiVersion: "v1", kind: "List", items: objects }))
  const { status, stderr } = await conduit(["dev", "apply", "-f", file, "--name", mesh.name])
  expect([status, stderr]).toEqual([0, ""])
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  for (let waited = 0; waited < 20_000; waited += 100) {
    if (await holds()) return
    await Bun.sleep(100)
  }
  throw new Error(`not within 20 s: ${what}`)
}

const SLOW_TO_BEGIN = "sleep 1; date +%s%N > /tmp/began; touch ready; exec sleep infinity"

/** A StatefulSet whose pods take a second each to become ready. */
function ordered(replicas: number, policy?: string) {
  const container = {
    command: ["sh", "-c", `echo began $(date +%s%3N); ${SLOW_TO_BEGIN}`],
    workingDir: "/work-dir",
    volumeMounts: [{ name: "dir", mountPath: "/work-dir" }],
    readinessProbe: { exec: { command: ["test", "-e", "/work-dir/ready"] }, periodSeconds: 1 },
  }
  const set = workload("StatefulSet", "db", container, {
    replicas,
    serviceName: "db",
    ...(policy === undefined ? {} : { podManagementPolicy: policy }),
  })
  Object.assign(set.spec.template.spec, { volumes: [{ name: "dir", emptyDir: {} }] })
  return set
}

async function begunMs(mesh: DevMesh, pod: string): Promise<number> {
  const { stdout } = await conduit(["dev", "logs", "--name", mesh.name, "-n", "shop", pod])
  return Number(/began (\d+)/.exec(stdout)?.[1])
}

test(
  "pods of a StatefulSet start one after the other is ready, and the highest goes first",
  async () => {
    await using mesh = await DevMesh.up({ name: "order", objects: [service("db", 5432), ordered(3)] })
    const begun = [await begunMs(mesh, "db-0"), await begunMs(mesh, "db-1"), await begunMs(mesh, "db-2")]
    expect((begun[1] ?? 0) - (begun[0] ?? 0)).toBeGreaterThanOrEqual(1_000)
    expect((begun[2] ?? 0) - (begun[1] ?? 0)).toBeGreaterThanOrEqual(1_000)
    await apply(mesh, ordered(1))
    const seen = new Set<string>()
    await until("one is left", async () => {
      const names = (await mesh.pods())
        .filter(pod => pod.namespace === "shop" && pod.ready)
        .map(pod => pod.pod)
      seen.add(names.sort().join(" "))
      return names.length === 1
    })
    for (const names of seen) expect(["db-0 db-1 db-2", "db-0 db-1", "db-0"]).toContain(names)
  },
  TEST_MS,
)

// A gRPC server on Node's HTTP/2 whose only service is that of health: "" serves at once, "slow" after two seconds.
const HEALTH = `
import { createServer } from "node:http2"
const begun = Date.now()
createServer((request, response) => {
  const chunks = []
  request.on("data", chunk => chunks.push(chunk))
  request.on("end", () => {
    const service = Buffer.concat(chunks).subarray(7).toString()
    const serving = service === "" || (service === "slow" && Date.now() - begun > 2000)
    console.log("asked", request.url, service, serving)
    response.setHeader("content-type", "application/grpc")
    response.addTrailers({ "grpc-status": "0" })
    response.end(Buffer.from([0, 0, 0, 0, 2, 8, serving ? 1 : 2]))
  })
}).listen(9000)
`

test(
  "gRPC probes, mounted ConfigMaps, and pods that wait for others to be ready",
  async () => {
    const health = join(folder, "health.mjs")
    writeFileSync(health, HEALTH)
    const grpc = (name: string) => ({
      command: ["bun", health],
      readinessProbe: { grpc: { port: 9000, service: name }, periodSeconds: 1 },
    })
    const conf = (greeting: string) => ({
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "conf", namespace: "shop" },
      data: { greeting },
      binaryData: { raw: Buffer.from([0, 255, 10]).toString("base64") },
    })
    const secret = (password: string) => ({
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "key", namespace: "shop" },
      data: { password: Buffer.from(password).toString("base64") },
    })
    const reader = workload(
      "Deployment",
      "reader",
      {
        command: ["sleep", "infinity"],
        volumeMounts: [
          { name: "conf", mountPath: "/etc/conf" },
          { name: "key", mountPath: "/etc/key" },
        ],
        // Ready only when another Service answers, through both proxies: it must be reached while this pod is not ready.
        readinessProbe: {
          exec: { command: ["curl", "-sf", "-m", "1", "http://late:8080/"] },
          periodSeconds: 1,
          timeoutSeconds: 2,
        },
      },
      {},
      meshed,
    )
    Object.assign(reader.spec.template.spec, {
      volumes: [
        { name: "conf", configMap: { name: "conf" } },
        { name: "key", secret: { secretName: "key" } },
      ],
    })
    const late = workload(
      "Deployment",
      "late",
      {
        command: ["sh", "-c", "sleep 2; exec python3 -m http.server 8080"],
        readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 },
      },
      {},
      meshed,
    )
    await using mesh = await DevMesh.up({
      name: "wait",
      objects: [
        conf("hello"),
        secret("one"),
        reader,
        late,
        service("late", 8080),
        workload("Deployment", "whole", grpc("")),
        workload("Deployment", "slow", grpc("slow")),
      ],
    })
    const asked = await mesh.logs("shop", "slow")
    expect(asked).toContain("asked /grpc.health.v1.Health/Check slow false\n")
    expect(asked).toContain("asked /grpc.health.v1.Health/Check slow true\n")

    const shown = async (...files: string[]) => (await mesh.exec("shop", "reader", ["cat", ...files])).stdout
    expect(await shown("/etc/conf/greeting", "/etc/key/password")).toBe("helloone")
    const raw = await mesh.exec("shop", "reader", ["sh", "-c", "od -An -tu1 /etc/conf/raw"])
    expect(raw.stdout.trim().split(/\s+/)).toEqual(["0", "255", "10"])
    await apply(mesh, conf("good bye"), secret("two"))
    expect(await shown("/etc/conf/greeting", "/etc/key/password")).toBe("good byetwo")
  },
  TEST_MS,
)
