// Keeps our plugin in the network configuration of a node, and gives back the original at the end, byte for byte.
import {
  closeSync,
  fsyncSync,
  linkSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs"
import { join } from "node:path"
import { isDeepStrictEqual } from "node:util"
import {
  CONFIG_FILE,
  hasPlugin,
  listName,
  listText,
  type NetworkList,
  type PluginEntry,
  readConfig,
  withoutPlugin,
  withPlugin,
} from "./conflist.ts"

/** What an original is kept as beside its file; runtimes do not read such names. */
export const ORIGINAL = ".conduit-original"
/** A file that cannot be read is waited for that long after it was written: somebody may be writing it. */
export const SETTLE_MS = 2_000

/** `waiting`: there is no configuration that a runtime would take; `there`: it has our plugin; `added`: now it has. */
export type SyncResult = "waiting" | "there" | "added"

interface ConfigFile {
  readonly name: string
  readonly list: NetworkList | null
  readonly modifiedMs: number
}

/** The network configurations in a folder. */
export class NetworkConfig {
  readonly #folder: string
  readonly #entry: PluginEntry

  constructor(folder: string, entry: PluginEntry) {
    this.#folder = folder
    this.#entry = entry
  }

  /**
   * Puts the plugin into the configuration that a runtime takes: the first by name that can be used.
   *
   * @param nowMs  time of the epoch
   * @throws Error when the folder cannot be read or written
   */
  sync(nowMs: number): SyncResult {
    const files = this.#files()
    const at = files.findIndex(file => file.list !== null)
    const [file, before] = [files[at], files.slice(0, Math.max(0, at))]
    if (file?.list == null || before.some(one => nowMs - one.modifiedMs < SETTLE_MS)) return "waiting"
    const target = listName(file.name)
    const wanted = withPlugin(file.list, this.#entry)
    if (target === file.name && isDeepStrictEqual(file.list, wanted)) return "there"
    if (hasPlugin(file.list)) this.#keepWithoutPlugin(file.name, file.list)
    else this.#keep(file.name)
    writeAtomically(join(this.#folder, target), listText(wanted), this.#mode(file.name))
    if (target !== file.name) rmSync(join(this.#folder, file.name))
    return "added"
  }

  /** Takes the plugin out of every configuration; an original that nobody changed since comes back as it was. */
  remove(): void {
    for (const { name, list } of this.#files()) {
      if (list === null || !hasPlugin(list)) continue
      const bare = withoutPlugin(list)
      const original = this.#originalOf(name)
      if (original === null || !isDeepStrictEqual(original.list, bare)) {
        writeAtomically(join(this.#folder, name), listText(bare), this.#mode(name))
        continue
      }
      const own = join(this.#folder, original.name)
      // Somebody wrote it anew, and it was not seen yet: that one counts.
      const isAnew = original.name !== name && this.#files().some(file => file.name === original.name)
      if (!isAnew) renameSync(`${own}${ORIGINAL}`, own)
      if (original.name !== name) rmSync(join(this.#folder, name))
    }
    for (const name of readdirSync(this.#folder)) {
      if (name.endsWith(ORIGINAL)) rmSync(join(this.#folder, name), { force: true })
    }
  }

  /** Configurations in the order in which runtimes look at them. */
  #files(): ConfigFile[] {
    const names = readdirSync(this.#folder).filter(name => CONFIG_FILE.test(name) && !name.startsWith("."))
    return names.sort().flatMap(name => {
      try {
        const path = join(this.#folder, name)
        const list = readConfig(name, readFileSync(path, "utf8"))
        return [{ name, list, modifiedMs: statSync(path).mtimeMs }]
      } catch (error) {
        // Gone since it was listed, or a folder of that name.
        if (["ENOENT", "EISDIR"].includes((error as NodeJS.ErrnoException).code ?? "")) return []
        throw error
      }
    })
  }

  /** What the file of a list was before it had our plugin; null where that is not known. */
  #originalOf(target: string): { readonly name: string; readonly list: NetworkList | null } | null {
    for (const kept of readdirSync(this.#folder)) {
      if (!kept.endsWith(ORIGINAL)) continue
      const name = kept.slice(0, -ORIGINAL.length)
      if (listName(name) !== target) continue
      return { name, list: readConfig(name, readFileSync(join(this.#folder, kept), "utf8")) }
    }
    return null
  }

  /** Keeps the file itself under another name: a second link to it, since what is written next is a new file. */
  #keep(name: string): void {
    const path = join(this.#folder, name)
    for (const kept of readdirSync(this.#folder)) {
      const isStale = kept.endsWith(ORIGINAL) && listName(kept.slice(0, -ORIGINAL.length)) === listName(name)
      if (isStale) rmSync(join(this.#folder, kept))
    }
    linkSync(path, `${path}${ORIGINAL}`)
  }

  /** A configuration that has the plugin already, in another form: its original is known, or is what is left without. */
  #keepWithoutPlugin(name: string, list: NetworkList): void {
    const bare = withoutPlugin(list)
    if (isDeepStrictEqual(this.#originalOf(name)?.list, bare)) return
    writeAtomically(join(this.#folder, `${name}${ORIGINAL}`), listText(bare), this.#mode(name))
  }

  #mode(name: string): number {
    return statSync(join(this.#folder, name)).mode & 0o777
  }
}

/** Writes a file that is there as a whole or not at all, whoever reads it and whatever happens. */
export function writeAtomically(path: string, content: string | Uint8Array, mode: number): void {
  const slash = path.lastIndexOf("/")
  const partial = `${path.slice(0, slash)}/.${path.slice(slash + 1)}.conduit-part`
  rmSync(partial, { force: true })
  const file = openSync(partial, "wx", mode)
  try {
    const bytes = typeof content === "string" ? Buffer.from(content) : content
    for (let written = 0; written < bytes.length; ) written += writeSync(file, bytes, written)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  renameSync(partial, path)
}
