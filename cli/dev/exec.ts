// `conduit dev exec`: a command in a running container.
import { execCommand } from "../../deploy/mod.ts"
import { command } from "../command_line/command.ts"
import { UsageError } from "../failure.ts"
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
    // kubectl's fingers: a terminal is passed on by itself.
    stdin: {
      type: "boolean",
      alias: "i",
      description: "accepted as kubectl's; standard input is always passed on",
    },
    tty: {
      type: "boolean",
      alias: "t",
      description: "accepted as kubectl's; a terminal is always passed on",
    },
    pod: { type: "positional", valueHint: "POD", description: "web-5d9c-x1, or deploy/web", required: true },
  },
  variadic: true,
  examples: [
    { line: "conduit dev exec deploy/web -- curl -s http://cart:8080/", why: "a call from inside" },
    { line: "conduit dev exec web-0 -n shop -- sh", why: "a shell in a pod" },
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
    // The terminal sends its signals to the whole group: this process only waits for the command's own answer.
    process.on("SIGINT", () => {})
    const child = Bun.spawn(line, { stdin: "inherit", stdout: "inherit", stderr: "inherit" })
    process.on("SIGTERM", () => child.kill("SIGTERM"))
    const code = await child.exited
    process.exit(code)
  },
})
