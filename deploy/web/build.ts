// Builds the dashboard's page: Bun's bundler, every file but the page itself named by what is in it.
import { mkdirSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { brotliCompressSync, constants, gzipSync } from "node:zlib"

/** Root of the project that this file is part of. */
export const PROJECT_ROOT = new URL("../..", import.meta.url).pathname.replace(/\/$/, "")
/** The page, from the root of the project. */
export const PAGE = "control/web/app/index.html"

/** One file of the page. */
export interface WebFile {
  /** Path from the root of the dashboard: `index.html`, `assets/index-1a2b3c4d.js`. */
  readonly path: string
  readonly bytes: Uint8Array
}

/** The page and what belongs to it. */
export interface WebBuild {
  /** In the order of their paths; the same bytes for the same sources. */
  readonly files: readonly WebFile[]
  /** npm packages whose code is in it, sorted. */
  readonly packages: readonly string[]
}

/**
 * Builds the page.
 *
 * @throws Error with the bundler's first complaint
 */
export async function buildWeb(): Promise<WebBuild> {
  const built = await Bun.build({
    entrypoints: [join(PROJECT_ROOT, PAGE)],
    root: join(PROJECT_ROOT, "control/web/app"),
    target: "browser",
    publicPath: "/",
    naming: {
      entry: "[name].[ext]",
      chunk: "assets/[name]-[hash].[ext]",
      asset: "assets/[name]-[hash].[ext]",
    },
    define: { "process.env.NODE_ENV": '"production"' },
    splitting: true,
    minify: true,
    metafile: true,
    throw: false,
  })
  if (!built.success) {
    const complaint = built.logs[0]
    throw new Error(`the dashboard could not be built: ${complaint?.message ?? "no output"}`)
  }
  const files = await Promise.all(
    built.outputs.map(async output => ({
      path: output.path.replace(/^\.?\//, ""),
      bytes: new Uint8Array(await output.arrayBuffer()),
    })),
  )
  const packages = Object.keys(built.metafile?.inputs ?? {}).flatMap(path => {
    const name = /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1]
    return name === undefined ? [] : [name]
  })
  return {
    files: files.sort((a, b) => (a.path < b.path ? -1 : 1)),
    packages: [...new Set(packages)].sort(),
  }
}

/**
 * The files, and beside each that is text `NAME.gz` and `NAME.br` where those are smaller: an image is built once and
 * looked at often.
 */
export function compressed(files: readonly WebFile[]): WebFile[] {
  return files.flatMap(file => {
    const { path, bytes } = file
    if (!/\.(html|js|css|svg|json)$/.test(path)) return [file]
    const gzip = gzipSync(bytes, { level: 9 })
    // Byte 9 names the system that compressed: the same everywhere.
    gzip[9] = 0xff
    const brotli = brotliCompressSync(bytes, {
      params: { [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length },
    })
    const smaller = [
      { path: `${path}.br`, bytes: brotli },
      { path: `${path}.gz`, bytes: gzip },
    ]
    return [file, ...smaller.filter(one => one.bytes.length < bytes.length)]
  })
}

/** Writes the files below a folder. */
export function writeFiles(folder: string, files: readonly WebFile[]): void {
  for (const { path, bytes } of files) {
    const target = join(folder, path)
    mkdirSync(dirname(target), { recursive: true })
    writeFileSync(target, bytes)
  }
}
