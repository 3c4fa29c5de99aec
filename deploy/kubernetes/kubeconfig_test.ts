// Kubeconfigs as kubectl reads them, and what is said about those that cannot be used.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { kubeconfigCredentials, NoKubeconfigError } from "./kubeconfig.ts"
import { issue, newAuthority } from "./lab.ts"

const folder = mkdtempSync(join(tmpdir(), "conduit-kubeconfig-"))
afterAll(() => rmSync(folder, { recursive: true }))

function config(current: string, ...names: string[]): object {
  return {
    "current-context": current,
    contexts: names.map(name => ({ name, context: { cluster: name, user: name, namespace: `of-${name}` } })),
    clusters: names.map(name => ({ name, cluster: { server: `https://${name}.example:6443/` } })),
    users: names.map(name => ({ name, user: { token: `token-${name}` } })),
  }
}

function file(name: string, content: object | string): string {
  const path = join(folder, name)
  mkdirSync(join(path, ".."), { recursive: true })
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content))
  return path
}

const HOME = join(folder, "home")
beforeAll(() => void file("home/.kube/config", config("home", "home", "spare")))

async function read(path: string, context = "", env: Record<string, string> = {}) {
  const source = await kubeconfigCredentials(path, context, { env, home: HOME })
  const { headers } = await source.current(false)
  return {
    server: source.server,
    namespace: source.namespace,
    who: headers.Authorization ?? headers.authorization,
  }
}

test("--kubeconfig, then KUBECONFIG, then ~/.kube/config, each with its current context unless one is chosen", async () => {
  const one = file("one.yaml", config("one", "one", "other"))
  const env = { KUBECONFIG: file("env.yaml", config("env", "env")) }
  expect(await read(one, "", env)).toEqual({
    server: "https://one.example:6443",
    namespace: "of-one",
    who: "Bearer token-one",
  })
  expect((await read(one, "other")).server).toBe("https://other.example:6443")
  expect((await read("", "", env)).server).toBe("https://env.example:6443")
  expect((await read("")).server).toBe("https://home.example:6443")
})

test("files of a KUBECONFIG list are put together, the first one wins, and missing ones are left out", async () => {
  const first = file("first.yaml", { ...config("", "a"), "current-context": "" })
  const second = file("second.yaml", {
    ...config("b", "a", "b"),
    clusters: [
      { name: "a", cluster: { server: "https://wrong.example" } },
      { name: "b", cluster: { server: "https://b.example" } },
    ],
  })
  const env = { KUBECONFIG: [first, join(folder, "none.yaml"), second].join(":") }
  expect((await read("", "", env)).server).toBe("https://b.example")
  expect((await read("", "a", env)).server).toBe("https://a.example:6443")
})

test("no kubeconfig at all is told apart from one that cannot be used", async () => {
  const reading = kubeconfigCredentials("", "", { env: {}, home: join(folder, "nobody") })
  await expect(reading).rejects.toBeInstanceOf(NoKubeconfigError)
  const missing = kubeconfigCredentials("", "", { env: { KUBECONFIG: "/none/config" }, home: HOME })
  await expect(missing).rejects.toThrow("no kubeconfig is at /none/config")
})

test.each([
  ["a file that is not there", null, "", "cannot read kubeconfig FILE (ENOENT)"],
  ["no YAML", "clusters:\n  - {name: a\n", "", "cannot read kubeconfig FILE:3:1: "],
  ["an indentation that is none", "a: b\n c: d\n", "", "cannot read kubeconfig FILE:2:3: bad indentation"],
  ["an empty file", "\n", "", "cannot read kubeconfig FILE: it is empty"],
  ["a cluster without name", "clusters: [{cluster: {server: x}}]", "", "FILE: clusters[0].name is missing"],
  [
    "something else",
    "- a\n- b\n",
    "",
    "sets no current-context: choose one with --context (it has no contexts)",
  ],
  ["no current context", config("", "a", "b"), "", "choose one with --context (it has a, b)"],
  [
    "a current context that is gone",
    config("c", "a", "b"),
    "",
    'the current-context "c" of kubeconfig FILE does not exist; it has a, b',
  ],
  [
    "a context that is not there",
    config("prod", "prod", "staging"),
    "stagin",
    'has no context "stagin" (did you mean "staging"?); it has prod, staging',
  ],
  [
    "a cluster that is not there",
    { ...config("a", "a"), clusters: [] },
    "",
    'the cluster "a" of context "a" is not in it',
  ],
  [
    "an address that is none",
    { ...config("a", "a"), clusters: [{ name: "a", cluster: { server: "here" } }] },
    "",
    'has no address but "here"',
  ],
])("of %s it is said what is wrong", async (what, content, context, sentence) => {
  const path =
    content === null ? join(folder, "absent.yaml") : file(`${what.replaceAll(" ", "-")}.yaml`, content)
  const failed = await kubeconfigCredentials(path, context, { env: {}, home: HOME }).catch(error => error)
  expect(failed.message.replaceAll(path, "FILE")).toContain(sentence)
})

test("a client certificate that has ended is told before the API server is asked, and a missing file by its name", async () => {
  const { cert, key } = await issue("jo", { by: await newAuthority(), notAfterMs: Date.now() - 1_000 })
  const user = {
    "client-certificate": file("old.crt", cert),
    "client-key": file("old.key", key),
  }
  const path = file("old.yaml", { ...config("a", "a"), users: [{ name: "a", user }] })
  await expect(read(path)).rejects.toThrow(`the client certificate of context "a" of ${path} has expired`)
  const lost = file("lost.yaml", {
    ...config("a", "a"),
    users: [{ name: "a", user: { ...user, "client-key": "gone.key" } }],
  })
  await expect(read(lost)).rejects.toThrow(join(folder, "gone.key"))
})
