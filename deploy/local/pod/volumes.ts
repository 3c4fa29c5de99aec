// A pod's volumes as folders of the mesh's state, and the mounts that show them to a container.
import { chmodSync, existsSync, mkdirSync, readdirSync, readlinkSync, realpathSync, statSync } from "node:fs"
import { dirname, join, normalize } from "node:path"
import type { Container, PodSpec, Volume } from "../../inject/mod.ts"
import { MissingSourceError } from "./environment.ts"
import { quote } from "./sandbox.ts"
import { type FileSources, filesOf, isFilled, writeFiles } from "./volume_files.ts"

/** What volumes are filled from. */
export interface VolumeSources extends FileSources {
  /** Folder that keeps a claim's data as long as the mesh lives. */
  claimFolder(claim: string): string
}

/**
 * Makes the folder of every volume and fills it.
 *
 * @returns host path by volume name
 * @throws MissingSourceError when a ConfigMap, Secret or key is not there
 */
export function prepareVolumes(spec: PodSpec, folder: string, sources: VolumeSources): Map<string, string> {
  const paths = new Map<string, string>()
  for (const volume of spec.volumes ?? []) {
    const path = join(folder, "volumes", volume.name)
    paths.set(volume.name, prepare(volume, path, spec, sources))
  }
  return paths
}

/**
 * Fills the volumes of a running pod again after an object has changed. What is missing now leaves its volume as it
 * is, and a file mounted by subPath stays as it was mounted, both as with a kubelet.
 */
export function refreshVolumes(spec: PodSpec, folder: string, sources: VolumeSources): void {
  for (const volume of spec.volumes ?? []) {
    if (!isFilled(volume)) continue
    try {
      writeFiles(join(folder, "volumes", volume.name), filesOf(volume, spec, sources))
    } catch (error) {
      if (!(error instanceof MissingSourceError)) throw error
    }
  }
}

function prepare(volume: Volume, path: string, spec: PodSpec, sources: VolumeSources): string {
  if (volume.hostPath) {
    if (!existsSync(volume.hostPath.path) && volume.hostPath.type?.endsWith("OrCreate") !== true) {
      throw new MissingSourceError(
        `hostPath ${volume.hostPath.path} of volume "${volume.name}" does not exist`,
      )
    }
    return volume.hostPath.path
  }
  if (volume.persistentVolumeClaim) {
    const claim = sources.claimFolder(volume.persistentVolumeClaim.claimName)
    mkdirSync(claim, { recursive: true })
    chmodSync(claim, 0o777)
    return claim
  }
  mkdirSync(path, { recursive: true })
  // As a kubelet makes them: any user of the pod may write.
  if (volume.emptyDir !== undefined || volume.ephemeral !== undefined) chmodSync(path, 0o777)
  if (isFilled(volume)) writeFiles(path, filesOf(volume, spec, sources))
  return path
}

/**
 * Lines of sh that mount a container's volumes in its own mount namespace. Paths that the host does not have
 * are made in layers that only the container sees: the host's own folders are never written to.
 *
 * @param scratch  folder for those layers
 */
export function mountScript(
  container: Container,
  volumes: ReadonlyMap<string, string>,
  scratch: string,
): string[] {
  const mounts = [...(container.volumeMounts ?? [])].sort((a, b) => a.mountPath.length - b.mountPath.length)
  const script: string[] = []
  const layered = new Set<string>()
  let layers = 0
  for (const { name, mountPath, subPath, readOnly } of mounts) {
    const volume = volumes.get(name)
    if (volume === undefined) throw new Error(`volume "${name}" is not in the pod`)
    const source = subPath ? join(volume, subPath) : volume
    if (!existsSync(source)) mkdirSync(source, { recursive: true, mode: 0o777 })
    const target = throughLinks(normalize(mountPath).replace(/(?<=.)\/$/, ""))
    const isFile = statSync(source).isFile()
    if (!existsSync(target) || statSync(target).isDirectory() === isFile) {
      const ancestor = existingAncestor(target)
      if (!layered.has(ancestor)) {
        layered.add(ancestor)
        script.push(...layer(ancestor, join(scratch, `layer${layers++}`)))
      }
      script.push(`mkdir -p ${quote(isFile ? dirname(target) : target)}`)
      if (isFile) script.push(`: > ${quote(target)}`)
    }
    script.push(`mount --bind ${quote(source)} ${quote(target)}`)
    if (readOnly === true) {
      script.push(`mount -o remount,ro,bind ${quote(target)}`)
    }
  }
  return script
}

/**
 * A writable layer over a folder: a new folder in memory that shows every entry of the old one, then takes its
 * place. `/` cannot be covered in place; the new one is entered with pivot_root, as bubblewrap does.
 */
function layer(folder: string, scratch: string): string[] {
  const script = [`mkdir -p ${quote(scratch)}`, `mount -t tmpfs -o mode=0755 tmpfs ${quote(scratch)}`]
  const folders: string[] = []
  const files: string[] = []
  const binds: string[] = []
  for (const name of readdirSync(folder)) {
    const from = join(folder, name)
    const to = join(scratch, name)
    const entry = entryKind(from)
    if (entry.kind === "link") script.push(`ln -s ${quote(entry.to)} ${quote(to)}`)
    else if (entry.kind !== "other") {
      const list = entry.kind === "folder" ? folders : files
      list.push(quote(to))
      binds.push(`${fstab(from)} ${fstab(to)} none rbind 0 0`)
    }
  }
  if (folders.length > 0) script.push(`mkdir ${folders.join(" ")}`)
  if (files.length > 0) script.push(`touch ${files.join(" ")}`)
  // One mount for all: a process per entry would cost more than the container.
  script.push(`printf '%s\\n' ${binds.map(quote).join(" ")} > ${quote(`${scratch}.fstab`)}`)
  script.push(`mount --all --fstab ${quote(`${scratch}.fstab`)}`)
  if (folder !== "/") return [...script, `mount --rbind ${quote(scratch)} ${quote(folder)}`]
  return [
    ...script,
    `cd ${quote(scratch)}`,
    "mkdir .old",
    "pivot_root . .old",
    "umount -l /.old",
    "rmdir /.old",
    "cd /",
  ]
}

/** A path as fstab(5) wants it. */
function fstab(path: string): string {
  return path.replace(/[\\ \t\n]/g, letter => `\\${letter.charCodeAt(0).toString(8).padStart(3, "0")}`)
}

function entryKind(path: string): { kind: "folder" | "file" | "other" } | { kind: "link"; to: string } {
  try {
    return { kind: "link", to: readlinkSync(path) }
  } catch {
    // Not a link: look at what it is.
  }
  try {
    const stat = statSync(path)
    return { kind: stat.isDirectory() ? "folder" : stat.isFile() ? "file" : "other" }
  } catch {
    return { kind: "other" }
  }
}

/** The path with every link in its existing part followed: /var/run is /run on most machines. */
function throughLinks(path: string): string {
  const ancestor = existsSync(path) ? path : existingAncestor(path)
  return join(realpathSync(ancestor), path.slice(ancestor.length))
}

function existingAncestor(path: string): string {
  let ancestor = dirname(path)
  while (!existsSync(ancestor)) ancestor = dirname(ancestor)
  return ancestor
}
