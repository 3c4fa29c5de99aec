// Builds images into a folder: three layers each, of which the C library and Bun are the same for all, so that a node
// fetches and keeps them once.
import { mkdirSync, readFileSync } from "node:fs"
import { homedir } from "node:os"
import { dirname, join } from "node:path"
import manifest from "../../package.json" with { type: "json" }
import { type BunProgram, bunProgram } from "./bun_program.ts"
import { buildWeb, compressed } from "../web/mod.ts"
import { BASE_PACKAGES, type ImagePlan, PROJECT_ROOT } from "./catalog.ts"
import { type DebianPackage, DebianSource } from "./debian_files.ts"
import { type Architecture, imageArchive, type Layer, layerOf } from "./oci.ts"
import { bundleProgram, licenceTexts } from "./program.ts"
import { bomOf, bunComponents, bundledComponent, debianComponent, licencesOf } from "./sbom.ts"
import type { Entry } from "./tar.ts"

/** What to build. */
export interface BuildOptions {
  readonly images: readonly ImagePlan[]
  readonly architectures: readonly Architecture[]
  /** Folder for the tar files and what describes them. */
  readonly folder: string
  /** Tag; the project's version where none is given. */
  readonly tag?: string
}

/** A tar file that was written. */
export interface WrittenImage {
  /** Such as `conduit/proxy:0.1.0`. */
  readonly name: string
  readonly architecture: Architecture
  readonly path: string
  readonly digest: string
  readonly bytes: number
}

/** Where fetched packages are kept between builds. */
export function imageCache(): string {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "conduit/images")
}

/**
 * Builds every image for every architecture.
 *
 * @throws Error saying what could not be fetched or bundled
 */
export async function buildImages(options: BuildOptions): Promise<WrittenImage[]> {
  mkdirSync(options.folder, { recursive: true })
  const written: WrittenImage[] = []
  for (const architecture of options.architectures) {
    const foundation = await layFoundation(architecture)
    for (const plan of options.images) written.push(await buildImage(plan, foundation, options))
  }
  return written
}

/** What all images of one architecture share. */
interface Foundation {
  readonly architecture: Architecture
  readonly debian: DebianSource
  readonly base: readonly DebianPackage[]
  readonly bun: BunProgram
  readonly layers: readonly Layer[]
}

async function layFoundation(architecture: Architecture): Promise<Foundation> {
  const cache = imageCache()
  mkdirSync(cache, { recursive: true })
  const debian = new DebianSource(cache, architecture)
  const base = await packagesOf(debian, BASE_PACKAGES)
  const bun = await bunProgram(cache, architecture)
  const nsswitch = { path: "etc/nsswitch.conf", mode: 0o644, content: Buffer.from("hosts: files dns\n") }
  const layers = [
    layerOf([
      ...base.flatMap(one => one.entries),
      nsswitch,
      { path: "tmp", mode: 0o1777, content: "folder" as const },
    ]),
    layerOf([{ path: "usr/bin/bun", mode: 0o755, content: bun.program }]),
  ]
  return { architecture, debian, base, bun, layers }
}

async function buildImage(
  plan: ImagePlan,
  foundation: Foundation,
  options: BuildOptions,
): Promise<WrittenImage> {
  const { architecture, bun } = foundation
  const tag = options.tag ?? manifest.version
  const more = await packagesOf(foundation.debian, plan.packages ?? {})
  checkLinks(
    plan.name,
    [...foundation.base, ...more].flatMap(one => one.entries),
  )
  const program = await bundleProgram(plan.entry)
  const commands = await bundled(plan.commands)
  const programs = await bundled(plan.programs)
  const page = plan.page === true ? await buildWeb() : { files: [], packages: [] }
  const parts = [program, ...[...commands, ...programs].map(one => one.program), page]
  const packages = [...new Set(parts.flatMap(one => one.packages))].sort()
  const components = [
    ...packages.map(bundledComponent),
    ...bunComponents(bun.package, bun.version),
    ...[...foundation.base, ...more].map(one => debianComponent(one.name, one.version, architecture)),
  ]
  const app = `app/${plan.name}.js`
  const own = layerOf([
    ...more.flatMap(one => one.entries),
    ...licenceTexts(packages),
    ...commands.map(({ name, program: { bytes } }) => ({
      path: `usr/bin/${name}`,
      mode: 0o755,
      content: Buffer.concat([Buffer.from("#!/usr/bin/bun\n"), bytes]),
    })),
    ...programs.map(({ name, program: { bytes } }) => ({
      path: `app/${name}.js`,
      mode: 0o644,
      content: bytes,
    })),
    { path: app, mode: 0o644, content: program.bytes },
    ...compressed(page.files).map(({ path, bytes }) => ({
      path: `app/web/${path}`,
      mode: 0o644,
      content: bytes,
    })),
    {
      path: "usr/share/doc/conduit/copyright",
      mode: 0o644,
      content: readFileSync(join(PROJECT_ROOT, "LICENSE")),
    },
    { path: "usr/share/doc/conduit/licences", mode: 0o644, content: Buffer.from(licencesOf(components)) },
  ])
  const name = `conduit/${plan.name}`
  const image = imageArchive({
    name: `${name}:${tag}`,
    architecture,
    layers: [...foundation.layers, own],
    entrypoint: ["/usr/bin/bun", `/${app}`],
    user: plan.user,
    // Pods have no folder that could be written to.
    env: { BUN_RUNTIME_TRANSPILER_CACHE_PATH: "0" },
    labels: {
      "org.opencontainers.image.title": name,
      "org.opencontainers.image.description": `Conduit: ${plan.what}`,
      "org.opencontainers.image.version": tag,
      "org.opencontainers.image.licenses": "Apache-2.0",
    },
  })
  const stem = join(options.folder, `conduit-${plan.name}-${tag}-${architecture}`)
  await Bun.write(`${stem}.tar`, image.archive)
  await Bun.write(`${stem}.cdx.json`, bomOf({ name, version: tag, digest: image.digest }, components))
  return {
    name: `${name}:${tag}`,
    architecture,
    path: `${stem}.tar`,
    digest: image.digest,
    bytes: image.archive.length,
  }
}

async function bundled(entries: Readonly<Record<string, string>> = {}) {
  return await Promise.all(
    Object.entries(entries).map(async ([name, entry]) => ({ name, program: await bundleProgram(entry) })),
  )
}

/** A link beside whose target nothing was picked would only be noticed in a pod. @throws Error naming it */
function checkLinks(image: string, entries: readonly Entry[]): void {
  const paths = new Set(entries.map(entry => entry.path))
  for (const { path, content } of entries) {
    if (typeof content !== "object" || !("linkTo" in content)) continue
    const target = content.linkTo.startsWith("/")
      ? content.linkTo.slice(1)
      : join(dirname(path), content.linkTo)
    if (!paths.has(target))
      throw new Error(`images: in ${image}, ${path} links to ${target}, which is not in it`)
  }
}

async function packagesOf(
  source: DebianSource,
  packages: Readonly<Record<string, readonly string[]>>,
): Promise<DebianPackage[]> {
  const fetched: DebianPackage[] = []
  for (const [name, patterns] of Object.entries(packages)) fetched.push(await source.files(name, patterns))
  return fetched
}
