// What inject and uninject share: reading what the command line names, and the report on standard error.
import { type Input, InputError, type Report, readInputs } from "../../deploy/manifests/mod.ts"
import { Failure, UsageError } from "../failure.ts"
import { colourOn, say } from "../output.ts"

/** Manifests of files, folders, addresses and standard input. @throws Failure for what cannot be read */
export async function readManifests(paths: readonly string[]): Promise<Input[]> {
  try {
    return await readInputs(paths, { stdin: () => Bun.stdin.stream(), fetch })
  } catch (error) {
    throw error instanceof InputError ? new Failure(error.message, { cause: error }) : error
  }
}

/** Both give what they get. @throws UsageError when another format is asked for */
export function refuseOutputFlag(output: string | undefined, command: string): void {
  if (output === undefined) return
  throw new UsageError(`conduit ${command} takes no -o: YAML comes out as YAML, JSON as JSON`)
}

const COLOURS: Readonly<Record<Report["outcome"], number>> = {
  injected: 32,
  annotated: 32,
  uninjected: 32,
  skipped: 33,
}

/**
 * Says what became of each object, in the words of `linkerd inject`.
 *
 * @throws Failure when there was no object at all
 */
export function sayReports(inputs: readonly Input[], reports: readonly Report[]): void {
  if (reports.length === 0) {
    throw new Failure(
      `no object is in ${inputs.map(input => input.name).join(", ")}: comments and blank lines only`,
    )
  }
  const colour = colourOn(process.stderr, process.env)
  const lines = reports.flatMap(({ kind, name, input, outcome, reason, warnings }) => {
    const what =
      kind === "" ? `document of ${input}` : `${kind.toLowerCase()}${name === "" ? "" : ` "${name}"`}`
    const shown = colour ? `\u001b[${COLOURS[outcome]}m${outcome}\u001b[39m` : outcome
    const warning = colour ? "\u001b[33mwarning\u001b[39m" : "warning"
    return [
      `${what} ${shown}${reason === null ? "" : `: ${reason}`}`,
      ...warnings.map(text => `  ${warning}: ${text}`),
    ]
  })
  say(lines.join("\n"))
}
