// Automatic injection on a real cluster: pods get their proxy as they are made, whatever becomes of the injector.
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { X509Certificate } from "node:crypto"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { endMs } from "../../deploy/identity/mod.ts"
import { buildImages } from "../../deploy/images/mod.ts"
import { KubeApi, kubeconfigCredentials } from "../../deploy/kubernetes/mod.ts"
import { Cluster } from "./mod.ts"
import { ARCHITECTURE, TEST_IMAGES, TEST_TAG } from "./test_images.ts"

const ROOT = join(import.meta.dir, "../..")
const WEBHOOK = "mutatingwebhookconfiguration/conduit-conduit-injector"
const INJECTORS = "conduit.io/control-plane-component=injector"
const ENABLED = { "conduit.io/inject": "enabled" }
const app = { name: "app", image: `conduit/peer:${TEST_TAG}`, imagePullPolicy: "Never" }
const once = { ...app, command: ["/usr/bin/bun", "-e", "console.log('done')"] }

let cluster: Cluster
let api: KubeApi
let manifest = ""

interface Pod {
  readonly metadata: {
    readonly name: string
    readonly labels?: Readonly<Record<string, string>>
    readonly annotations?: Readonly<Record<string, string>>
  }
  readonly spec: {
    readonly containers: readonly { readonly name: string; readonly image: string }[]
    readonly initContainers?: readonly { readonly name: string; readonly image: string }[]
  }
}

beforeAll(async () => {
  const folder = mkdtempSync(join(tmpdir(), "conduit-injector-test-"))
  try {
    const [started, images] = await Promise.all([
      Cluster.up({ parts: "node" }),
      buildImages({ images: TEST_IMAGES, architectures: [ARCHITECTURE], folder, tag: TEST_TAG }),
    ])
    cluster = started
    for (const { path } of images) await cluster.loadImage(path)
  } finally {
    rmSync(folder, { recursive: true })
  }
  api = new KubeApi(await kubeconfigCredentials(cluster.kubeconfig, ""))
  manifest = await install()
  await cluster.kubectl(["apply", "-f", "-"], { input: manifest })
  for (const name of ["injector", "destination", "policy", "telemetry"]) {
    await rolledOut("conduit", `deployment/conduit-${name}`)
  }
  await cluster.kubectl(["create", "namespace", "shop"])
  await cluster.kubectl(["annotate", "namespace", "shop", "conduit.io/inject=enabled"])
  // A pod that is made before API servers reach the injector is made without proxy, as `failurePolicy: Ignore` says.
  const probe = ["run", "probe", "-n", "shop", "--image=app:1", "--dry-run=server", "--output=json"]
  await until(
    "API servers call the injector",
    async () => proxies(JSON.parse(await cluster.kubectl(probe))) === 1,
  )
  await apply("shop", ...workloads())
}, 30 * 60_000)

afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]()
})

async function install(...sets: string[]): Promise<string> {
  const images = ["--set", `image.version=${TEST_TAG},image.pullPolicy=Never`]
  const child = Bun.spawn([process.execPath, "cli/main.ts", "install", ...images, ...sets], {
    cwd: ROOT,
    stdout: "pipe",
    stderr: "pipe",
  })
  const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  if (code !== 0) throw new Error(stderr)
  return stdout
}

/** One of each kind that owns pods. */
function workloads(): object[] {
  const of = (kind: string, name: string, spec: object): object => {
    const labels = { app: name }
    const template = { metadata: { labels }, spec: { containers: [app] } }
    const rest = { selector: { matchLabels: labels }, template, ...spec }
    return { apiVersion: "apps/v1", kind, metadata: { name }, spec: rest }
  }
  const job = (labels: object): object => ({
    template: { metadata: { labels }, spec: { restartPolicy: "Never", containers: [once] } },
  })
  return [
    of("Deployment", "web", { replicas: 2 }),
    of("StatefulSet", "db", { serviceName: "db" }),
    of("DaemonSet", "agent", {}),
    { apiVersion: "batch/v1", kind: "Job", metadata: { name: "report" }, spec: job({ app: "report" }) },
    {
      apiVersion: "batch/v1",
      kind: "CronJob",
      metadata: { name: "night" },
      spec: { schedule: "* * * * *", jobTemplate: { spec: job({ app: "night" }) } },
    },
  ]
}

