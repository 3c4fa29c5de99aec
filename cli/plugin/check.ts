// `conduit plugin check`: the conformance kit against a plugin at any address.
import { readFileSync, writeFileSync } from "node:fs"
import { parseAllDocuments } from "yaml"
import { readPlugin } from "../../deploy/plugin_object/mod.ts"
import { command } from "../command_line/command.ts"
import { parseDurationMs } from "../command_line/duration.ts"
import { Failure, UsageError } from "../failure.ts"
import { type JUnitCase, junitXml } from "../junit.ts"
import { colourOn, formatOf, renderData, say, writeOut } from "../output.ts"
import { checkPlugin, type Finding } from "../plugin_kit/mod.ts"
import { printable } from "../printable.ts"

const OUTPUTS = ["table", "wide", "json", "yaml", "junit"] as const
const ADDRESS = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9][-A-Za-z0-9.]*):([0-9]{1,5})$/
/** As the control plane's where a Plugin object names none. */
const DEFAULT_DEADLINE = "500ms"

/** `conduit plugin check`. */
export const check = command({
  meta: { name: "check", description: "Tries a plugin at any address: contract, deadlines, hostile input" },
  args: {
    address: {
      type: "positional",
      valueHint: "ADDRESS",
      description: "host:port that the plugin listens on",
    },
    filename: {
      type: "string",
      alias: "f",
      valueHint: "FILE",
      description: "its Plugin object: the configuration and the deadline are taken from there",
    },
    deadline: {
      type: "string",
      valueHint: "DURATION",
      description: `how long an answer may take (default: of -f, or ${DEFAULT_DEADLINE})`,
    },
    tls: {
      type: "boolean",
      description: "the plugin serves TLS, with a certificate that this system trusts",
    },
    ca: {
      type: "string",
      valueHint: "FILE",
      description: "the plugin serves TLS, with a certificate of this CA (PEM)",
    },
    "server-name": {
      type: "string",
      valueHint: "NAME",
      description: "name that the certificate bears (default: the host of the address)",
    },
    only: {
      type: "string",
      valueHint: "TEXT",
      description: "only checks with this in their name, such as a hook",
    },
    junit: {
      type: "string",
      valueHint: "FILE",
      description: "also write the findings there, for a CI system",
    },
    output: {
      type: "string",
      alias: "o",
      valueHint: "FORMAT",
      description: "table, wide, json, yaml or junit",
    },
  },
  offers: { output: OUTPUTS },
  examples: [
    { line: "conduit plugin check 127.0.0.1:9090", why: "exit code 1 if the mesh would not take it" },
    {
      line: "conduit plugin check 127.0.0.1:9090 -f plugin.yaml",
      why: "with the configuration of its object",
    },
    {
      line: "conduit plugin check registry.example:443 --tls -o wide",
      why: "with what was sent and what came",
    },
    { line: "conduit plugin check localhost:9090 --junit kit.xml", why: "in a pipeline" },
  ],
  async run({ args }) {
    const format = formatOf(args.output, OUTPUTS)
    const { address = "" } = args
    const [, , port] = ADDRESS.exec(address) ?? []
    if (!(Number(port) >= 1 && Number(port) <= 65_535))
      throw new UsageError(`plugin check cannot call "${address}"; write host:port, such as 127.0.0.1:9090`)
    const object = args.filename === undefined ? null : pluginOf(args.filename)
    const tls =
      args.tls === true || args.ca !== undefined
        ? { ca: args.ca === undefined ? "" : textOf(args.ca, "--ca"), serverName: args["server-name"] ?? "" }
        : null
    if (tls === null && args["server-name"] !== undefined)
      throw new UsageError("--server-name needs --tls or --ca: there is no certificate otherwise")
    const deadlineMs =
      args.deadline !== undefined || object === null
        ? parseDurationMs(args.deadline ?? DEFAULT_DEADLINE, "--deadline")
        : Math.min(...object.hooks.map(hook => hook.deadlineMs))
    if (deadlineMs < 1 || deadlineMs > 10_000)
      throw new UsageError(`--deadline cannot be "${args.deadline}"; it is from 1ms to 10s`)
    const people = format === "table" || format === "wide"
    const colour = colourOn(process.stdout, process.env)
    const start = performance.now()
    const findings = await checkPlugin(
      {
        target: { address, tls },
        plugin: object?.name ?? "plugin-check",
        configuration: object?.configuration ?? {},
        deadlineMs,
        only: args.only ?? "",
      },
      finding => {
        if (people) writeOut(findingText(finding, format === "wide", colour))
      },
    )
    const seconds = Math.round(performance.now() - start) / 1000
    const xml = junitXml("conduit plugin check", findings.map(caseOf), seconds)
    if (args.junit !== undefined) write(args.junit, xml)
    const failures = findings.filter(({ state }) => state === "failed").length
    const warnings = findings.filter(({ state }) => state === "warning").length
    if (format === "junit") writeOut(xml)
    else if (format === "json" || format === "yaml")
      writeOut(await renderData({ passed: failures === 0, address, findings }, format))
    if (people)
      say(
        `\n${findings.length - failures - warnings} ok, ${warnings} ${warnings === 1 ? "warning" : "warnings"}, ${failures} failed in ${seconds} s`,
      )
    if (failures > 0) process.exitCode = 1
  },
})

