// Files of volumes that are made from objects: ConfigMaps, Secrets, the downward API, tokens; written at the pod's
// start and again when an object changes (kubernetes.io: "Mounted ConfigMaps are updated automatically").
import { chmodSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join, normalize, relative } from "node:path"
import type { DownwardItem, KeyToPath, PodSpec, Volume } from "../../inject/mod.ts"
import { type EnvironmentSources, fieldValue, MissingSourceError, resourceValue } from "./environment.ts"

/** Mode of a file when its volume does not say, as in Kubernetes. */
const DEFAULT_MODE = 0o644

/** Life of a token when its volume does not say, seconds, as in Kubernetes. */
const DEFAULT_TOKEN_S = 3600

/** What files are made from, besides what environments are. */
export interface FileSources extends EnvironmentSources {
  /** data and binaryData of a ConfigMap, decoded data of a Secret, in the pod's namespace; null when there is none. */
  files(kind: "ConfigMap" | "Secret", name: string): Readonly<Record<string, Uint8Array>> | null
  /** Token of the pod's service account for an audience. @param lifetimeS  seconds that it holds */
  serviceAccountToken(audience: string, lifetimeS: number): string
}

/** One file of a volume. */
export interface VolumeFile {
  readonly content: Uint8Array
  readonly mode: number
}

interface KeyedSource {
  readonly name: string
  readonly items?: readonly KeyToPath[]
  readonly optional?: boolean
}

/** Whether a volume's files come from objects that may change while the pod runs. */
export function isFilled(volume: Volume): boolean {
  return [volume.configMap, volume.secret, volume.downwardAPI, volume.projected].some(Boolean)
}

/**
 * Files of a volume by path below it.
 *
 * @throws MissingSourceError when a ConfigMap, Secret or key that is not optional is not there
 */
export function filesOf(volume: Volume, spec: PodSpec, sources: FileSources): Map<string, VolumeFile> {
  const filled = volume.configMap ?? volume.secret ?? volume.projected
  const made = new Files(spec, sources, filled?.defaultMode ?? DEFAULT_MODE)
  if (volume.configMap) made.addKeys("ConfigMap", volume.configMap)
  else if (volume.secret) made.addKeys("Secret", { ...volume.secret, name: volume.secret.secretName })
  else if (volume.downwardAPI) made.addDownward(volume.downwardAPI.items ?? [])
  for (const source of volume.projected?.sources ?? []) {
    if (source.serviceAccountToken) {
      const { audience = "", expirationSeconds = DEFAULT_TOKEN_S, path } = source.serviceAccountToken
      const token = sources.serviceAccountToken(audience, expirationSeconds)
      made.add(path, Buffer.from(token))
    }
    if (source.configMap) made.addKeys("ConfigMap", source.configMap)
    if (source.secret) made.addKeys("Secret", source.secret)
    if (source.downwardAPI) made.addDownward(source.downwardAPI.items ?? [])
  }
  return made.files
}

class Files {
  readonly files = new Map<string, VolumeFile>()
  readonly #spec: PodSpec
  readonly #sources: FileSources
  readonly #mode: number

  constructor(spec: PodSpec, sources: FileSources, mode: number) {
    this.#spec = spec
    this.#sources = sources
    this.#mode = mode
  }

  add(path: string, content: Uint8Array, mode = this.#mode): void {
    const inside = normalize(path)
    if (inside === ".." || inside.startsWith("../") || inside.startsWith("/")) {
      throw new Error(`"${path}" would leave its volume`)
    }
    this.files.set(inside, { content, mode })
  }

  addKeys(kind: "ConfigMap" | "Secret", ref: KeyedSource): void {
    const data = this.#sources.files(kind, ref.name)
    if (data === null) {
      if (ref.optional === true) return
      throw new MissingSourceError(`${kind} "${ref.name}" does not exist`)
    }
    const items: readonly KeyToPath[] = ref.items ?? Object.keys(data).map(key => ({ key, path: key }))
    for (const { key, path, mode } of items) {
      const content = data[key]
      if (content !== undefined) this.add(path, content, mode)
      else if (ref.optional !== true)
        throw new MissingSourceError(`${kind} "${ref.name}" has no key "${key}"`)
    }
  }

  addDownward(items: readonly DownwardItem[]): void {
    for (const { path, fieldRef, resourceFieldRef } of items) {
      if (fieldRef) this.add(path, Buffer.from(fieldValue(this.#sources.pod, fieldRef.fieldPath)))
      else if (resourceFieldRef) {
        const { containers } = this.#spec
        const wanted = containers.find(candidate => candidate.name === resourceFieldRef.containerName)
        const container = wanted ?? containers[0]
        if (container) this.add(path, Buffer.from(resourceValue(container, resourceFieldRef.resource)))
      }
    }
  }
}

/** Makes a folder hold these files and no others. Each is replaced whole, so that no reader sees half of one. */
export function writeFiles(folder: string, files: ReadonlyMap<string, VolumeFile>): void {
  mkdirSync(folder, { recursive: true })
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    if (!entry.isDirectory() && !files.has(relative(folder, path))) rmSync(path, { force: true })
  }
  for (const [name, { content, mode }] of files) {
    const path = join(folder, name)
    if (holds(path, content)) {
      chmodSync(path, mode)
      continue
    }
    mkdirSync(dirname(path), { recursive: true })
    const fresh = join(dirname(path), `..${crypto.randomUUID()}`)
    writeFileSync(fresh, content, { mode: 0o600 })
    chmodSync(fresh, mode)
    renameSync(fresh, path)
  }
}

function holds(path: string, content: Uint8Array): boolean {
  try {
    return readFileSync(path).equals(content)
  } catch {
    return false
  }
}
