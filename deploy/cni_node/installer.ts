// Puts the plugin on a node and keeps it there: executables, kubeconfig, and the entry in the network configuration.
import { existsSync, readFileSync, rmSync, watch } from "node:fs"
import { join } from "node:path"
import { type KubeconfigFacts, kubeconfigText } from "../cni/mod.ts"
import type { PluginEntry } from "./conflist.ts"
import { NetworkConfig, type SyncResult, writeAtomically } from "./network_config.ts"
import { hasPrograms, putIptables, putPlugin, removePrograms } from "./programs.ts"

/** The node is looked at that often, besides whenever its network configuration changes. */
export const LOOK_INTERVAL_MS = 10_000
/** Changes of the folder come in bursts; they are looked at together. */
export const LOOK_DELAY_MS = 100
/** Name of the plugin's kubeconfig, in the folder of network configurations; runtimes do not read such a name. */
export const KUBECONFIG_NAME = "conduit-cni-kubeconfig"

/** Where things are, as this process sees them. */
export interface InstallerOptions {
  /** Folder of network configurations. */
  readonly confFolder: string
  /** Folder of CNI plugins. */
  readonly binFolder: string
  /** The plugin's program, to be compiled. */
  readonly program: string
  /** Root below which iptables is. */
  readonly iptablesRoot: string
  readonly entry: PluginEntry
  /** The plugin's rights as they are now. @throws Error when they cannot be read */
  readonly kubeconfig: () => KubeconfigFacts
  readonly say: (line: string) => void
  /** Time of the epoch. */
  readonly nowMs: () => number
}

/** An installation on one node. */
export class Installer {
  /** Whether pods that start now are redirected. */
  ready = false
  /** Time of the epoch when that first was so; null before. */
  readyAtMs: number | null = null
  readonly #options: InstallerOptions
  readonly #network: NetworkConfig
  #last: SyncResult | null = null
  #troubled = ""

  constructor(options: InstallerOptions) {
    this.#options = options
    this.#network = new NetworkConfig(options.confFolder, options.entry)
  }

  /** Puts there what is missing; the network configuration comes last, since runtimes act upon it at once. */
  async look(): Promise<void> {
    const { binFolder, program, iptablesRoot, say, nowMs } = this.#options
    try {
      if (this.#last === null || !hasPrograms(binFolder)) {
        putIptables(iptablesRoot, binFolder)
        await putPlugin(program, binFolder)
        say(`put the plugin into ${binFolder}`)
      }
      this.#putKubeconfig()
      const result = this.#network.sync(nowMs())
      if (result === "added")
        say(`put the plugin into the network configuration in ${this.#options.confFolder}`)
      if (result === "waiting" && this.#last !== "waiting") {
        say(
          `waiting for a network configuration in ${this.#options.confFolder}: the cluster's network plugin writes it`,
        )
      }
      this.#last = result
      this.ready = result !== "waiting"
      if (this.ready) this.readyAtMs ??= nowMs()
      this.#troubled = ""
    } catch (error) {
      this.ready = false
      const reason = error instanceof Error ? error.message : String(error)
      if (reason !== this.#troubled) say(`the plugin cannot be put on the node: ${reason}`)
      this.#troubled = reason
    }
  }

  /**
   * Looks now, whenever the folder of network configurations changes, and every {@link LOOK_INTERVAL_MS}, until the signal.
   *
   * @param onReady  called once, when pods that start from then on are redirected
   */
  async keep(signal: AbortSignal, onReady: () => void): Promise<void> {
    let wake = (): void => {}
    const watcher = watch(this.#options.confFolder, () => wake())
    signal.addEventListener("abort", () => wake(), { once: true })
    let told = false
    try {
      while (!signal.aborted) {
        const changed = Promise.withResolvers<void>()
        wake = () => setTimeout(changed.resolve, LOOK_DELAY_MS)
        const timer = setTimeout(changed.resolve, LOOK_INTERVAL_MS)
        await this.look()
        if (this.ready && !told) {
          told = true
          onReady()
        }
        if (!signal.aborted) await changed.promise
        clearTimeout(timer)
      }
    } finally {
      watcher.close()
    }
  }

  /** Takes everything off the node, in the order in which nobody misses anything. */
  remove(): void {
    this.ready = false
    this.#network.remove()
    rmSync(join(this.#options.confFolder, KUBECONFIG_NAME), { force: true })
    removePrograms(this.#options.binFolder)
    this.#options.say("took the plugin off the node")
  }

  /** kubelet renews tokens long before they end; whatever is new is passed on. */
  #putKubeconfig(): void {
    const path = join(this.#options.confFolder, KUBECONFIG_NAME)
    const text = kubeconfigText(this.#options.kubeconfig())
    if (!existsSync(path) || readFileSync(path, "utf8") !== text) writeAtomically(path, text, 0o600)
  }
}
