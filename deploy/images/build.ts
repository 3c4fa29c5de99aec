// `npm run images [-- NAME ...] [--arch amd64|arm64] [--tag TAG] [--out FOLDER]`: tar files that containerd, Docker and
// skopeo take, without a Docker engine.
import { join } from "node:path"
import { parseArgs } from "node:util"
import { buildImages } from "./build_images.ts"
import { IMAGES, PROJECT_ROOT } from "./catalog.ts"
import type { Architecture } from "./oci.ts"

const ARCHITECTURES: readonly Architecture[] = ["amd64", "arm64"]

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      arch: { type: "string", multiple: true },
      out: { type: "string", default: join(PROJECT_ROOT, ".build/images") },
      tag: { type: "string" },
    },
  })
  const unknown = positionals.find(name => !IMAGES.some(image => image.name === name))
  if (unknown !== undefined) {
    throw new Error(
      `images: there is no image "${unknown}"; there are ${IMAGES.map(one => one.name).join(", ")}`,
    )
  }
  const architectures = ARCHITECTURES.filter(one => (values.arch ?? ARCHITECTURES).includes(one))
  if (architectures.length === 0) throw new Error(`images: --arch is one of ${ARCHITECTURES.join(", ")}`)
  const written = await buildImages({
    images: IMAGES.filter(image => positionals.length === 0 || positionals.includes(image.name)),
    architectures,
    folder: values.out,
    ...(values.tag === undefined ? {} : { tag: values.tag }),
  })
  for (const { name, architecture, path, digest, bytes } of written) {
    console.log(`${name} ${architecture} ${digest} ${(bytes / 1e6).toFixed(1)} MB ${path}`)
  }
}

try {
  await main()
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error))
  process.exit(1)
}
