// Runs the system's own tools (ip, iptables-restore, nsenter) and turns their complaints into sentences.

/** How to run a tool. */
export interface CommandOptions {
  /** Text for its standard input. */
  readonly stdin?: string
  /** What the tool was to do, for the message: "could not <purpose>: ...". */
  readonly purpose: string
}

/** Runs a tool to its end and gives its standard output. @throws Error that says what could not be done and why */
export async function runCommand(command: readonly string[], options: CommandOptions): Promise<string> {
  let process: Bun.Subprocess<"ignore" | Buffer, "pipe", "pipe">
  try {
    process = Bun.spawn([...command], {
      stdin: options.stdin === undefined ? "ignore" : Buffer.from(options.stdin),
      stdout: "pipe",
      stderr: "pipe",
    })
  } catch (error) {
    throw new Error(`could not ${options.purpose}: ${command[0]} cannot be run`, { cause: error })
  }
  const [stdout, stderr, code] = await Promise.all([
    new Response(process.stdout).text(),
    new Response(process.stderr).text(),
    process.exited,
  ])
  if (code === 0) return stdout
  const said = stderr.trim().split("\n").slice(-3).join("; ")
  throw new Error(`could not ${options.purpose}: ${said === "" ? `${command[0]} ended with ${code}` : said}`)
}
