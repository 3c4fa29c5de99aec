// `conduit diagnostics bundle [FILE]`: what who helps needs to know of a mesh, in one file, without secrets.
import { chmodSync, existsSync, mkdirSync, statSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { gzipSync } from "node:zlib"
import { command } from "../command_line/command.ts"
import { Failure, UsageError } from "../failure.ts"
import { GLOBAL_FLAGS } from "../flags.ts"
import { say, writeOut } from "../output.ts"
import { CLIENT_VERSION } from "../version.ts"
import { type Collected, collect, DEFAULT_PROXIES, MAX_PROXIES } from "./collect.ts"
import { redact } from "./redact.ts"

/** Only its owner may read it: it has names, addresses and paths of who runs the mesh. */
const FILE_MODE = 0o600

/** `conduit diagnostics bundle`. */
export const bundle = command({
  meta: {
    name: "bundle",
    description:
      "Writes a support bundle: versions, checks, metrics, endpoints, events and logs, without secrets",
  },
  args: {
    ...GLOBAL_FLAGS,
    file: {
      type: "positional",
      valueHint: "FILE",
      description: "FILE.tar.gz, a new folder, or - (default: conduit-bundle-TIME.tar.gz)",
      required: false,
    },
    namespace: {
      type: "string",
      alias: "n",
      valueHint: "NAMESPACE",
      description: "namespace whose proxies are asked (default: all)",
    },
    proxies: {
      type: "string",
      valueHint: "NUMBER",
      description: `proxies that are asked at most (default: ${DEFAULT_PROXIES})`,
    },
  },
  examples: [
    { line: "conduit diagnostics bundle", why: "of the whole mesh, to be attached to an issue" },
    { line: "conduit diagnostics bundle -n shop shop.tar.gz", why: "with the proxies of one namespace" },
    { line: "conduit diagnostics bundle ./bundle", why: "a folder, to be looked at first" },
  ],
  async run({ args }) {
    const [given, ...more] = args._
    if (more.length > 0) throw new UsageError(`one FILE is written, not ${args._.length}`)
    const proxies = proxiesOf(args.proxies)
    const nowMs = Date.now()
    const file = given ?? `conduit-bundle-${stamp(nowMs)}.tar.gz`
    // Before anything is asked: what was asked for must not be lost for want of a place.
    const kind = kindOf(file)
    const found = await collect(args, proxies, line => {
      if (process.stderr.isTTY === true) say(line)
    })
    const files = [...found.files, readme(found, nowMs)].map(({ path, text }) => ({
      path,
      text: redact(text),
    }))
    if (kind === "folder") writeFolder(file, files)
    else {
      const { tarArchive } = await import("../../deploy/images/mod.ts")
      const root = "conduit-bundle"
      const entries = files.map(({ path, text }) => ({
        path: `${root}/${path}`,
        mode: FILE_MODE,
        content: Buffer.from(text),
      }))
      const packed = gzipSync(tarArchive(entries))
      if (kind === "stdout") process.stdout.write(packed)
      else writeFileSync(file, packed, { mode: FILE_MODE })
    }
    for (const line of found.missing) say(`conduit: not in the bundle: ${line}`)
    if (kind !== "stdout") writeOut(`${file}\n`)
    say(
      `${files.length} files; keys, tokens, Secrets and values of variables are left out, names and paths of your mesh are in it: look before you send it`,
    )
  },
})

function proxiesOf(word: string | undefined): number {
  if (word === undefined) return DEFAULT_PROXIES
  const number = /^\d{1,5}$/.test(word) ? Number(word) : -1
  if (number >= 0 && number <= MAX_PROXIES) return number
  throw new UsageError(`--proxies cannot be "${word}"; it is a number from 0 to ${MAX_PROXIES}`)
}

function stamp(nowMs: number): string {
  return new Date(nowMs).toISOString().slice(0, 19).replaceAll(/[-:]/g, "").replace("T", "-")
}

/** What is written at a path. @throws UsageError, Failure when it cannot be */
function kindOf(file: string): "stdout" | "archive" | "folder" {
  if (file === "-") {
    if (process.stdout.isTTY === true)
      throw new UsageError(
        "a bundle is no text: conduit diagnostics bundle - needs a pipe or a file behind it",
      )
    return "stdout"
  }
  if (existsSync(file))
    throw new Failure(`${file} is there already; a bundle is written to a new file or folder`)
  const folder = dirname(file)
  if (!existsSync(folder) || !statSync(folder).isDirectory())
    throw new Failure(`there is no folder ${folder} to write ${file} to`)
  return /\.(tar\.gz|tgz)$/.test(file) ? "archive" : "folder"
}

function writeFolder(
  folder: string,
  files: readonly { readonly path: string; readonly text: string }[],
): void {
  for (const { path, text } of files) {
    const target = join(folder, path)
    mkdirSync(dirname(target), { recursive: true, mode: 0o700 })
    writeFileSync(target, text, { mode: FILE_MODE })
  }
  chmodSync(folder, 0o700)
}

function readme({ what, files, missing }: Collected, nowMs: number): Collected["files"][number] {
  const lines = [
    `Support bundle of ${what}, ${new Date(nowMs).toISOString()}, written by conduit ${CLIENT_VERSION}.`,
    "",
    "Private keys, tokens, Secrets and values of environment variables are left out. Names, addresses and paths are not.",
    "",
    ...files.map(({ path }) => `  ${path}`),
    ...(missing.length === 0 ? [] : ["", "Not in it:", "", ...missing.map(line => `  ${line}`)]),
    "",
  ]
  return { path: "README.txt", text: lines.join("\n") }
}
