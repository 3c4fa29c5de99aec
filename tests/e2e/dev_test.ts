// `conduit dev` as people type it: a mesh in namespaces of its own, from `up` to nothing left behind.
// Pods here are not meshed; what the proxies do is for the tests of the proxy.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { tempFolder } from "../lab/temp_folder.ts"

const ROOT = new URL("../..", import.meta.url).pathname
const TEST_MS = 60_000

interface Result {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

interface PodLine {
  readonly namespace: string
  readonly deployment: string | null
  readonly pod: string
  readonly ip: string
  readonly meshed: boolean
  readonly ready: boolean
  readonly pid: number | null
}

let folder = ""

async function dev(mesh: string, ...words: string[]): Promise<Result> {
  const child = start(mesh, ...words)
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ])
  return { code, stdout, stderr }
}

function start(mesh: string, ...words: string[]) {
  return Bun.spawn([process.execPath, join(ROOT, "cli/main.ts"), "dev", ...words], {
    cwd: folder,
    // A process group of its own, as a shell gives it.
    detached: true,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, CONDUIT_DEV_NAME: mesh },
  })
}

function manifest(name: string, text: string): string {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

async function pods(mesh: string): Promise<PodLine[]> {
  const { stdout } = await dev(mesh, "ps", "-o", "json")
  return JSON.parse(stdout) as PodLine[]
}

async function until(what: string, holds: () => Promise<boolean> | boolean): Promise<void> {
  for (let waited = 0; waited < 20_000; waited += 50) {
    if (await holds()) return
    await Bun.sleep(50)
  }
  throw new Error(`not within 20 s: ${what}`)
}

/** Processes that carry the mark of a mesh or run in its pods. */
function survivors(state: { id: string }, pids: readonly number[]): number[] {
  const marked = readdirSync("/proc").filter(name => {
    try {
      return /^\d+$/.test(name) && readFileSync(`/proc/${name}/environ`, "latin1").includes(state.id)
    } catch {
      return false
    }
  })
  const alive = pids.filter(pid => {
    try {
      return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "latin1"))
    } catch {
      return false
    }
  })
  return [...marked.map(Number), ...alive]
}

function stateOf(mesh: string): { id: string; apiAddr: string; runner: { pid: number } } {
  return JSON.parse(readFileSync(`/run/conduit/dev/${mesh}/state.json`, "utf8"))
}

function deployment(name: string, text: string, extra = ""): string {
  return `
apiVersion: apps/v1
kind: Deployment
metadata: { name: ${name}, namespace: shop }
spec:
  replicas: 2
  selector: { matchLabels: { app: ${name} } }
  template:
    metadata: { labels: { app: ${name} }, annotations: { conduit.io/inject: disabled } }
    spec:
      terminationGracePeriodSeconds: 5
      containers:
        - name: ${name}
          command: [bun, ${join(folder, "server.ts")}, ${text}]
          ports: [{ name: http, containerPort: 8080 }]
          readinessProbe: { httpGet: { path: /ready, port: http }, periodSeconds: 1 }
${extra}`
}

function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } })
  const { port } = listener
  listener.stop(true)
  return port
}

const SERVICE = `
apiVersion: v1
kind: Service
metadata: { name: web, namespace: shop }
spec:
  selector: { app: web }
  ports: [{ name: http, port: 80, targetPort: http }]
`

const CLIENT = `
apiVersion: v1
kind: Pod
metadata: { name: client, namespace: shop, annotations: { conduit.io/inject: disabled } }
spec:
  containers: [{ name: client, command: [sleep, infinity] }]
`

// Answers with its word; on SIGTERM finishes what runs, as an application should.
const SERVER = `
const server = Bun.serve({ port: 8080, hostname: "::", fetch: () => new Response(process.argv[2] + "\\n") })
process.on("SIGTERM", async () => { await server.stop(); process.exit(0) })
`

