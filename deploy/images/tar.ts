// Archives that are the same bytes for the same files: sorted, no owner but root, no time (POSIX.1-2001 ustar).

/** One file, folder or symbolic link of an archive. */
export interface Entry {
  /** Path without a leading slash. */
  readonly path: string
  /** Permission bits. */
  readonly mode: number
  readonly content: Uint8Array | { readonly linkTo: string } | "folder"
}

const BLOCK = 512
const TYPE = { file: "0", link: "2", folder: "5" } as const

/**
 * A tar archive of the entries, sorted by path, with the folders that they need.
 *
 * @throws Error when a path is too long for the format
 */
export function tarArchive(entries: readonly Entry[]): Uint8Array {
  const all = new Map<string, Entry>()
  for (const entry of entries) {
    const parts = entry.path.split("/")
    for (let depth = 1; depth < parts.length; depth++) {
      const path = parts.slice(0, depth).join("/")
      if (!all.has(path)) all.set(path, { path, mode: 0o755, content: "folder" })
    }
    all.set(entry.path, entry)
  }
  const sorted = [...all.values()].sort((a, b) => (a.path < b.path ? -1 : 1))
  const parts: Uint8Array[] = []
  for (const entry of sorted) {
    const bytes = entry.content instanceof Uint8Array ? entry.content : new Uint8Array()
    parts.push(header(entry, bytes.length), bytes, new Uint8Array((BLOCK - (bytes.length % BLOCK)) % BLOCK))
  }
  // Two empty blocks end an archive.
  parts.push(new Uint8Array(2 * BLOCK))
  return Buffer.concat(parts)
}

function header(entry: Entry, size: number): Uint8Array {
  const { content } = entry
  const type = content === "folder" ? TYPE.folder : content instanceof Uint8Array ? TYPE.file : TYPE.link
  const [name, prefix] = splitPath(type === TYPE.folder ? `${entry.path}/` : entry.path)
  const head = Buffer.alloc(BLOCK)
  head.write(name, 0)
  writeOctal(head, entry.mode, 100, 7)
  writeOctal(head, 0, 108, 7)
  writeOctal(head, 0, 116, 7)
  writeOctal(head, size, 124, 11)
  writeOctal(head, 0, 136, 11)
  head.write(type, 156)
  if (typeof content === "object" && "linkTo" in content) head.write(content.linkTo, 157, 100)
  head.write("ustar\u000000", 257)
  head.write(prefix, 345)
  // The sum is taken with blanks in its own place.
  head.fill(" ", 148, 156)
  const sum = head.reduce((total, byte) => total + byte, 0)
  writeOctal(head, sum, 148, 6)
  head.writeUInt8(0, 154)
  return head
}

/** A path of up to 100 bytes, or one that can be cut at a slash into 155 and 100. */
function splitPath(path: string): [name: string, prefix: string] {
  if (Buffer.byteLength(path) <= 100) return [path, ""]
  const cut = path.indexOf("/", path.length - 101)
  if (cut <= 0 || cut > 155 || cut === path.length - 1) {
    throw new Error(`images: the path ${path} is too long for an archive`)
  }
  return [path.slice(cut + 1), path.slice(0, cut)]
}

function writeOctal(head: Buffer, value: number, at: number, digits: number): void {
  head.write(`${value.toString(8).padStart(digits, "0")}\u0000`, at)
}
