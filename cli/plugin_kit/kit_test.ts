import { expect, test } from "bun:test"
import { makeServerCertificate } from "../../deploy/identity/mod.ts"
import { pluginV1 } from "../../protos/mod.ts"
import type { Finding } from "./finding.ts"
import { checkPlugin } from "./kit.ts"
import { DEFECTS, type Defect, LabPlugin } from "./lab_plugin.ts"

const { Hook } = pluginV1

/** Hooks that a defect shows in, and the check that must find it. */
const FOUND: Readonly<Record<Defect, { readonly hooks: readonly pluginV1.Hook[]; readonly by: string }>> = {
  "version-is-no-semver": { hooks: [Hook.CHECK], by: "Describe: a version" },
  "speaks-another-api": { hooks: [Hook.CHECK], by: "Describe: the version of the API" },
  "names-no-hook": { hooks: [], by: "Describe: hooks" },
  "schema-does-not-compile": { hooks: [Hook.CHECK], by: "Describe: a JSON Schema of the configuration" },
  "refuses-configurations": { hooks: [Hook.CHECK], by: "Describe: a configuration that does not fit" },
  "answers-late": { hooks: [Hook.IDENTITY], by: "Identity: answers in time" },
  "takes-garbage": { hooks: [Hook.CHECK], by: "Describe: garbage" },
  "dies-of-a-huge-message": {
    hooks: [Hook.CHECK],
    by: "Describe: a message of almost 4 MiB: answers after it",
  },
  "ends-streams": { hooks: [Hook.POLICY], by: "Policy: the stream stays open" },
  "never-answers-streams": { hooks: [Hook.DESTINATION], by: "Destination: answers in time" },
  "one-stream-only": { hooks: [Hook.DESTINATION], by: "Destination: streams side by side" },
  "one-call-at-a-time": { hooks: [Hook.AUTHORIZE], by: "Authorize: many calls at once" },
  "cancelled-calls-hold-on": { hooks: [Hook.AUTHORIZE], by: "Authorize: calls that are cancelled" },
  "policies-of-no-kind": { hooks: [Hook.POLICY], by: "Policy: answers in time" },
  "endpoints-of-no-address": { hooks: [Hook.DESTINATION], by: "Destination: answers in time" },
  "patches-the-image": { hooks: [Hook.INJECTION], by: "Injection: answers in time" },
  "denies-without-a-word": { hooks: [Hook.AUTHORIZE], by: "Authorize: answers in time" },
  "lines-without-state": { hooks: [Hook.CHECK], by: "Check: answers in time" },
  "mounts-our-services": { hooks: [Hook.API], by: "Api: answers in time" },
  "mounts-streams-of-callers": { hooks: [Hook.API], by: "Api: answers in time" },
  "draws-what-it-has-not": { hooks: [Hook.API], by: "Api: answers in time" },
  "draws-what-it-does-not-answer": { hooks: [Hook.API], by: "Api: panels have rows to draw" },
  "dies-of-lost-connections": { hooks: [Hook.CHECK], by: "Server: connections that come and go" },
}

async function findingsOf(address: string, only = ""): Promise<Finding[]> {
  const target = { address, tls: null }
  const options = { target, plugin: "lab", configuration: {}, deadlineMs: 500, patienceMs: 2000, only }
  return await checkPlugin(options)
}

test("a good plugin with every hook has nothing to correct", async () => {
  await using plugin = await LabPlugin.start(null)
  const findings = await findingsOf(plugin.address)
  expect(findings.filter(({ state }) => state !== "ok")).toEqual([])
  expect(findings.length).toBeGreaterThan(60)
}, 60_000)

for (const defect of DEFECTS) {
  test(`the kit finds a plugin that ${defect.replaceAll("-", " ")}`, async () => {
    await using plugin = await LabPlugin.start(defect, FOUND[defect].hooks)
    const [hook = "", check = ""] = FOUND[defect].by.split(": ")
    const findings = await findingsOf(plugin.address, `${hook}: ${check}`)
    const failed = findings.filter(({ state }) => state === "failed")
    expect(failed.map(({ check }) => check)).toContain(FOUND[defect].by)
    expect(failed.filter(({ todo }) => todo === "")).toEqual([])
  }, 60_000)
}

test("a word that no check has in its name is a failure, not a plugin without fault", async () => {
  await using plugin = await LabPlugin.start(null)
  const failed = (await findingsOf(plugin.address, "Polcy")).filter(({ state }) => state === "failed")
  expect(failed.map(({ sent }) => sent)).toEqual(["--only Polcy"])
})

test("where nothing listens the kit says so once", async () => {
  const plugin = await LabPlugin.start(null)
  const { address } = plugin
  await plugin[Symbol.asyncDispose]()
  const findings = await findingsOf(address)
  expect(findings.map(({ check, state }) => [check, state])).toEqual([["Server: answers Describe", "failed"]])
})

test("a plugin with a certificate is called by it, and one of another is not", async () => {
  const make = async (name: string) =>
    await makeServerCertificate({ name, dnsNames: [name], nowMs: Date.now(), lifetimeMs: 3_600_000 })
  const [own, other] = [await make("lab.example"), await make("lab.example")]
  await using plugin = await LabPlugin.start(null, [Hook.CHECK], { cert: own.certificate, key: own.key })
  const states = async (ca: string, serverName: string): Promise<string[]> => {
    const target = { address: plugin.address, tls: { ca, serverName } }
    const options = { target, plugin: "lab", configuration: {}, deadlineMs: 2000, only: "Check: answers" }
    return (await checkPlugin(options)).map(({ state }) => state)
  }
  expect(await states(own.certificate, "lab.example")).toEqual(["ok", "ok"])
  expect(await states(own.certificate, "mars.example")).toEqual(["failed"])
  expect(await states(other.certificate, "lab.example")).toEqual(["failed"])
})