// Calls over and over until told to stop, and says how many answers came of which kind.
const CALLER = `
const counts: Record<string, number> = {}
const end = Date.now() + Number(process.argv[3])
while (Date.now() < end) {
  const answer = await fetch(process.argv[2] ?? "", { keepalive: false }).then(r => r.text(), e => "error " + e.code)
  const key = answer.trim()
  counts[key] = (counts[key] ?? 0) + 1
  await Bun.sleep(5)
}
console.log(JSON.stringify(counts))
`

beforeAll(() => {
  folder = tempFolder("dev-test")
  chmodSync(folder, 0o755)
  writeFileSync(join(folder, "server.ts"), SERVER)
  writeFileSync(join(folder, "caller.ts"), CALLER)
})

afterAll(async () => {
  for (const name of ["dvt-one", "dvt-kill", "dvt-front"]) await dev(name, "down")
  rmSync(folder, { recursive: true, force: true })
})

test(
  "a mesh comes up, is reached by its names, is changed without losing a request, and goes without a trace",
  async () => {
    const mesh = "dvt-one"
    const file = manifest("shop.yaml", [SERVICE, deployment("web", "one"), CLIENT].join("---"))
    const nowhere = freePort()
    const forward = `${nowhere}:web.shop:81`
    const up = await dev(mesh, "up", "-f", file, "--detach", "--timeout", "40s", "--forward", forward)
    expect(up.stderr).toContain(`the local mesh "${mesh}" is ready: 10 pods`)
    expect(up.code).toBe(0)

    const lines = await pods(mesh)
    expect(lines.every(line => line.ready && line.pid !== null)).toBe(true)
    const web = lines.filter(line => line.deployment === "web")
    expect(web.map(line => [line.namespace, line.meshed])).toEqual([
      ["shop", false],
      ["shop", false],
    ])
    expect(lines.find(line => line.pod === "client")?.deployment).toBeNull()
    expect(lines.filter(line => line.namespace === "conduit").map(line => line.deployment)).toEqual([
      "conduit-api",
      "conduit-destination",
      "conduit-identity",
      "conduit-policy",
      "conduit-tap",
      "conduit-telemetry",
      "conduit-web",
    ])
    const served = readFileSync(`/proc/${web[0]?.pid}/cmdline`, "latin1")
    expect(served).toContain("server.ts")

    for (const name of ["web", "web.shop", "web.shop.svc", "web.shop.svc.cluster.local"]) {
      const answer = await dev(mesh, "exec", "client", "--", "curl", "-sS", "-m", "3", `http://${name}/`)
      expect([name, answer.stdout, answer.code]).toEqual([name, "one\n", 0])
    }
    const refused = await dev(mesh, "exec", "client", "--", "curl", "-sS", "-m", "3", "http://web:81/")
    expect(refused.code).toBe(7)
    // From outside, by way of the router, it is no different: the caller learns of it at once.
    const answer = fetch(`http://127.0.0.1:${nowhere}/`, { signal: AbortSignal.timeout(5_000) })
    expect(await answer.then(String, error => (error as { name: string }).name)).not.toBe("TimeoutError")
    const twice = await dev(mesh, "up", "-f", file)
    expect(twice.code).toBe(1)
    expect(twice.stderr).toContain(`a local mesh named "${mesh}" runs already`)
    expect((await fetch(`http://${stateOf(mesh).apiAddr}/`)).status).toBe(404)

    // While it is called all the time, every endpoint is replaced.
    const calls = dev(mesh, "exec", "client", "--", "bun", join(folder, "caller.ts"), "http://web/", "4000")
    await Bun.sleep(500)
    const change = manifest("change.yaml", deployment("web", "two"))
    expect((await dev(mesh, "apply", "-f", change)).stdout).toBe("deployment/web configured\n")
    expect((await dev(mesh, "apply", "-f", change)).stdout).toBe("deployment/web unchanged\n")
    const counts = JSON.parse((await calls).stdout) as Record<string, number>
    expect(Object.keys(counts).sort()).toEqual(["one", "two"])
    expect((await pods(mesh)).filter(line => line.deployment === "web" && line.ready)).toHaveLength(2)

    // Editing the file that it was started with does the same.
    manifest("shop.yaml", [SERVICE, deployment("web", "three"), CLIENT].join("---"))
    await until("the edit is served", async () => {
      const { stdout } = await dev(mesh, "exec", "client", "--", "curl", "-s", "-m", "1", "http://web/")
      return stdout === "three\n"
    })
    manifest("shop.yaml", "kind: [broken")
    await until("the broken edit is reported", () =>
      readFileSync(`/run/conduit/dev/${mesh}.log`, "utf8").includes("the edit is not applied"),
    )
    expect((await dev(mesh, "exec", "client", "--", "curl", "-s", "http://web/")).stdout).toBe("three\n")

    const gone = await dev(mesh, "delete", "-f", change)
    expect(gone.stdout).toBe("deployment/web deleted\n")
    await until("its pods are gone", async () => (await pods(mesh)).every(line => line.deployment !== "web"))
    expect((await dev(mesh, "delete", "-f", change)).stderr).toContain(
      'not found in the local mesh "dvt-one": Deployment "web"',
    )

    // A file that holds a namespace and what is in it is deleted whole.
    const namespace = "apiVersion: v1\nkind: Namespace\nmetadata: { name: extra }\n---\n"
    const inside = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: inside, namespace: extra }\n"
    const whole = manifest("extra.yaml", namespace + inside)
    expect((await dev(mesh, "apply", "-f", whole)).code).toBe(0)
    const deleted = await dev(mesh, "delete", "-f", whole)
    expect(deleted).toMatchObject({ code: 0, stdout: "configmap/inside deleted\nnamespace/extra deleted\n" })

    const state = stateOf(mesh)
    const pids = (await pods(mesh)).flatMap(line => line.pid ?? [])
    expect((await dev(mesh, "down")).code).toBe(0)
    expect(survivors(state, [...pids, state.runner.pid])).toEqual([])
    expect(existsSync(`/run/conduit/dev/${mesh}`)).toBe(false)
    expect(existsSync(`/run/conduit/dev/${mesh}.log`)).toBe(false)
  },
  TEST_MS,
)

