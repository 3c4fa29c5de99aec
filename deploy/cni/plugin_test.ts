// The plugin's answers, request by request, as a runtime sees them; what it does to the world is written down.
import { expect, test } from "bun:test"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import fc from "fast-check"
import { inject } from "../inject/mod.ts"
import type { RedirectOptions } from "../redirect/mod.ts"
import { fileCredentials, kubeconfigText } from "./kubeconfig.ts"
import { answer, type PluginWorld } from "./plugin.ts"
import type { Pod } from "./pod_redirect.ts"
import { SUPPORTED_VERSIONS } from "./request.ts"

const ENV = {
  CNI_COMMAND: "ADD",
  CNI_CONTAINERID: "c1",
  CNI_NETNS: "/run/netns/cni-1",
  CNI_IFNAME: "eth0",
  CNI_PATH: "/opt/cni/bin",
  CNI_ARGS:
    "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-1;K8S_POD_INFRA_CONTAINER_ID=c1;K8S_POD_UID=u1",
}
const RESULT = {
  cniVersion: "1.0.0",
  interfaces: [{ name: "eth0", sandbox: "/run/netns/cni-1", mac: "aa:bb" }],
  ips: [{ interface: 0, address: "10.1.0.5/24", gateway: "10.1.0.1" }],
  dns: { nameservers: ["10.96.0.10"] },
  somebodysOwn: { kept: [1, null, "x"] },
}
const CONFIG = {
  cniVersion: "1.0.0",
  name: "pods",
  type: "conduit-cni",
  kubeconfig: "/etc/cni/net.d/conduit-cni-kubeconfig",
  excludeNamespaces: ["kube-system"],
  prevResult: RESULT,
}

function meshedPod(cni: boolean, annotations: Record<string, string> = {}): Pod {
  const { template } = inject(
    { metadata: { uid: "u1", annotations }, spec: { containers: [{ name: "web" }] } },
    {
      namespace: "shop",
      workload: { kind: "Deployment", name: "web" },
      byDefault: "enabled",
      conduitNamespace: "conduit",
      version: "1",
      nativeSidecar: true,
      cni,
    },
  )
  return template
}

const PLAIN: Pod = { metadata: { uid: "u1" }, spec: { containers: [{ name: "web" }] } }

/** A world with one pod, or one that answers with an error. */
function worldOf(pod: Pod | null | Error, complaint: string | null = null) {
  const done: { netns: string; options: RedirectOptions }[] = []
  const said: string[] = []
  const asked: string[] = []
  const world: PluginWorld = {
    readPod: async ({ namespace, name }, kubeconfig) => {
      asked.push(`${kubeconfig} ${namespace}/${name}`)
      if (pod instanceof Error) throw pod
      return pod
    },
    redirect: (netns, options) => {
      done.push({ netns, options })
      return complaint
    },
    isRedirected: () => complaint === null,
    say: line => said.push(line),
  }
  return { world, done, said, asked }
}

async function ask(
  world: PluginWorld,
  env: Record<string, string | undefined> = {},
  config: unknown = CONFIG,
) {
  const text = typeof config === "string" ? config : JSON.stringify(config)
  const { stdout, exitCode } = await answer({ ...ENV, ...env }, text, world)
  return { exitCode, document: stdout === "" ? null : JSON.parse(stdout) }
}

test("a pod with our proxy is redirected as its conduit-validate says, and the result is passed on as it came", async () => {
  const pod = meshedPod(true, {
    "config.conduit.io/skip-inbound-ports": "9000-9100",
    "config.conduit.io/proxy-uid": "3000",
  })
  const { world, done, asked } = worldOf(pod)
  expect(await ask(world)).toEqual({ exitCode: 0, document: RESULT })
  expect(asked).toEqual(["/etc/cni/net.d/conduit-cni-kubeconfig shop/web-1"])
  expect(done).toEqual([
    {
      netns: "/run/netns/cni-1",
      options: {
        inboundPort: 4143,
        outboundPort: 4140,
        proxyUid: 3000,
        skipInboundPorts: [{ from: 9000, to: 9100 }],
      },
    },
  ])
})

