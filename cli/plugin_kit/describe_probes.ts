// What the conformance kit asks of Describe, and of a plugin as a server.
import { PLUGIN_HOOKS, configurationCheck } from "../../deploy/plugin_object/mod.ts"
import { pluginV1 } from "../../protos/mod.ts"
import { type Bench, bytesOf, description, encoded } from "./bench.ts"
import { failed, ok, type Verdict, warning } from "./finding.ts"
import { DESCRIBE } from "./hook_methods.ts"
import type { Probe } from "./probe.ts"
import { endedText } from "./wire.ts"

/** semver.org, section 2 and 9. */
const SEMVER = /^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$/
const API_VERSION = "v1"
/** How many connections come and go. */
const RECONNECTIONS = 10

type Description = pluginV1.DescribeResponse

/** Probes of what Describe said, which has been asked before. */
export function describeProbes(said: Description): Probe[] {
  const sent = "Describe"
  return [
    {
      check: "Describe: a name for people",
      run: async () =>
        said.name.trim() !== "" && said.name.length <= 63
          ? ok(sent, said.name)
          : failed(
              sent,
              `name ${JSON.stringify(said.name.slice(0, 80))}`,
              "answer with a name of 1 to 63 characters",
            ),
    },
    {
      check: "Describe: a version",
      run: async () =>
        SEMVER.test(said.version)
          ? ok(sent, said.version)
          : failed(
              sent,
              `version ${JSON.stringify(said.version.slice(0, 80))}`,
              "answer with a version such as 1.2.0 (semver.org): plugin list shows it",
            ),
    },
    {
      check: "Describe: the version of the API",
      run: async () =>
        said.apiVersions.includes(API_VERSION)
          ? ok(`${sent} with api_versions ["${API_VERSION}"]`, said.apiVersions.join(", "))
          : failed(
              `${sent} with api_versions ["${API_VERSION}"]`,
              `api_versions [${said.apiVersions.join(", ")}]`,
              `name ${API_VERSION} in api_versions, or no control plane of this release calls the plugin`,
            ),
    },
    { check: "Describe: hooks", run: async () => hooksOf(said) },
    { check: "Describe: a JSON Schema of the configuration", run: async () => schemaOf(said) },
    { check: "Describe: the configuration fits", run: async bench => fits(said, bench) },
    { check: "Describe: says the same when asked again", run: async bench => same(said, bench) },
    { check: "Describe: a configuration that does not fit", run: async bench => misfit(said, bench) },
    { check: "Describe: a version of the API that it does not know", run: unknownVersion },
    { check: "Server: a method that no one knows", run: unknownMethod },
    { check: "Server: connections that come and go", run: reconnecting },
  ]
}

function hooksOf({ hooks }: Description): Verdict {
  const known = Object.values(pluginV1.Hook).filter(hook => hook !== pluginV1.Hook.UNSPECIFIED)
  const todo = `name one or more of ${PLUGIN_HOOKS.join(", ")}, each once`
  const names = hooks.map(hook => PLUGIN_HOOKS[hook - 1] ?? String(hook)).join(", ")
  if (hooks.length === 0) return failed("Describe", "no hooks", todo)
  if (hooks.includes(pluginV1.Hook.UNSPECIFIED)) return failed("Describe", "HOOK_UNSPECIFIED", todo)
  if (new Set(hooks).size < hooks.length) return failed("Describe", `hooks ${names}`, todo)
  if (hooks.some(hook => !known.some(one => one === hook)))
    return warning("Describe", `hooks ${names}`, "this release knows no such hook, and will not call it")
  return ok("Describe", names)
}

function schemaOf({ configurationSchema }: Description): Verdict {
  if (configurationSchema === "")
    return warning(
      "Describe",
      "no schema",
      "hand out a JSON Schema (2020-12), so that a mistake in spec.configuration is told to who makes it",
    )
  try {
    configurationCheck(configurationSchema)
    return ok("Describe", `${Buffer.byteLength(configurationSchema)} bytes`)
  } catch (error) {
    return failed("Describe", (error as Error).message, "hand out a JSON Schema (2020-12) of at most 256 KiB")
  }
}

function fits({ configurationSchema, problems }: Description, { options }: Bench): Verdict {
  const sent = `configuration ${JSON.stringify(options.configuration).slice(0, 120)}`
  let complaints: readonly { readonly path: string; readonly message: string }[] = problems
  try {
    complaints = [...configurationCheck(configurationSchema)(options.configuration), ...problems]
  } catch {
    // Said above.
  }
  const [first] = complaints
  if (first === undefined) return ok(sent, "no problems")
  return warning(
    sent,
    `${first.path || "/"} ${first.message}`,
    "hooks are asked with it all the same: give one that fits with -f PLUGIN.yaml, or have all fields optional",
  )
}