test(
  "nothing survives a runner that is killed, and down and up work after it",
  async () => {
    const mesh = "dvt-kill"
    const file = manifest("client.yaml", CLIENT)
    expect((await dev(mesh, "up", "-f", file, "--detach")).code).toBe(0)
    const state = stateOf(mesh)
    const pids = (await pods(mesh)).flatMap(line => line.pid ?? [])
    process.kill(state.runner.pid, "SIGKILL")
    await until("all its processes are gone", () => survivors(state, pids).length === 0)
    const ps = await dev(mesh, "ps")
    expect(ps.code).toBe(1)
    expect(ps.stderr).toContain(`no local mesh "${mesh}" runs`)
    expect((await dev(mesh, "down")).code).toBe(0)
    expect(existsSync(`/run/conduit/dev/${mesh}`)).toBe(false)
    const again = await dev(mesh, "down")
    expect([again.code, again.stderr]).toEqual([0, `nothing to do: there is no local mesh "${mesh}"\n`])
  },
  TEST_MS,
)

test(
  "in the foreground Ctrl-C ends it; exec passes input, output and exit codes; unknown names are named",
  async () => {
    const mesh = "dvt-front"
    const child = start(mesh, "up", "-f", manifest("client.yaml", CLIENT))
    const stderr = new Response(child.stderr).text()
    await until("it is ready", async () => {
      const { code, stdout } = await dev(mesh, "ps", "-o", "json")
      return (
        code === 0 &&
        (JSON.parse(stdout) as PodLine[]).length > 0 &&
        (JSON.parse(stdout) as PodLine[]).every(line => line.ready)
      )
    })
    expect((await dev(mesh, "exec", "client", "--", "sh", "-c", "exit 9")).code).toBe(9)
    expect((await dev(mesh, "exec", "client", "--", "hostname")).stdout).toBe("client\n")
    expect((await dev(mesh, "exec", "client", "--", "no-such-program")).code).toBe(127)
    const wrong = await dev(mesh, "exec", "cleint", "--", "true")
    expect([wrong.code, wrong.stderr]).toEqual([
      1,
      `conduit: no pod "cleint" in the local mesh "${mesh}"; did you mean client?\n`,
    ])
    const container = await dev(mesh, "logs", "client", "-c", "proxy")
    expect([container.code, container.stderr]).toEqual([
      1,
      'conduit: pod "client" has no container "proxy"; it has client\n',
    ])
    const state = stateOf(mesh)
    // Ctrl-C on a terminal goes to the whole group.
    process.kill(-child.pid, "SIGINT")
    expect(await child.exited).toBe(0)
    const said = await stderr
    expect(said).toContain("pods, 0 of them meshed")
    expect(said).not.toContain("lost")
    expect(survivors(state, [])).toEqual([])
    expect(existsSync(`/run/conduit/dev/${mesh}`)).toBe(false)
  },
  TEST_MS,
)

