#!/usr/bin/env bun
// `conduit`: reads the command line, runs one command, turns whatever goes wrong into a sentence and an exit code.
import { dispatch, type Program } from "./command_line/dispatch.ts"
import { COMMANDS } from "./commands.ts"
import { tell } from "./failure.ts"
import { GLOBAL_FLAGS } from "./flags.ts"
import { colourOn, say, writeOut } from "./output.ts"

const program: Program = {
  name: "conduit",
  about: "An ultralight service mesh for Kubernetes, and for one Linux machine without it.",
  entries: COMMANDS,
  globals: GLOBAL_FLAGS,
  examples: [
    { line: "conduit stat deploy -A", why: "how every Deployment is doing" },
    { line: "conduit edges deploy -n shop", why: "who calls whom in a namespace" },
  ],
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