test("a pod with our proxy alone is redirected as its annotations say", async () => {
  const pod = meshedPod(true, { "config.conduit.io/skip-outbound-ports": "25" })
  const inits = pod.spec.initContainers?.filter(one => one.name !== "conduit-validate") ?? []
  const { world, done } = worldOf({ ...pod, spec: { ...pod.spec, initContainers: inits } })
  await ask(world)
  expect(done[0]?.options).toEqual({
    proxyUid: 2102,
    skipInboundPorts: [],
    skipOutboundPorts: [{ from: 25, to: 25 }],
  })
})

const onHost = meshedPod(true)
onHost.spec.hostNetwork = true
const named: Pod = { ...PLAIN, spec: { containers: [{ name: "web" }, { name: "conduit-proxy" }] } }

test.each<[string, Pod | null | Error, Record<string, string>]>([
  ["without our proxy", PLAIN, {}],
  ["with conduit-init, which does it itself", meshedPod(false), {}],
  ["with a container of our name that inject did not put there", named, {}],
  ["on the node's own network", onHost, {}],
  ["that the API does not have, such as a static one", null, {}],
  [
    "whose name is another's already",
    { ...meshedPod(true), metadata: { ...meshedPod(true).metadata, uid: "u2" } },
    {},
  ],
  ["that nobody can be asked about", new Error("ECONNREFUSED"), {}],
  ["that is none", meshedPod(true), { CNI_ARGS: "IgnoreUnknown=1" }],
])("a pod %s passes untouched", async (_, pod, env) => {
  const { world, done, said } = worldOf(pod)
  expect(await ask(world, env)).toEqual({ exitCode: 0, document: RESULT })
  expect(done).toEqual([])
  expect(said.length).toBe(pod instanceof Error ? 1 : 0)
})

test("nobody is asked about pods of namespaces that are left out", async () => {
  const { world, asked, done } = worldOf(meshedPod(true))
  await ask(world, { CNI_ARGS: "K8S_POD_NAMESPACE=kube-system;K8S_POD_NAME=coredns-1" })
  expect({ asked, done }).toEqual({ asked: [], done: [] })
})

test("a meshed pod that cannot be redirected fails, and the runtime is told why", async () => {
  const { world } = worldOf(meshedPod(true), "the pod's TCP could not be redirected: no nftables")
  expect(await ask(world)).toEqual({
    exitCode: 1,
    document: {
      cniVersion: "1.0.0",
      code: 11,
      msg: "conduit-cni: pod shop/web-1: the pod's TCP could not be redirected: no nftables",
    },
  })
})

test("a meshed pod whose settings cannot be used fails", async () => {
  const pod = meshedPod(true)
  const [validate] = pod.spec.initContainers ?? []
  if (validate !== undefined) validate.args = ["--proxy-uid=root"]
  const { exitCode, document } = await ask(worldOf(pod).world)
  expect({ exitCode, code: document.code }).toEqual({ exitCode: 1, code: 7 })
  expect(document.msg).toBe(
    "conduit-cni: pod shop/web-1 cannot be redirected: --proxy-uid=root is not a number from 1 to 4294967294",
  )
})

test.each(["DEL", "GC", "STATUS"])("%s succeeds without a word, and asks nobody", async command => {
  const { world, asked } = worldOf(meshedPod(true), "broken")
  expect(await ask(world, { CNI_COMMAND: command })).toEqual({ exitCode: 0, document: null })
  expect(asked).toEqual([])
})

test("CHECK fails for a meshed pod whose redirect is gone, and for no other", async () => {
  const check = { CNI_COMMAND: "CHECK" }
  expect(await ask(worldOf(meshedPod(true)).world, check)).toEqual({ exitCode: 0, document: null })
  expect(await ask(worldOf(PLAIN, "gone").world, check)).toEqual({ exitCode: 0, document: null })
  const { exitCode, document } = await ask(worldOf(meshedPod(true), "gone").world, check)
  expect({ exitCode, msg: document.msg }).toEqual({
    exitCode: 1,
    msg: "conduit-cni: pod shop/web-1: its redirect is gone",
  })
})

test("VERSION tells what is supported, whatever version it is asked in", async () => {
  for (const cniVersion of ["1.0.0", "9.9.9"]) {
    const { document } = await ask(worldOf(null).world, { CNI_COMMAND: "VERSION" }, { cniVersion })
    expect(document).toEqual({ cniVersion, supportedVersions: [...SUPPORTED_VERSIONS] })
  }
})