test(
  "pods that do not become ready are named with their last words, and nothing is left",
  async () => {
    const mesh = "dvt-one"
    const file = manifest(
      "crash.yaml",
      CLIENT.replace("[sleep, infinity]", '[sh, -c, "echo no database; exit 3"]'),
    )
    const up = await dev(mesh, "up", "-f", file, "--detach", "--timeout", "30s")
    expect(up.code).toBe(1)
    expect(up.stderr).toContain("1 pod is not ready:\n  shop/client: ")
    expect(up.stderr).toContain("client | no database")
    expect(existsSync(`/run/conduit/dev/${mesh}`)).toBe(false)
  },
  TEST_MS,
)

test("a bad manifest is named by file, document and line, and nothing is started", async () => {
  const file = manifest(
    "bad.yaml",
    `${SERVICE}---${CLIENT.replace("command: [sleep, infinity]", "image: sleep")}`,
  )
  const up = await dev("dvt-one", "up", "-f", file, "--detach")
  expect(up.code).toBe(1)
  expect(up.stderr).toBe(
    `conduit: ${file}, document 2, line 13: container "client" of Pod "client" has no command: image "sleep" is not run by conduit dev; give it a command\n`,
  )
  expect(existsSync("/run/conduit/dev/dvt-one")).toBe(false)
  const missing = await dev("dvt-one", "up", "-f", join(folder, "nowhere.yaml"))
  expect([missing.code, missing.stderr]).toEqual([
    1,
    `conduit: ${join(folder, "nowhere.yaml")}: cannot be read: no such file or folder\n`,
  ])
  expect((await dev("dvt-one", "up")).code).toBe(2)
  expect((await dev("Bad_Name", "ps")).code).toBe(2)
})

test("an ordinary user without user ids to give away is told what is missing", async () => {
  const file = manifest("client.yaml", CLIENT)
  // The checkout is shown at /mnt, in a mount namespace of its own: it may lie where nobody cannot go.
  const shown = process.execPath.replace(ROOT, "/mnt/")
  const script =
    'mount --bind "$1" /mnt && shift && exec setpriv --reuid=65534 --regid=65534 --clear-groups -- "$@"'
  const words = [shown, "/mnt/cli/main.ts", "dev", "up", "-f", file]
  const child = Bun.spawn(["unshare", "--mount", "sh", "-c", script, "sh", ROOT, ...words], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    cwd: "/",
    env: { ...process.env, HOME: "/tmp", CONDUIT_DEV_NAME: "dvt-none" },
  })
  const [stderr, code] = await Promise.all([new Response(child.stderr).text(), child.exited])
  expect(code).toBe(1)
  expect(stderr).toContain(
    "conduit: conduit dev without root needs a user namespace with user ids of its own, and ",
  )
  expect(stderr).toContain("or run it with sudo")
})