async function apply(namespace: string, ...items: object[]): Promise<string> {
  const input = JSON.stringify({ apiVersion: "v1", kind: "List", items })
  const { code, stderr } = await cluster.tryKubectl(["apply", "-n", namespace, "-f", "-"], { input })
  if (code !== 0) throw new Error(stderr)
  return stderr
}

function pod(name: string, metadata: object = {}, spec: object = {}): object {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, ...metadata },
    spec: { containers: [app], ...spec },
  }
}

async function podsOf(namespace: string, selector: string): Promise<Pod[]> {
  const text = await cluster.kubectl(["get", "pods", "-n", namespace, "-l", selector, "-o", "json"])
  return JSON.parse(text).items
}

async function podNamed(namespace: string, name: string): Promise<Pod> {
  return JSON.parse(await cluster.kubectl(["get", "pod", name, "-n", namespace, "-o", "json"]))
}

function proxies({ spec }: Pod): number {
  const all = [...spec.containers, ...(spec.initContainers ?? [])]
  return all.filter(({ name }) => name === "conduit-proxy").length
}

async function until(what: string, isSo: () => Promise<boolean>, deadlineMs = 90_000): Promise<void> {
  const end = performance.now() + deadlineMs
  while (!(await isSo())) {
    if (performance.now() > end) throw new Error(`waited ${deadlineMs / 1000} s in vain: ${what}`)
    await Bun.sleep(250)
  }
}

/** Waits for a rollout; when it does not end, says what its pods said. */
async function rolledOut(namespace: string, workload: string): Promise<void> {
  const args = ["rollout", "status", "-n", namespace, workload, "--timeout=90s"]
  if ((await cluster.tryKubectl(args)).code === 0) return
  const pods = await cluster.kubectl(["get", "pods", "-n", namespace])
  const logs = ["logs", "-n", namespace, workload, "--all-containers", "--tail=20"]
  const { stdout, stderr } = await cluster.tryKubectl(logs)
  const events = await cluster.kubectl(["events", "-n", namespace])
  throw new Error(`${workload} was not rolled out:\n${pods}${stdout}${stderr}${events}`)
}

/** Certificates that API servers trust of the webhook. */
async function trusted(): Promise<string[]> {
  const path = "--output=jsonpath={.webhooks[0].clientConfig.caBundle}"
  const text = Buffer.from(await cluster.kubectl(["get", WEBHOOK, path]), "base64").toString()
  return text.match(/-----BEGIN[\s\S]*?-----END CERTIFICATE-----/g) ?? []
}

/** Makes pods without keeping them, one after the other, until `enough`; how many got no proxy, and why. */
async function makePods(enough: () => boolean, pauseMs = 10): Promise<{ made: number; without: string[] }> {
  const path = "/api/v1/namespaces/shop/pods?dryRun=All"
  const without: string[] = []
  let made = 0
  while (!enough()) {
    made++
    try {
      const answer = (await api.call({ method: "POST", path, body: pod(`dry-${made}`) })) as Pod
      if (proxies(answer) !== 1) without.push("no proxy")
    } catch (error) {
      without.push(String(error))
    }
    await Bun.sleep(pauseMs)
  }
  return { made, without }
}

test("the injector tells API servers of its certificate, and what was installed is still what is there", async () => {
  expect(await trusted()).toHaveLength(1)
  // The definition of plugins has a field of that name.
  expect(manifest).not.toMatch(/caBundle: \S/)
  const diff = await cluster.tryKubectl(["diff", "-f", "-"], { input: manifest })
  expect({ ...diff, stderr: "" }).toEqual({ code: 0, stdout: "", stderr: "" })
  const again = await cluster.kubectl(["apply", "-f", "-"], { input: manifest })
  expect(again.split("\n").filter(line => line !== "" && !line.endsWith("unchanged"))).toEqual([])
  const owned = ["apply", "--server-side", "--dry-run=server", "--field-manager=argocd", "-f", "-"]
  expect((await cluster.tryKubectl(owned, { input: manifest })).stderr).toBe("")
  expect(await trusted()).toHaveLength(1)
}, 120_000)