test.each<[string, Record<string, string | undefined>, unknown, number, string]>([
  [
    "an unknown command",
    { CNI_COMMAND: "UPDATE" },
    CONFIG,
    4,
    'CNI_COMMAND is "UPDATE"; it must be one of ADD, DEL',
  ],
  ["no command", { CNI_COMMAND: undefined }, CONFIG, 4, 'CNI_COMMAND is ""'],
  ["no network namespace", { CNI_NETNS: "" }, CONFIG, 4, "ADD needs CNI_NETNS"],
  ["arguments that are none", { CNI_ARGS: "K8S_POD_NAME" }, CONFIG, 4, 'CNI_ARGS has "K8S_POD_NAME"'],
  [
    "a path for a name",
    { CNI_ARGS: "K8S_POD_NAME=..;K8S_POD_NAMESPACE=a/b" },
    CONFIG,
    4,
    "CNI_ARGS names no pod",
  ],
  [
    "a version of the future",
    {},
    { ...CONFIG, cniVersion: "2.0.0" },
    1,
    'cniVersion "2.0.0" is not supported',
  ],
  ["no version", {}, { ...CONFIG, cniVersion: undefined }, 1, 'cniVersion "0.1.0" is not supported'],
  ["a version that is none", {}, { ...CONFIG, cniVersion: 1 }, 1, "cniVersion 1 is not supported"],
  ["no JSON", {}, "{", 6, "is not JSON"],
  ["nothing", {}, "", 6, "is not JSON"],
  ["a list", {}, "[]", 6, "is no JSON object"],
  ["more than anyone needs", {}, `{"a":"${"a".repeat(1024 * 1024)}"}`, 6, "is larger than 1048576 bytes"],
  ["no result of others", {}, { ...CONFIG, prevResult: undefined }, 7, "there is no prevResult"],
  [
    "a kubeconfig that is no path",
    {},
    { ...CONFIG, kubeconfig: 1 },
    7,
    '"kubeconfig" of the configuration must be text',
  ],
  ["namespaces that are none", {}, { ...CONFIG, excludeNamespaces: [1] }, 7, "must be a list of names"],
])("%s is refused with a code and a sentence", async (_, env, config, code, sentence) => {
  const { exitCode, document } = await ask(worldOf(PLAIN).world, env, config)
  expect({ exitCode, code: document.code }).toEqual({ exitCode: 1, code })
  expect(document.msg).toContain(sentence)
})

test("whatever result came before, it comes out the same, in every version", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.dictionary(fc.string(), fc.jsonValue()),
      fc.constantFrom(...SUPPORTED_VERSIONS),
      async (result, cniVersion) => {
        const text = JSON.stringify({ ...CONFIG, cniVersion, prevResult: result })
        const { stdout, exitCode } = await answer(ENV, text, worldOf(PLAIN).world)
        expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: `${JSON.stringify(result)}\n` })
      },
    ),
  )
})

test("whatever comes in, what goes out is one JSON document, and nothing throws", async () => {
  const env = fc.record({ CNI_COMMAND: fc.constantFrom("ADD", "CHECK", "DEL", ""), CNI_ARGS: fc.string() })
  await fc.assert(
    fc.asyncProperty(env, fc.oneof(fc.string(), fc.json()), async (given, text) => {
      const { stdout } = await answer({ ...ENV, ...given }, text, worldOf(PLAIN).world)
      if (stdout !== "") JSON.parse(stdout)
    }),
  )
})

test("the kubeconfig is read as it was written, again for each request, and its secrets stand in no sentence", async () => {
  const folder = mkdtempSync(join(tmpdir(), "conduit-cni-"))
  const path = join(folder, "config")
  try {
    expect(() => fileCredentials(path)).toThrow(`cannot read ${path} (ENOENT)`)
    writeFileSync(path, "token: secret")
    expect(() => fileCredentials(path)).toThrow("is not a kubeconfig that the installer")
    const facts = { server: "https://10.96.0.1:443", authority: "PEM\n", token: "secret-1" }
    writeFileSync(path, kubeconfigText(facts))
    const credentials = fileCredentials(path)
    writeFileSync(path, kubeconfigText({ ...facts, token: "secret-2" }))
    expect(await credentials.current(false)).toEqual({
      server: facts.server,
      headers: { authorization: "Bearer secret-2" },
      tls: { ca: "PEM\n" },
      proxy: "",
    })
  } finally {
    rmSync(folder, { recursive: true })
  }
})
