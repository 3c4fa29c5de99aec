// Files out of Debian packages for an architecture that need not be this machine's: apt-get with a state of its own
// finds and verifies them, dpkg-deb unpacks them, and nothing is installed.
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
} from "node:fs"
import { basename, join } from "node:path"
import type { Architecture } from "./oci.ts"
import type { Entry } from "./tar.ts"

/** A package whose files are in an image. */
export interface DebianPackage {
  readonly name: string
  readonly version: string
  readonly entries: readonly Entry[]
}

/** Fetches packages of one architecture into a cache. */
export class DebianSource {
  readonly #folder: string
  readonly #architecture: Architecture
  #refreshed = false

  /** @param cache  folder that is kept between builds */
  constructor(cache: string, architecture: Architecture) {
    this.#folder = join(cache, `debian-${architecture}`)
    this.#architecture = architecture
  }

  /**
   * The files of a package that match any of the patterns, and its copyright file.
   *
   * @throws Error when the package cannot be had, or a pattern matches nothing in any architecture's layout
   */
  async files(name: string, patterns: readonly string[]): Promise<DebianPackage> {
    const archive = await this.#archiveOf(name)
    const version = decodeURIComponent(basename(archive).split("_")[1] ?? "")
    const unpacked = `${archive}.files`
    if (!existsSync(unpacked)) {
      rmSync(`${unpacked}.part`, { recursive: true, force: true })
      await run(["dpkg-deb", "--extract", archive, `${unpacked}.part`])
      renameSync(`${unpacked}.part`, unpacked)
    }
    const wanted = [...patterns, `usr/share/doc/${name}/copyright`].map(pattern => new Bun.Glob(pattern))
    const paths = readdirSync(unpacked, { recursive: true, encoding: "utf8" }).filter(
      path => wanted.some(glob => glob.match(path)) && !lstatSync(join(unpacked, path)).isDirectory(),
    )
    const entries = paths.map(path => entryOf(unpacked, path))
    if (paths.length < 2) throw new Error(`images: ${name} ${version} has none of ${patterns.join(", ")}`)
    return { name, version, entries }
  }

  async #archiveOf(name: string): Promise<string> {
    await this.#refresh()
    const archives = join(this.#folder, "archives")
    mkdirSync(archives, { recursive: true })
    // What is there already and still current is not fetched again.
    const [, file] = /^'[^']*' (\S+)/m.exec(await this.#apt(["--print-uris", "download", name])) ?? []
    if (file === undefined)
      throw new Error(`images: apt-get knows no package ${name} for ${this.#architecture}`)
    if (!existsSync(join(archives, file))) await this.#apt(["download", name], archives)
    return join(archives, file)
  }

  /** Asks for current versions once per build; where nobody answers, those of an earlier build are taken. */
  async #refresh(): Promise<void> {
    if (this.#refreshed) return
    this.#refreshed = true
    mkdirSync(join(this.#folder, "state/lists/partial"), { recursive: true })
    mkdirSync(join(this.#folder, "cache/archives/partial"), { recursive: true })
    await Bun.write(join(this.#folder, "status"), "")
    try {
      await this.#apt(["update"])
    } catch (error) {
      if (!existsSync(join(this.#folder, "archives"))) throw error
      console.error(`images: ${String(error)}; taking what an earlier build fetched`)
    }
  }

  async #apt(args: readonly string[], cwd = "/"): Promise<string> {
    const options = {
      "APT::Architecture": this.#architecture,
      "APT::Architectures": this.#architecture,
      "APT::Sandbox::User": "root",
      "Dir::State": join(this.#folder, "state"),
      "Dir::State::status": join(this.#folder, "status"),
      "Dir::Cache": join(this.#folder, "cache"),
    }
    const flags = Object.entries(options).flatMap(([name, value]) => ["-o", `${name}=${value}`])
    return await run(["apt-get", "-q", ...flags, ...args], cwd)
  }
}

function entryOf(folder: string, path: string): Entry {
  const file = join(folder, path)
  const facts = lstatSync(file)
  if (facts.isSymbolicLink()) return { path, mode: 0o777, content: { linkTo: readlinkSync(file) } }
  return { path, mode: facts.mode & 0o111 ? 0o755 : 0o644, content: readFileSync(file) }
}

/** Runs a program to its end. @throws Error with what it said when it fails or is missing */
async function run(command: readonly string[], cwd = "/"): Promise<string> {
  if (Bun.which(command[0] ?? "") === null) {
    throw new Error(`images: ${command[0]} is missing; the files of images come from Debian packages`)
  }
  const child = Bun.spawn([...command], { cwd, stdin: "ignore", stdout: "pipe", stderr: "pipe" })
  const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  if (code === 0) return stdout
  throw new Error(
    `images: ${command.filter(word => !word.includes("::")).join(" ")} failed: ${stderr.trim()}`,
  )
}
