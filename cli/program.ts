// The command line: reads the words, runs one command, turns whatever goes wrong into a sentence and an exit code.
import { dispatch, type Program } from "./command_line/dispatch.ts"
import { COMMANDS } from "./commands.ts"
import { tell } from "./failure.ts"
import { GLOBAL_FLAGS, SEARCH_ORDER } from "./flags.ts"
import { colourOn, say, writeOut } from "./output.ts"

/**
 * Runs the process's command line to its end, and sets the exit code.
 *
 * @param name  what a person types for it: `conduit` or `kubectl conduit`
 */
export async function runCommandLine(name: string): Promise<void> {
  const program: Program = {
    name,
    about: "An ultralight service mesh for Kubernetes, and for one Linux machine without it.",
    entries: COMMANDS,
    globals: GLOBAL_FLAGS,
    examples: [
      { line: "conduit stat deploy -A", why: "how every Deployment is doing" },
      { line: "conduit edges deploy -n shop", why: "who calls whom in a namespace" },
    ],
    notes: { title: "Which control plane is asked, the first that there is", lines: SEARCH_ORDER },
    colour: colourOn(process.stdout, process.env),
    out: writeOut,
  }

  // A reader that leaves early (| head) is no error.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1))
  // A command that has something to clean up listens for itself.
  process.on("SIGINT", () => {
    if (process.listenerCount("SIGINT") === 1) process.exit(130)
  })

  try {
    await dispatch(program, process.argv.slice(2))
  } catch (error) {
    const { sentence, exitCode } = tell(error)
    say(`conduit: ${sentence}`)
    if (process.env.CONDUIT_DEBUG && error instanceof Error) say(error.stack ?? "")
    process.exitCode = exitCode
  }
}