describe("pods of an annotated namespace", () => {
  test.each([
    ["Deployment", "web", "deployment"],
    ["StatefulSet", "db", "statefulset"],
    ["DaemonSet", "agent", "daemonset"],
  ])(
    "that a %s makes are meshed, bear its name, and become ready",
    async (_, name, kind) => {
      await rolledOut("shop", `${kind}/${name}`)
      const pods = await podsOf("shop", `app=${name}`)
      expect(pods.length).toBe(name === "web" ? 2 : 1)
      for (const one of pods) {
        expect(proxies(one)).toBe(1)
        expect(one.metadata.labels).toMatchObject({
          [`conduit.io/${kind}`]: name,
          "conduit.io/control-plane-ns": "conduit",
          "conduit.io/workload-ns": "shop",
        })
        expect(one.spec.containers[0]?.image).toBe(`conduit/proxy:${TEST_TAG}`)
      }
    },
    120_000,
  )

  test("that a Job makes end with it", async () => {
    await cluster.kubectl(["wait", "job/report", "-n", "shop", "--for=condition=Complete", "--timeout=90s"])
    const [one] = await podsOf("shop", "app=report")
    expect(one?.metadata.labels?.["conduit.io/job"]).toBe("report")
    expect(one?.spec.initContainers?.map(({ name }) => name)).toEqual(["conduit-init", "conduit-proxy"])
  }, 120_000)

  test("that a CronJob makes are the CronJob's, and end", async () => {
    const done = async (): Promise<boolean> => {
      const jobs = [
        "get",
        "jobs",
        "-n",
        "shop",
        "--output=jsonpath={range .items[*]}{.metadata.name}={.status.succeeded} {end}",
      ]
      return /night-\d+=1/.test(await cluster.kubectl(jobs))
    }
    await until("a Job of CronJob night completes", done, 120_000)
    const [one] = await podsOf("shop", "app=night")
    expect(one?.metadata.labels?.["conduit.io/cronjob"]).toBe("night")
    await cluster.kubectl(["delete", "cronjob/night", "-n", "shop"])
  }, 150_000)

  test("are shown by a dry run as they would be, and none is made", async () => {
    const run = ["run", "dry", "-n", "shop", "--image=app:1", "--dry-run=server", "--output=json"]
    expect(proxies(JSON.parse(await cluster.kubectl(run)))).toBe(1)
    expect((await cluster.tryKubectl(["get", "pod", "dry", "-n", "shop"])).code).toBe(1)
  })

  test("that were injected before they came are left as they are", async () => {
    const [web] = await podsOf("shop", "app=web")
    if (web === undefined) throw new Error("no pod of web")
    const { labels, annotations } = web.metadata
    const { nodeName: _, ...spec } = web.spec as Pod["spec"] & { nodeName?: string }
    const copy = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "copy", labels: { ...labels, app: "copy" }, annotations },
      spec,
    }
    const path = "/api/v1/namespaces/shop/pods?dryRun=All"
    const made = (await api.call({ method: "POST", path, body: copy })) as Pod
    expect(proxies(made)).toBe(1)
    expect(made.spec.containers.map(({ name }) => name)).toEqual(web.spec.containers.map(({ name }) => name))
  })

  test("that opted out, by annotation or by label, have no proxy", async () => {
    const off = { "conduit.io/inject": "disabled" }
    await apply("shop", pod("by-annotation", { annotations: off }), pod("by-label", { labels: off }))
    for (const name of ["by-annotation", "by-label"]) expect(proxies(await podNamed("shop", name))).toBe(0)
  })

  test("that cannot have one say why, to who makes them and to who looks", async () => {
    const said = await apply("shop", pod("on-node", {}, { hostNetwork: true }))
    const reason = "hostNetwork: redirecting it would redirect the whole node"
    expect(said).toContain(`Warning: conduit: it gets no proxy: ${reason}`)
    const { metadata } = await podNamed("shop", "on-node")
    expect(metadata.annotations?.["conduit.io/not-injected"]).toBe(reason)
  })

  test("with a setting that cannot be used are refused with a sentence", async () => {
    const annotations = { "config.conduit.io/opaque-ports": "http" }
    const refused = apply("shop", pod("wrong", { annotations }))
    await expect(refused).rejects.toThrow(
      'admission webhook "injector.conduit.io" denied the request: annotation config.conduit.io/opaque-ports: "http" cannot be used',
    )
  })
})

