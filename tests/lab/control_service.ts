// One service of the control plane on free ports of the loopback interface, for tests and benches without a cluster.
import { join } from "node:path"

const MAIN = join(import.meta.dir, "../../control/main.ts")

/** A service that runs. */
export interface ControlService {
  readonly port: number
  readonly adminPort: number
  readonly pid: number
  /** Ends it. */
  stop(): Promise<void>
}

/**
 * Runs a service, and waits until it listens.
 *
 * @param name  as control/main.ts takes it
 * @throws Error with what it said when it does not begin
 */
export async function startControlService(
  name: "telemetry" | "api",
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<ControlService> {
  const ports = { [`CONDUIT_${name.toUpperCase()}_PORT`]: "0", CONDUIT_ADMIN_PORT: "0" }
  const child = Bun.spawn([process.execPath, MAIN, name, ...args, "--listen-host", "127.0.0.1"], {
    env: { ...process.env, ...ports, ...env },
    stdout: "inherit",
    stderr: "pipe",
  })
  const end = (): void => child.kill("SIGKILL")
  process.once("exit", end)
  const stop = async (): Promise<void> => {
    process.off("exit", end)
    end()
    await child.exited
  }
  let said = ""
  const decoder = new TextDecoder()
  const portOf = (port: string): number =>
    Number(new RegExp(`listening ${port} 127\\.0\\.0\\.1:(\\d+)`).exec(said)?.[1] ?? 0)
  for await (const chunk of child.stderr) {
    said += decoder.decode(chunk, { stream: true })
    if (portOf(name) > 0 && portOf("admin") > 0)
      return { port: portOf(name), adminPort: portOf("admin"), pid: child.pid, stop }
  }
  await stop()
  throw new Error(`${name} does not begin: ${said}`)
}
