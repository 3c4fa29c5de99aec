// The page's files in memory, each in the encodings that stand beside it, with what caches need to know.
import { createHash } from "node:crypto"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"

/** Type by the end of a name. */
const TYPES: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  css: "text/css; charset=utf-8",
  svg: "image/svg+xml",
  json: "application/json",
  png: "image/png",
  ico: "image/x-icon",
  woff2: "font/woff2",
}
/** Encodings, the best first, by the end of a file's name. */
const ENCODINGS = [
  ["br", "br"],
  ["gzip", "gz"],
] as const

/** A file to answer with. */
export interface ServedFile {
  readonly bytes: Uint8Array
  readonly type: string
  /** Content-Encoding; null for none. */
  readonly encoding: string | null
  readonly etag: string
  /** It is named by its content, and never changes. */
  readonly immutable: boolean
}

/** All files of the page. */
export class PageFiles {
  private readonly files: ReadonlyMap<string, readonly ServedFile[]>

  /** Reads a folder. @throws Error with a sentence when the page is not in it */
  constructor(folder: string) {
    let names: string[]
    try {
      names = readdirSync(folder, { recursive: true, encoding: "utf8" })
    } catch (error) {
      throw new Error(`the dashboard's files cannot be read from ${folder} (CONDUIT_WEB_FILES)`, {
        cause: error,
      })
    }
    if (!names.includes("index.html"))
      throw new Error(`${folder} does not hold the dashboard's page, index.html (CONDUIT_WEB_FILES)`)
    const present = new Set(names)
    const files = new Map<string, ServedFile[]>()
    for (const name of names) {
      const type = TYPES[name.split(".").at(-1) ?? ""]
      if (type === undefined) continue
      const variants = ENCODINGS.filter(([, end]) => present.has(`${name}.${end}`))
      files.set(
        name,
        [...variants, [null, ""] as const].map(([encoding, end]) => {
          const bytes = readFileSync(join(folder, encoding === null ? name : `${name}.${end}`))
          const hash = createHash("sha256").update(bytes).digest("base64url").slice(0, 22)
          return { bytes, type, encoding, etag: `"${hash}"`, immutable: name.startsWith("assets/") }
        }),
      )
    }
    this.files = files
  }

  /**
   * The file of a path. What is no file is a place within the page, whose own code shows it.
   *
   * @param path  of the URL, decoded by nobody
   * @param accepts  Accept-Encoding
   * @returns null for a file that is not there
   */
  find(path: string, accepts: string): ServedFile | null {
    const variants = this.files.get(path.slice(1))
    if (variants === undefined)
      return path.startsWith("/assets/") || path === "/favicon.ico" ? null : this.find("/index.html", accepts)
    const taken = new Set(accepts.split(",").map(one => one.trim().split(";", 1)[0]))
    const best = variants.find(({ encoding }) => encoding === null || taken.has(encoding))
    return best ?? null
  }
}