async function same(said: Description, bench: Bench): Promise<Verdict> {
  const { answer, ended } = await bench.unary(DESCRIBE, encoded(DESCRIBE, bench.context), bench.patienceMs)
  if (answer === null)
    return failed(
      "Describe, once more",
      endedText(ended),
      "answer each Describe: it is asked every few seconds",
    )
  const text = ({ name, version, hooks, configurationSchema }: Description): string =>
    JSON.stringify([name, version, hooks, configurationSchema])
  return text(description(answer)) === text(said)
    ? ok("Describe, once more", "the same")
    : failed(
        "Describe, once more",
        "another name, version, hooks or schema",
        "answer the same for the same configuration, from every replica",
      )
}

async function misfit({ configurationSchema }: Description, bench: Bench): Promise<Verdict> {
  const wrong = {
    "conduit-plugin-check": { deep: [1, "two", null, { three: true }] },
    ...misfitOf(configurationSchema),
  }
  const sent = `Describe with configuration ${JSON.stringify(wrong).slice(0, 160)}`
  const context = { ...bench.context, configuration: wrong }
  const { answer, ended } = await bench.unary(DESCRIBE, encoded(DESCRIBE, context), bench.patienceMs)
  if (answer === null || ended.code !== 0)
    return failed(
      sent,
      endedText(ended),
      "Describe comes before the configuration is checked: answer it whatever the configuration, with `problems` where you see some",
    )
  const { problems } = description(answer)
  const bad = problems.find(({ path, message }) => (path !== "" && !path.startsWith("/")) || message === "")
  if (bad !== undefined)
    return failed(
      sent,
      `a problem at ${JSON.stringify(bad.path)}`,
      "problems have a JSON Pointer such as /hours/0/from, and a message",
    )
  return ok(sent, problems.length === 0 ? "an answer" : `an answer with ${problems.length} problems`)
}

/** Each property of a schema with a value of another type. */
function misfitOf(schema: string): Record<string, unknown> {
  try {
    const { properties } = JSON.parse(schema) as { properties?: Record<string, { type?: unknown }> }
    return Object.fromEntries(
      Object.entries(properties ?? {}).map(([name, { type }]) => [
        name,
        type === "string" ? [true] : "conduit-plugin-check",
      ]),
    )
  } catch {
    return {}
  }
}

async function unknownVersion(bench: Bench): Promise<Verdict> {
  const sent = 'Describe with api_versions ["v99"]'
  const message = bytesOf(DESCRIBE.method.input, { context: bench.context, apiVersions: ["v99"] })
  const { answer, ended } = await bench.unary(DESCRIBE, message, bench.patienceMs)
  if (answer !== null) {
    const { apiVersions } = description(answer)
    return apiVersions.includes("v99")
      ? failed(
          sent,
          `api_versions [${apiVersions.join(", ")}]`,
          "name the versions that the plugin speaks, not those that it is asked with",
        )
      : ok(sent, `api_versions [${apiVersions.join(", ")}]`)
  }
  // INVALID_ARGUMENT, FAILED_PRECONDITION, UNIMPLEMENTED.
  return [3, 9, 12].includes(ended.code)
    ? ok(sent, endedText(ended))
    : failed(
        sent,
        endedText(ended),
        "answer with the versions that the plugin speaks, or with FAILED_PRECONDITION",
      )
}

async function unknownMethod(bench: Bench): Promise<Verdict> {
  const path = "/conduit.plugin.v1.PluginService/FromTheFuture"
  using wire = await bench.connect()
  const ended = await wire.call(path, bench.patienceMs).send(new Uint8Array()).end().within(bench.patienceMs)
  // A server of Connect or a router in front answers 404, which gRPC takes for UNIMPLEMENTED.
  if (ended.code === 12 || /HTTP status 404/.test(ended.message)) return ok(path, "UNIMPLEMENTED (12)")
  return failed(
    path,
    endedText(ended),
    "answer methods that the plugin does not have with UNIMPLEMENTED, as gRPC servers do by themselves",
  )
}

async function reconnecting(bench: Bench): Promise<Verdict> {
  const sent = `${RECONNECTIONS} connections, each cut off in the middle of a call`
  for (let index = 0; index < RECONNECTIONS; index++) {
    using wire = await bench.connect()
    wire
      .call(`/${DESCRIBE.method.parent.typeName}/${DESCRIBE.method.name}`, bench.patienceMs)
      .send(encoded(DESCRIBE, bench.context))
    await Bun.sleep(2)
  }
  const illness = await bench.illness(DESCRIBE)
  return illness === null
    ? ok(sent, "Describe is answered after them")
    : failed(
        sent,
        `Describe after them: ${illness}`,
        "let no connection's end be the plugin's: catch what handlers throw then",
      )
}
