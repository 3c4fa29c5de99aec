// `conduit dev exec`: a command in a running container.
import { constants } from "node:os"
import { execCommand, signalExec } from "../../deploy/mod.ts"
import { command } from "../command_line/command.ts"
import { UsageError } from "../failure.ts"
import { say } from "../output.ts"
import { containerOf, findPod, MESH_FLAGS, NAMESPACE_FLAG, runningMesh } from "./mesh.ts"

/** `conduit dev exec POD -- CMD`. */
export const exec = command({
  meta: { name: "exec", description: "Runs a command in a container of a local mesh" },
  args: {
    ...MESH_FLAGS,
    ...NAMESPACE_FLAG,
    container: {
      type: "string",
      alias: "c",
      valueHint: "CONTAINER",
      description: "which container (default: the first)",
    },
    stdin: {
      type: "boolean",
      alias: "i",
      description: "pass standard input on; a terminal is passed on without it",
    },
    tty: {
      type: "boolean",
      alias: "t",
      description: "for a command that wants a terminal; it gets this one",
    },
    pod: { type: "positional", valueHint: "POD", description: "web-5d9c-x1, or deploy/web", required: true },
  },
  variadic: true,
  examples: [
    { line: "conduit dev exec deploy/web -- curl -s http://cart:8080/", why: "a call from inside" },
    { line: "conduit dev exec -it web-0 -n shop -- sh", why: "a shell in a pod" },
    { line: "conduit dev exec -i db-0 -- psql < dump.sql", why: "with input from a file" },
    { line: "conduit dev exec deploy/web -c conduit-proxy -- id", why: "beside the proxy" },
  ],
  async run({ args, rawArgs }) {
    const dashes = rawArgs.indexOf("--")
    const words = dashes < 0 ? args._.slice(1) : rawArgs.slice(dashes + 1)
    if (words.length === 0)
      throw new UsageError("conduit dev exec: the command is missing: conduit dev exec POD -- COMMAND")
    const mesh = await runningMesh(args)
    const pod = await findPod(mesh, args.pod, args.namespace)
    const container = containerOf(pod, args.container)
    const term = process.env.TERM
    const line = await execCommand(
      mesh,
      { namespace: pod.namespace, pod: pod.name, container },
      words,
      term === undefined ? {} : { TERM: term },
    )
    const terminal = process.stdin.isTTY === true
    if (args.tty === true && !terminal) say("no terminal for -t: standard input is none")
    // As with kubectl a script's own input is left alone unless asked for.
    const stdin = args.stdin === true || terminal ? "inherit" : "ignore"
    // Listened to before there is a command: main.ts ends the process at a Ctrl-C that nobody listens to.
    let child: Bun.Subprocess | undefined
    for (const name of ["SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT"] as const) {
      process.on(name, () => {
        if (child === undefined) process.exit(128 + constants.signals[name])
        // A terminal has sent these to the command too.
        if (!terminal || name === "SIGTERM") signalExec(child.pid, name)
      })
    }
    child = Bun.spawn(line, { stdin, stdout: "inherit", stderr: "inherit" })
    process.exit(await child.exited)
  },
})