const COLOURS = { ok: 32, warning: 33, failed: 31 } as const

/** A finding for people; a plugin's own words are a stranger's. */
function findingText(
  { check, state, sent, came, todo, ms }: Finding,
  wide: boolean,
  colour: boolean,
): string {
  const word = (state === "failed" ? "FAILED" : state).padEnd(7)
  const shown = colour ? `\u001b[${COLOURS[state]}m${word}\u001b[0m` : word
  const more = [
    ...(wide || state !== "ok" ? [`sent: ${printable(sent)}`, `came: ${printable(came)}`] : []),
    ...(todo === "" ? [] : [`do:   ${todo}`]),
  ]
  return [
    `${shown}  ${check}${wide ? `  (${ms} ms)` : ""}`,
    ...more.map(line => `           ${line}`),
    "",
  ].join("\n")
}

function caseOf({ check, state, sent, came, todo, ms }: Finding): JUnitCase {
  return {
    ...{ name: check, seconds: ms / 1000 },
    failure: state === "failed" ? `sent: ${sent}; came: ${came}; do: ${todo}` : null,
  }
}

/** The Plugin object of a file, which may have others beside it. */
function pluginOf(file: string): NonNullable<ReturnType<typeof readPlugin>["plugin"]> {
  const documents = parseAllDocuments(textOf(file, "-f"))
  const objects = documents.map(one => (one as { toJS(): unknown }).toJS() as { kind?: unknown } | null)
  const found = objects.find(object => object?.kind === "Plugin")
  if (found === undefined) throw new Failure(`plugin check: ${file} has no object of kind Plugin`)
  const { plugin, complaints } = readPlugin(found)
  if (plugin !== null) return plugin
  const [first] = complaints
  throw new Failure(
    first === undefined
      ? `plugin check: the Plugin of ${file} is not of conduit.io/v1alpha1`
      : `plugin check: ${file}: ${first.path.join(".")} ${first.message}`,
  )
}

function textOf(file: string, flag: string): string {
  try {
    return readFileSync(file, "utf8")
  } catch (error) {
    throw new Failure(`plugin check: ${flag} ${file} cannot be read: ${(error as Error).message}`, {
      cause: error,
    })
  }
}

function write(file: string, text: string): void {
  try {
    writeFileSync(file, text)
  } catch (error) {
    throw new Failure(`plugin check: --junit ${file} cannot be written: ${(error as Error).message}`, {
      cause: error,
    })
  }
}
