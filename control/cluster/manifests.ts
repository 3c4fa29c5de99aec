// Fills the cluster store from a folder of manifests, reloaded when they change: Conduit without Kubernetes.
// A bad object is reported and its last good state stays in force; a bad file never removes an object.
import { type FSWatcher, readdirSync, readFileSync, statSync, watch } from "node:fs"
import { join } from "node:path"
import { type ManifestFile, readManifestFile } from "./manifest_file.ts"
import type { ClusterObject, Problem } from "./model.ts"
import type { ClusterSource } from "./source.ts"
import { type ClusterChange, ClusterStore } from "./store.ts"

/** A folder's events come in bursts (write, rename, one per object); they are taken together after this long. */
export const DEBOUNCE_MS = 10
/** The whole folder is read again this often, in case the kernel's event queue overflowed or it has none. */
export const RESCAN_MS = 2_000
/** Largest file that is read: far above any real manifest, well below what would stall the process. */
export const MAX_MANIFEST_BYTES = 16 * 1024 * 1024
/** Most files that are read: a pod is one file in the local cluster, and it is no orchestrator. */
export const MAX_MANIFEST_FILES = 50_000

/** How a manifests source behaves. */
export interface ManifestsOptions {
  /** Called when a problem appears that was not there before. Default: nothing. */
  readonly onProblem?: (problem: Problem) => void
  /** Called when all problems are gone. Default: nothing. */
  readonly onResolved?: () => void
}

interface LoadedFile {
  /** Identity of the content that was read: inode, size, times. */
  readonly stamp: string
  readonly objects: ReadonlyMap<string, ClusterObject>
  readonly problems: readonly Problem[]
}

/** The folder as a source of cluster state. Only files directly in it count; names that start with "." do not. */
export class ManifestsSource implements ClusterSource {
  readonly store = new ClusterStore()
  private readonly folder: string
  private readonly options: ManifestsOptions
  private readonly files = new Map<string, LoadedFile>()
  private merged = new Map<string, ClusterObject>()
  private currentProblems: readonly Problem[] = []
  private watcher: FSWatcher | null = null
  private debounce: NodeJS.Timeout | null = null
  private rescan: NodeJS.Timeout | null = null

  constructor(folder: string, options: ManifestsOptions = {}) {
    this.folder = folder
    this.options = options
  }

  start(): void {
    this.scan()
    this.rescan = setInterval(() => this.scan(), RESCAN_MS)
  }

  stop(): void {
    this.watcher?.close()
    this.watcher = null
    if (this.debounce !== null) clearTimeout(this.debounce)
    if (this.rescan !== null) clearInterval(this.rescan)
  }

  problems(): readonly Problem[] {
    return this.currentProblems
  }

  /** Reads the folder now; what changed goes to the store as one batch. */
  scan(): void {
    this.debounce = null
    this.openWatcher()
    let names: string[]
    try {
      names = readdirSync(this.folder).filter(isManifest).sort()
    } catch (error) {
      this.report([
        {
          where: this.folder,
          message: `cannot read the manifests folder (${reasonOf(error)}); the last good state stays in force`,
        },
      ])
      return
    }
    const problems: Problem[] = []
    if (names.length > MAX_MANIFEST_FILES) {
      const message = `holds ${names.length} manifests, more than ${MAX_MANIFEST_FILES}; those after "${names[MAX_MANIFEST_FILES - 1]}" are left out`
      problems.push({ where: this.folder, message })
      names.length = MAX_MANIFEST_FILES
    }
    const present = new Set(names)
    for (const name of this.files.keys()) if (!present.has(name)) this.files.delete(name)
    for (const name of names) this.load(name)
    this.merge(names, problems)
    this.report(problems)
    this.store.markSynced()
  }

  private openWatcher(): void {
    if (this.watcher !== null) return
    try {
      const watcher = watch(this.folder, () => {
        this.debounce ??= setTimeout(() => this.scan(), DEBOUNCE_MS)
      })
      watcher.on("error", () => {
        watcher.close()
        this.watcher = null
      })
      this.watcher = watcher
    } catch {
      // The folder is not there, or inotify is used up: scan() reports the first, RESCAN_MS covers the second.
    }
  }

  private load(name: string): void {
    const path = join(this.folder, name)
    const before = this.files.get(name)
    let stamp = "unread"
    let read: ManifestFile
    try {
      const stat = statSync(path)
      if (!stat.isFile()) return
      stamp = `${stat.ino} ${stat.size} ${stat.mtimeMs} ${stat.ctimeMs}`
      if (before?.stamp === stamp) return
      read =
        stat.size > MAX_MANIFEST_BYTES
          ? tooLarge(name, stat.size)
          : readManifestFile(name, readFileSync(path, "utf8"))
    } catch (error) {
      // Gone between listing and reading: the next event says so.
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return
      read = unreadable(name, reasonOf(error))
    }
    const objects = read.incomplete ? new Map([...(before?.objects ?? []), ...read.objects]) : read.objects
    this.files.set(name, { stamp, objects, problems: read.problems })
  }

  /** One object per key over all files: of two definitions, the one in the later file name counts. */
  private merge(names: readonly string[], problems: Problem[]): void {
    const merged = new Map<string, ClusterObject>()
    const from = new Map<string, string>()
    for (const name of names) {
      const file = this.files.get(name)
      if (file === undefined) continue
      problems.push(...file.problems)
      for (const [key, object] of file.objects) {
        const other = from.get(key)
        if (other !== undefined)
          problems.push({ where: name, message: `${key} is also defined in ${other}; this one is in force` })
        merged.set(key, object)
        from.set(key, name)
      }
    }
    const changes: ClusterChange[] = []
    for (const key of this.merged.keys()) if (!merged.has(key)) changes.push({ remove: key })
    for (const [key, object] of merged) if (this.merged.get(key) !== object) changes.push({ put: object })
    this.merged = merged
    if (changes.length > 0) this.store.apply(changes)
  }

  private report(problems: readonly Problem[]): void {
    const before = new Set(this.currentProblems.map(textOf))
    this.currentProblems = problems
    for (const problem of problems) if (!before.has(textOf(problem))) this.options.onProblem?.(problem)
    if (before.size > 0 && problems.length === 0) this.options.onResolved?.()
  }
}

function isManifest(name: string): boolean {
  return !name.startsWith(".") && /\.(ya?ml|json)$/.test(name)
}

function textOf(problem: Problem): string {
  return `${problem.where}: ${problem.message}`
}

function reasonOf(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code
  return code ?? (error instanceof Error ? error.message : String(error))
}

function tooLarge(name: string, size: number): ManifestFile {
  return unreadable(name, `${size} bytes, the limit is ${MAX_MANIFEST_BYTES}`)
}

function unreadable(name: string, reason: string): ManifestFile {
  const message = `cannot be read (${reason}); the file's last good state stays in force`
  return { objects: new Map(), problems: [{ where: name, message }], incomplete: true, whereOf: () => name }
}