test(
  "StatefulSets, Jobs, volumes and environments are what Kubernetes makes them",
  async () => {
    const mesh = "dvt-one"
    mkdirSync(join(folder, "many"), { recursive: true })
    writeFileSync(join(folder, "many", "all.yaml"), KINDS)
    const up = await dev(mesh, "up", "-f", join(folder, "many"), "--detach", "--timeout", "40s")
    expect([up.code, up.stderr]).toEqual([0, expect.stringContaining("is ready")])
    const inside = async (...command: string[]) =>
      (await dev(mesh, "exec", "db-0", "--", ...command)).stdout.trim()
    expect(await inside("sh", "-c", 'echo "$BOTH $HOSTNAME $(id -u) $(pwd)"')).toBe(
      "hello-s3cret-$(X)-$(NOPE) db-0 1234 /scratch",
    )
    expect(await inside("hostname", "-f")).toBe("db-0.db.data.svc.cluster.local")
    expect(await inside("cat", "/scratch/prepared", "/opt/app.ini", "/etc/conf/greeting")).toBe(
      "yes\nx=1\nhello",
    )
    expect(await inside("sh", "-c", "getent hosts db-1.db | cut -d' ' -f1")).toBe(
      (await pods(mesh)).find(line => line.pod === "db-1")?.ip ?? "",
    )
    expect(existsSync("/scratch")).toBe(false)
    expect((await dev(mesh, "logs", "job/once")).stdout).toBe("done\n")
    // A container that its liveness probe condemns is restarted.
    await inside("rm", "/scratch/prepared")
    await until(
      "it is restarted",
      async () => (await dev(mesh, "logs", "db-0")).stdout.split("begin\n").length > 2,
    )
    expect((await dev(mesh, "down")).code).toBe(0)
  },
  TEST_MS,
)

const KINDS = `
apiVersion: v1
kind: Namespace
metadata: { name: data, annotations: { conduit.io/inject: disabled } }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: conf, namespace: data }
data: { greeting: hello, app.ini: "x=1\\n" }
---
apiVersion: v1
kind: Secret
metadata: { name: secret, namespace: data }
stringData: { password: s3cret }
---
apiVersion: v1
kind: Service
metadata: { name: db, namespace: data }
spec: { clusterIP: None, selector: { app: db }, ports: [{ port: 7000 }] }
---
apiVersion: apps/v1
kind: StatefulSet
metadata: { name: db, namespace: data }
spec:
  serviceName: db
  replicas: 2
  selector: { matchLabels: { app: db } }
  template:
    metadata: { labels: { app: db } }
    spec:
      initContainers:
        - name: prepare
          command: [sh, -c, "echo yes > /scratch/prepared; chmod 666 /scratch/prepared"]
          volumeMounts: [{ name: scratch, mountPath: /scratch }]
      containers:
        - name: db
          command: [sh, -c, "echo begin; trap 'exit 0' TERM; while :; do sleep 0.1; done"]
          workingDir: /scratch
          securityContext: { runAsUser: 1234 }
          env:
            - { name: PASSWORD, valueFrom: { secretKeyRef: { name: secret, key: password } } }
            - { name: GREETING, valueFrom: { configMapKeyRef: { name: conf, key: greeting } } }
            - { name: BOTH, value: "$(GREETING)-$(PASSWORD)-$$(X)-$(NOPE)" }
          livenessProbe: { exec: { command: [test, -e, /scratch/prepared] }, periodSeconds: 1, failureThreshold: 1 }
          volumeMounts:
            - { name: scratch, mountPath: /scratch }
            - { name: conf, mountPath: /etc/conf }
            - { name: conf, mountPath: /opt/app.ini, subPath: app.ini }
      volumes:
        - { name: scratch, emptyDir: {} }
        - { name: conf, configMap: { name: conf } }
---
apiVersion: batch/v1
kind: Job
metadata: { name: once, namespace: data }
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{ name: once, command: [echo, done] }]
`