test("a plugin labels pods as they are injected, or refuses them, until it is gone", async () => {
  const own = readFileSync(join(ROOT, "deploy/plugins/team_label/deployment.yaml"), "utf8")
    .replace(
      "image: registry.example/team-label:1.0.0",
      `image: ${app.image}\n          command: [label-teams]`,
    )
    .replace("teams: { default: web } # team by namespace", "teams: { shop: web }")
    .replace("unknown: warn # or deny", "unknown: deny")
    .replace("replicas: 2", "replicas: 1")
  await cluster.kubectl(["create", "namespace", "conduit-plugins"])
  await cluster.kubectl(["apply", "-f", "-"], { input: own })
  await rolledOut("conduit-plugins", "deployment/team-label")
  const run = async (namespace: string, more: object = {}) => {
    const input = JSON.stringify(pod("dry", { annotations: ENABLED, ...more }))
    const words = ["apply", "-n", namespace, "--dry-run=server", "--output=json", "-f", "-"]
    const { stdout, stderr } = await cluster.tryKubectl(words, { input })
    return { labels: stdout === "" ? {} : ((JSON.parse(stdout) as Pod).metadata.labels ?? {}), stderr }
  }
  await until("the pod is labelled", async () => (await run("shop")).labels.team === "web")
  expect((await run("shop")).stderr).toContain('team-label: the pod has no label "team": it gets web')
  expect((await run("shop", { labels: { team: "blue" } })).labels.team).toBe("blue")
  expect((await run("default")).stderr).toContain(
    'the plugin "team-label" refuses it: the pod has no label "team", and no team has the namespace "default"',
  )
  await cluster.kubectl(["delete", "plugin/team-label"])
  await until("the plugin is gone", async () => (await run("default")).stderr === "")
  expect((await run("shop")).labels.team).toBeUndefined()
  // Nothing waits for its end.
  await cluster.kubectl(["delete", "namespace", "conduit-plugins", "--wait=false"])
}, 120_000)

test("a workload that was injected by hand is applied without drift, and its pods have one proxy", async () => {
  const template = { metadata: { labels: { app: "hand" } }, spec: { containers: [app] } }
  const object = {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "hand", namespace: "shop" },
    spec: { selector: { matchLabels: { app: "hand" } }, template },
  }
  const words = ["cli/main.ts", "inject", `--proxy-version=${TEST_TAG}`, "-"]
  const child = Bun.spawn([process.execPath, ...words], {
    cwd: ROOT,
    env: { ...process.env, KUBECONFIG: cluster.kubeconfig },
    stdin: new Blob([JSON.stringify(object)]),
    stdout: "pipe",
    stderr: "ignore",
  })
  const input = await child.stdout.text()
  expect(input).toContain("conduit-proxy")
  for (let n = 0; n < 2; n++) await cluster.kubectl(["apply", "--server-side", "-f", "-"], { input })
  await rolledOut("shop", "deployment/hand")
  const diff = await cluster.tryKubectl(["diff", "--server-side", "-f", "-"], { input })
  expect({ code: diff.code, stdout: diff.stdout }).toEqual({ code: 0, stdout: "" })
  expect((await podsOf("shop", "app=hand")).map(proxies)).toEqual([1])
}, 120_000)

test("a thousand pods at once get theirs", async () => {
  let n = 0
  const makers = Array.from({ length: 50 }, () => makePods(() => ++n > 1000, 0))
  const all = await Promise.all(makers)
  expect(all.flatMap(({ without }) => without)).toEqual([])
}, 60_000)

