// Where manifests come from: files, folders, web addresses, standard input; all of bounded size, all as UTF-8 text.
import { createReadStream, readdirSync, statSync } from "node:fs"
import { join } from "node:path"
import type { Input } from "./documents.ts"

/** All inputs of a run together: tens of thousands of objects; that many take 15 s and half a gigabyte of memory. */
export const MAX_INPUT_BYTES = 16 * 1024 * 1024

/** Files of one folder; a folder of more was named by mistake. */
export const MAX_FOLDER_FILES = 10_000

/** How long a web address may take to answer as a whole. */
export const FETCH_TIMEOUT_MS = 30_000

/** An input that cannot be read; the message is one sentence. */
export class InputError extends Error {
  override readonly name = "InputError"
}

/** What reading asks of the outside; tests pass their own. */
export interface InputWorld {
  readonly stdin: () => AsyncIterable<Uint8Array>
  readonly fetch: (url: string, options: { readonly signal: AbortSignal }) => Promise<Response>
  readonly fetchTimeoutMs?: number
  readonly maxBytes?: number
}

const EXTENSIONS = [".yaml", ".yml", ".json"]

/**
 * Reads what `paths` name, in their order: files, folders (with all .yaml, .yml and .json files below them, hidden ones
 * aside), http and https addresses, and standard input as `-`.
 *
 * @throws InputError for what cannot be read, is too large, or is no text
 */
export async function readInputs(paths: readonly string[], world: InputWorld): Promise<Input[]> {
  const reader = new BoundedReader(world.maxBytes ?? MAX_INPUT_BYTES)
  const inputs: Input[] = []
  if (paths.filter(path => path === "-").length > 1)
    throw new InputError("standard input (-) can be read once only")
  for (const path of paths) {
    if (path === "-") {
      const text = await reader.read("standard input", world.stdin())
      if (text.trim() === "") {
        throw new InputError("standard input is empty; did the command before it in the pipe fail?")
      }
      inputs.push({ name: "standard input", text })
    } else if (/^https?:\/\//i.test(path)) {
      inputs.push({ name: path, text: await fetched(path, world, reader) })
    } else {
      for (const file of filesOf(path)) inputs.push({ name: file, text: await fileText(file, reader) })
    }
  }
  return inputs
}

/**
 * The texts as one stream that kubectl reads: JSON stays JSON, a `---` stands wherever YAML documents meet. A single
 * text stays as it is.
 */
