// Images as one tar file each, in OCI image layout, with the list that `docker load` of older engines reads beside it.
// https://github.com/opencontainers/image-spec (image-layout.md, manifest.md, config.md)
import { createHash } from "node:crypto"
import { gzipSync } from "node:zlib"
import { type Entry, tarArchive } from "./tar.ts"

/** Architectures, as images call them. */
export type Architecture = "amd64" | "arm64"

/** An image: layers from bottom to top, and how it is run. */
export interface Image {
  /** Name and tag, such as `conduit/proxy:0.1.0`. */
  readonly name: string
  readonly architecture: Architecture
  readonly layers: readonly Layer[]
  /** Command line that arguments are appended to. */
  readonly entrypoint: readonly string[]
  /** `uid:gid`, numbers, since there is no /etc/passwd. */
  readonly user: string
  readonly env?: Readonly<Record<string, string>>
  readonly labels?: Readonly<Record<string, string>>
}

/** A layer, compressed once however many images have it. */
export interface Layer {
  readonly digest: string
  /** Digest of the archive before compression. */
  readonly diffId: string
  readonly blob: Uint8Array
}

/** Nothing in an image tells when it was built. */
const CREATED = "1970-01-01T00:00:00Z"

/** Makes a layer of files. */
export function layerOf(entries: readonly Entry[]): Layer {
  const archive = tarArchive(entries)
  const blob = gzipSync(archive, { level: 9 })
  return { digest: digestOf(blob), diffId: digestOf(archive), blob }
}

/** A built image. */
export interface BuiltImage {
  /** Digest of its manifest, by which it can be pinned. */
  readonly digest: string
  /** The tar file. */
  readonly archive: Uint8Array
}

/** The tar file of an image, the same bytes for the same image. */
export function imageArchive(image: Image): BuiltImage {
  const blobs: Entry[] = []
  const store = (bytes: Uint8Array): { digest: string; size: number } => {
    const digest = digestOf(bytes)
    blobs.push({ path: blobPath(digest), mode: 0o644, content: bytes })
    return { digest, size: bytes.length }
  }
  const config = store(
    json({
      created: CREATED,
      architecture: image.architecture,
      os: "linux",
      config: {
        User: image.user,
        Entrypoint: image.entrypoint,
        Env: Object.entries({ PATH: "/usr/sbin:/usr/bin:/sbin:/bin", ...image.env }).map(
          ([name, value]) => `${name}=${value}`,
        ),
        WorkingDir: "/",
        Labels: image.labels ?? {},
      },
      rootfs: { type: "layers", diff_ids: image.layers.map(layer => layer.diffId) },
      history: image.layers.map(() => ({ created: CREATED, created_by: "deploy/images/build.ts" })),
    }),
  )
  const layers = image.layers.map(layer => ({
    mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
    ...store(layer.blob),
  }))
  const manifest = store(
    json({
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config: { mediaType: "application/vnd.oci.image.config.v1+json", ...config },
      layers,
    }),
  )
  const index = {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.index.v1+json",
    manifests: [
      {
        mediaType: "application/vnd.oci.image.manifest.v1+json",
        ...manifest,
        platform: { architecture: image.architecture, os: "linux" },
        annotations: {
          "io.containerd.image.name": reference(image.name),
          "org.opencontainers.image.ref.name": image.name.split(":").at(-1),
        },
      },
    ],
  }
  const archive = tarArchive([
    ...blobs,
    { path: "oci-layout", mode: 0o644, content: json({ imageLayoutVersion: "1.0.0" }) },
    { path: "index.json", mode: 0o644, content: json(index) },
    {
      path: "manifest.json",
      mode: 0o644,
      content: json([
        {
          Config: blobPath(config.digest),
          RepoTags: [image.name],
          Layers: image.layers.map(layer => blobPath(layer.digest)),
        },
      ]),
    },
  ])
  return { digest: manifest.digest, archive }
}

function json(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value))
}

function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`
}

function blobPath(digest: string): string {
  return `blobs/${digest.replace(":", "/")}`
}

/** Names without a registry's are those of docker.io, and containerd wants it said. */
function reference(name: string): string {
  return /^[^/]+\.[^/]*\//.test(name) ? name : `docker.io/${name}`
}