test("pods elsewhere are meshed only if they ask, and Kubernetes' own never", async () => {
  await apply("default", pod("silent"), pod("asking", { annotations: ENABLED }))
  await apply("kube-system", pod("system", { annotations: ENABLED }))
  expect(proxies(await podNamed("default", "silent"))).toBe(0)
  expect(proxies(await podNamed("default", "asking"))).toBe(1)
  expect(proxies(await podNamed("kube-system", "system"))).toBe(0)
  await apply("conduit", pod("own", { annotations: ENABLED, labels: {} }, restricted())).catch(() => {})
  const own = await cluster.tryKubectl(["get", "pod", "own", "-n", "conduit", "-o", "json"])
  expect(proxies(JSON.parse(own.stdout))).toBe(0)
})

function restricted(): object {
  const securityContext = { runAsNonRoot: true, runAsUser: 65534, seccompProfile: { type: "RuntimeDefault" } }
  const own = { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } }
  return { securityContext, containers: [{ ...app, securityContext: own }] }
}

test("an object that somebody replaced gets its certificates back", async () => {
  const object = JSON.parse(await cluster.kubectl(["get", WEBHOOK, "-o", "json"]))
  delete object.webhooks[0].clientConfig.caBundle
  delete object.metadata.resourceVersion
  await cluster.kubectl(["replace", "-f", "-"], { input: JSON.stringify(object) })
  expect(await trusted()).toHaveLength(0)
  await until("the certificate is back", async () => (await trusted()).length === 1, 20_000)
}, 60_000)

describe("where a pod without proxy would be a failure, with two injectors", () => {
  beforeAll(async () => {
    const strict = await install("--set", "injector.failurePolicy=Fail")
    await cluster.kubectl(["apply", "-f", "-"], { input: strict })
    await cluster.kubectl([
      ...["set", "env", "-n", "conduit", "deployment/conduit-injector"],
      "CONDUIT_INJECTOR_CERTIFICATE_LIFETIME=60s",
    ])
    await cluster.kubectl(["scale", "-n", "conduit", "deployment/conduit-injector", "--replicas=2"])
    await rolledOut("conduit", "deployment/conduit-injector")
    await until("only the new pods are there", async () => (await podsOf("conduit", INJECTORS)).length === 2)
  }, 180_000)

  test("none is made without while the certificate changes", async () => {
    // Those of the running injector; pods before it had a day.
    const own = async () =>
      (await trusted()).filter(pem => endMs(new X509Certificate(pem)) < Date.now() + 90_000)
    const first = await own()
    expect(first.length).toBeGreaterThanOrEqual(2)
    let rotated = false
    const making = makePods(() => rotated)
    const isForgotten = async (): Promise<boolean> => {
      const now = await own()
      return now.length === 2 && !now.some(pem => first.includes(pem))
    }
    await until("both have another certificate, and the old ones are forgotten", isForgotten)
    await Bun.sleep(2_000)
    rotated = true
    const { made, without } = await making
    expect(without).toEqual([])
    expect(made).toBeGreaterThan(100)
  }, 200_000)

  test("none is made without while the injector is rolled", async () => {
    let rolled = false
    const making = makePods(() => rolled)
    await cluster.kubectl(["rollout", "restart", "-n", "conduit", "deployment/conduit-injector"])
    await rolledOut("conduit", "deployment/conduit-injector")
    await until("the old pods have gone", async () => (await podsOf("conduit", INJECTORS)).length === 2)
    rolled = true
    const { made, without } = await making
    expect(without).toEqual([])
    expect(made).toBeGreaterThan(100)
  }, 150_000)
})

test("without an injector pods start, without proxy", async () => {
  await cluster.kubectl(["apply", "-f", "-"], { input: manifest })
  await cluster.kubectl(["scale", "-n", "conduit", "deployment/conduit-injector", "--replicas=0"])
  await until("the injectors have gone", async () => (await podsOf("conduit", INJECTORS)).length === 0)
  await cluster.kubectl(["rollout", "restart", "-n", "shop", "deployment/web"])
  await rolledOut("shop", "deployment/web")
  await until("the new pods are alone", async () =>
    (await podsOf("shop", "app=web")).every(one => proxies(one) === 0),
  )
}, 150_000)