export function joinTexts(texts: readonly string[]): string {
  const [first] = texts
  if (first !== undefined && texts.length === 1) return first
  const isJson = texts.every(text => /^\ufeff?\s*[{[]/.test(text))
  let joined = ""
  for (const text of texts) {
    if (joined !== "" && !joined.endsWith("\n")) joined += "\n"
    // A byte order mark belongs to the beginning of a stream.
    const body = text.startsWith("\ufeff") ? text.slice(1) : text
    const begins = /^(?:[ \t]*(?:#[^\n]*)?\r?\n)*(?:---(?:\s|$)|%)/.test(body)
    // What looks like JSON at the start of a stream would be taken for a stream of JSON.
    const needsMarker = !isJson && !begins && (joined !== "" || /^\s*[{[]/.test(body))
    // Directives are only read after the end of the document before.
    const ends = joined !== "" && /^(?:[ \t]*(?:#[^\n]*)?\r?\n)*%/.test(body) ? "...\n" : ""
    joined += ends + (needsMarker ? "---\n" : "") + body
  }
  return joined
}

function filesOf(path: string): string[] {
  try {
    if (!statSync(path).isDirectory()) return [path]
    const names = manifestsBelow(path)
    if (names.length === 0)
      throw new InputError(`${path}: no ${EXTENSIONS.join(", ")} file is below this folder`)
    if (names.length > MAX_FOLDER_FILES) {
      throw new InputError(
        `${path}: ${names.length} manifests are below this folder; at most ${MAX_FOLDER_FILES} are read`,
      )
    }
    return names.sort()
  } catch (error) {
    if (error instanceof InputError) throw error
    throw new InputError(`${path}: cannot be read: ${reason(error)}`, { cause: error })
  }
}

/** Links to files are followed, links to folders are not: they may lead back. */
function manifestsBelow(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap(entry => {
    const path = join(folder, entry.name)
    if (entry.name.startsWith(".")) return []
    if (entry.isDirectory()) return manifestsBelow(path)
    const isManifest = EXTENSIONS.some(end => entry.name.endsWith(end))
    return isManifest && statSync(path).isFile() ? [path] : []
  })
}

async function fileText(file: string, reader: BoundedReader): Promise<string> {
  try {
    const { size } = statSync(file)
    reader.expect(file, size)
    return await reader.read(file, createReadStream(file))
  } catch (error) {
    if (error instanceof InputError) throw error
    throw new InputError(`${file}: cannot be read: ${reason(error)}`, { cause: error })
  }
}

async function fetched(url: string, world: InputWorld, reader: BoundedReader): Promise<string> {
  const timeoutMs = world.fetchTimeoutMs ?? FETCH_TIMEOUT_MS
  const signal = AbortSignal.timeout(timeoutMs)
  try {
    const response = await world.fetch(url, { signal })
    if (!response.ok) {
      throw new InputError(`${url}: the server answered ${response.status} ${response.statusText}`.trimEnd())
    }
    const type = response.headers.get("content-type") ?? ""
    if (/^text\/html\b/i.test(type)) {
      throw new InputError(
        `${url}: this is a web page (${type}), not a manifest; give the address of the raw file`,
      )
    }
    reader.expect(url, Number(response.headers.get("content-length") ?? 0))
    return await reader.read(url, response.body ?? new ReadableStream())
  } catch (error) {
    if (error instanceof InputError) throw error
    const why = signal.aborted ? `no whole answer within ${timeoutMs / 1000} s` : reason(error)
    throw new InputError(`${url}: cannot be fetched: ${why}`, { cause: error })
  }
}

/** Reads up to a bound, over all that it reads. */
class BoundedReader {
  readonly #maxBytes: number
  #leftBytes: number

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
    this.#leftBytes = maxBytes
  }

  /** Refuses what says itself that it is too large. */
  expect(name: string, bytes: number): void {
    if (bytes > this.#leftBytes) throw this.#tooLarge(name)
  }

  async read(name: string, chunks: AsyncIterable<Uint8Array | string>): Promise<string> {
    const parts: Uint8Array[] = []
    for await (const chunk of chunks) {
      const bytes = typeof chunk === "string" ? new TextEncoder().encode(chunk) : chunk
      this.#leftBytes -= bytes.byteLength
      if (this.#leftBytes < 0) throw this.#tooLarge(name)
      parts.push(bytes)
    }
    return decoded(name, Buffer.concat(parts))
  }

  #tooLarge(name: string): InputError {
    const mebibytes = this.#maxBytes / 1024 / 1024
    return new InputError(
      `${name}: this is too large: at most ${mebibytes} MiB are read at once, all inputs together; split it`,
    )
  }
}

function decoded(name: string, bytes: Uint8Array): string {
  const [first, second] = bytes
  if ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff)) {
    throw new InputError(`${name}: this is UTF-16 text; save it as UTF-8`)
  }
  if (bytes.includes(0)) throw new InputError(`${name}: this is no text but binary data`)
  try {
    // A byte order mark is part of what must come out again.
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (error) {
    throw new InputError(`${name}: this is no UTF-8 text`, { cause: error })
  }
}

function reason(error: unknown): string {
  const code = (error as { code?: string }).code
  if (code === "ENOENT") return "no such file or folder"
  if (code === "EACCES" || code === "EPERM") return "permission denied"
  if (code === "ConnectionRefused" || code === "ECONNREFUSED") return "nobody listens there"
  return error instanceof Error ? error.message : String(error)
}
