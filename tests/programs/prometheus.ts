// A real Prometheus, from Debian's package: filled with samples, or told what to scrape.
import { readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import { tempFolder } from "../lab/temp_folder.ts"

/** A Prometheus of a test, on a port of the loopback interface. */
export class RunningPrometheus {
  /** Its address. */
  readonly url: string
  private readonly folder: string
  private readonly child: Bun.Subprocess

  private constructor(url: string, folder: string, child: Bun.Subprocess) {
    this.url = url
    this.folder = folder
    this.child = child
  }

  /** Holds samples, in the text format with times. */
  static withSamples(samples: string): Promise<RunningPrometheus> {
    const folder = tempFolder("prometheus")
    const input = join(folder, "samples")
    writeFileSync(input, samples)
    const fill = ["tsdb", "create-blocks-from", "openmetrics", "--quiet", input, join(folder, "data")]
    const filled = Bun.spawnSync(["promtool", ...fill])
    if (filled.exitCode !== 0) throw new Error(`promtool: ${filled.stderr}`)
    return RunningPrometheus.begin(folder, "scrape_configs: []\n")
  }

  /** Does what a configuration says. */
  static withConfiguration(yaml: string): Promise<RunningPrometheus> {
    return RunningPrometheus.begin(tempFolder("prometheus"), yaml)
  }

  private static async begin(folder: string, yaml: string): Promise<RunningPrometheus> {
    const log = join(folder, "log")
    writeFileSync(join(folder, "prometheus.yml"), yaml)
    const port = await freePort()
    const child = Bun.spawn(
      [
        "prometheus",
        `--config.file=${join(folder, "prometheus.yml")}`,
        `--storage.tsdb.path=${join(folder, "data")}`,
        "--storage.tsdb.retention.time=100y",
        `--web.listen-address=127.0.0.1:${port}`,
      ],
      { stdout: "ignore", stderr: Bun.file(log) },
    )
    const running = new RunningPrometheus(`http://127.0.0.1:${port}`, folder, child)
    const deadline = performance.now() + 50_000
    for (;;) {
      const ready = await fetch(`${running.url}/-/ready`).catch(() => null)
      if (ready?.ok) return running
      if (performance.now() > deadline || child.exitCode !== null) {
        const said = readFileSync(log, "utf8")
        await running.stop()
        throw new Error(`prometheus does not begin: ${said}`)
      }
      await Bun.sleep(50)
    }
  }

  /** Ends it, and removes what it held. */
  async stop(): Promise<void> {
    this.child.kill("SIGKILL")
    await this.child.exited
    rmSync(this.folder, { recursive: true, force: true })
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once("error", reject)
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0))
    })
  })
}
