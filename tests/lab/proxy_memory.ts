// The proxy as pods run it, for tests that measure its memory: one minified bundle; and what of its memory is its own.
import { chmodSync, readFileSync, rmSync } from "node:fs"
import { bundle } from "../../deploy/local/bundle.ts"
import type { MeshedPodOptions } from "./mesh.ts"
import { tempFolder } from "./temp_folder.ts"

/** A bundle of the proxy in a folder of its own, removed on dispose. */
export class BundledProxy implements Disposable {
  /** For `Mesh.meshedPod`. Logs at the level of production, since lines cost memory too. */
  readonly options: MeshedPodOptions
  private readonly folder: string

  private constructor(folder: string, program: string) {
    this.folder = folder
    this.options = { program, env: { CONDUIT_PROXY_LOG_LEVEL: "info" } }
  }

  /** Builds it from the tree. */
  static async build(): Promise<BundledProxy> {
    const folder = tempFolder("bundle")
    // The proxy's user reads it too.
    chmodSync(folder, 0o755)
    return new BundledProxy(folder, await bundle("proxy/main.ts", folder, "proxy"))
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true })
  }
}

/** Anonymous memory of a process in bytes, as the kernel counts it. @throws Error when it has ended */
export function anonymousBytes(pid: number): number {
  const [, kilobytes] =
    /^Anonymous:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "latin1")) ?? []
  if (kilobytes === undefined) throw new Error(`process ${pid} has no memory any more: it has ended`)
  return Number(kilobytes) * 1024
}
