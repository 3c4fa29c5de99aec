// `conduit check`: whether a mesh can be installed, and whether one that runs is well.
import { existsSync } from "node:fs"
import { homedir } from "node:os"
import { join } from "node:path"
import { KubeApi, kubeconfigCredentials } from "../../deploy/kubernetes/mod.ts"
import { findLocalMesh, runningMeshes } from "../../deploy/mod.ts"
import type { ApiClient } from "../../protos/mod.ts"
import type { Moment } from "./check.ts"
import { ClusterWorld } from "./cluster_world.ts"
import { LocalWorld } from "./local.ts"
import { Printer, reportOf, succeeded } from "./print.ts"
import { checksFor, runChecks } from "./run.ts"
import { CHECKS } from "./table.ts"
import { command } from "../command_line/command.ts"
import { parseDurationMs } from "../command_line/duration.ts"
import { withApi } from "../connect.ts"
import { Failure, UsageError } from "../failure.ts"
import { GLOBAL_FLAGS, type GlobalArgs } from "../flags.ts"
import { planeNamespace } from "../kubernetes.ts"
import { colourOn, formatOf, renderData, writeOut } from "../output.ts"
import { CLIENT_VERSION } from "../version.ts"

/** How long what starts is waited for unless --wait says otherwise: Linkerd's figure; a node may have to pull images. */
export const DEFAULT_WAIT_MS = 300_000

const OUTPUTS = ["table", "short", "json", "yaml"] as const

/** `conduit check`. */
export const check = command({
  meta: { name: "check", description: "Says whether all is well with a mesh, and what to do if it is not" },
  args: {
    ...GLOBAL_FLAGS,
    namespace: {
      type: "string",
      alias: "n",
      valueHint: "NAMESPACE",
      description: "namespace whose pods, policies and Services are looked at (default: all)",
    },
    pre: { type: "boolean", description: "before an installation: whether a mesh can be installed" },
    proxy: { type: "boolean", description: "the data plane: pods with a proxy (-n takes one namespace)" },
    wait: {
      type: "string",
      valueHint: "DURATION",
      description:
        "go on until all is well, for this long (default: 5m, and only for what starts; 0s never waits)",
    },
    verbose: { type: "boolean", description: "also name the checks that could not be made" },
    output: { type: "string", alias: "o", valueHint: "FORMAT", description: "table, short, json or yaml" },
  },
  offers: { output: OUTPUTS },
  examples: [
    { line: "conduit check --pre", why: "whether this cluster, or this machine, can have a mesh" },
    { line: "conduit check", why: "the control plane, its certificates and policies" },
    { line: "conduit check --proxy -n shop", why: "the pods of a namespace" },
    {
      line: "conduit check --wait 2m -o short",
      why: "for scripts: only what is wrong, exit code 1 if anything failed",
    },
  ],
  async run({ args }) {
    const format = formatOf(args.output, OUTPUTS)
    if (args.pre && args.proxy) throw new UsageError("--pre and --proxy cannot be used together")
    const moment: Moment = args.pre ? "pre" : args.proxy ? "proxy" : "installed"
    const waitMs = args.wait === undefined ? DEFAULT_WAIT_MS : parseDurationMs(args.wait, "--wait")
    const world = await findWorld(args, moment, process.env)
    const people = format === "table" || format === "short"
    const terminal = process.stdout.isTTY === true
    const look = { ticks: terminal, colour: colourOn(process.stdout, process.env), short: format === "short" }
    const printer = new Printer({ ...look, verbose: args.verbose === true }, writeOut)
    const progress = waitingLine()
    const all = await runChecks(checksFor(CHECKS, world, moment), world, {
      waitMs,
      waitForAll: args.wait !== undefined,
      onBegin: ({ section, about }) => progress.say(`${section}: ${about}?`),
      onMade: made => {
        progress.end()
        if (people) printer.made(made)
      },
      onWaiting: ({ section, about }, finding, leftMs) => {
        const why = finding.state === "success" ? "" : finding.why
        progress.say(
          `${section}: waiting until ${about}, ${Math.ceil(leftMs / 1000)} s more: ${why.split("\n", 1)[0]}`,
        )
      },
      nowMs: () => performance.now(),
      sleep: ms => Bun.sleep(ms),
    })
    if (people) printer.summary(all)
    else writeOut(await renderData(reportOf(all), format))
    if (!succeeded(all)) process.exitCode = 1
  },
})

/** One line of standard error that is written over, on a terminal; nothing elsewhere. */
function waitingLine(): { say(text: string): void; end(): void } {
  const { stderr } = process
  let shown = false
  return {
    say(text) {
      if (stderr.isTTY !== true) return
      stderr.write(`\r\u001b[K${text.slice(0, (stderr.columns ?? 80) - 1)}`)
      shown = true
    },
    end() {
      if (shown) stderr.write("\r\u001b[K")
      shown = false
    },
  }
}

type Environment = Readonly<Record<string, string | undefined>>

/**
 * Finds it: --kubeconfig or --context, --mesh, a local mesh that runs, then the kubeconfig that kubectl would take. Before
 * an installation a local mesh that runs is beside the point.
 *
 * @throws Failure when several local meshes run and none is chosen
 */
export async function findWorld(
  args: GlobalArgs,
  moment: Moment,
  env: Environment,
): Promise<ClusterWorld | LocalWorld> {
  const options = {
    planeNamespace: planeNamespace(args),
    // Unlike where figures are shown, what nobody looked at would pass for well.
    namespace: args["all-namespaces"] ? "" : (args.namespace ?? ""),
    version: CLIENT_VERSION,
    ask: <T>(call: (api: ApiClient) => Promise<T>) => withApi(args, call),
    connect: async () => new KubeApi(await kubeconfigCredentials(args.kubeconfig ?? "", args.context ?? "")),
  }
  if (args.kubeconfig !== undefined || args.context !== undefined) return new ClusterWorld(options)
  const wanted = args.mesh || env.CONDUIT_DEV_NAME || ""
  if (wanted !== "") return new LocalWorld({ ...options, mesh: findLocalMesh(wanted), wanted })
  const meshes = moment === "pre" ? [] : await runningMeshes()
  const mesh = meshes.find(({ name }) => name === "dev") ?? (meshes.length === 1 ? meshes[0] : undefined)
  if (mesh !== undefined) return new LocalWorld({ ...options, mesh, wanted: "" })
  if (meshes.length > 1) {
    const names = meshes.map(({ name }) => name).join(", ")
    throw new Failure(`several local meshes run (${names}): choose one with --mesh NAME`)
  }
  if (hasKubeconfig(env)) return new ClusterWorld(options)
  return new LocalWorld({ ...options, mesh: null, wanted: "" })
}

/** Whether kubectl would find a cluster without being told of one. */
function hasKubeconfig(env: Environment): boolean {
  if ((env.KUBECONFIG ?? "") !== "" || (env.KUBERNETES_SERVICE_HOST ?? "") !== "") return true
  return existsSync(join(env.HOME ?? homedir(), ".kube", "config"))
}
