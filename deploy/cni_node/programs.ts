// The executables that the installer puts on a node: the plugin, and iptables with what it is linked to.
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs"
import { join } from "node:path"
import { COPY_FOLDER, COPY_LINKER, COPY_MODULES } from "../cni/mod.ts"
import { PLUGIN_TYPE } from "./conflist.ts"
import { writeAtomically } from "./network_config.ts"

/** Where a Debian of each architecture has its C library. */
const SYSTEMS: Readonly<Record<string, { readonly linker: string; readonly triplet: string }>> = {
  x64: { linker: "lib64/ld-linux-x86-64.so.2", triplet: "x86_64-linux-gnu" },
  arm64: { linker: "lib/ld-linux-aarch64.so.1", triplet: "aarch64-linux-gnu" },
}
/** What iptables is linked to. */
const LIBRARIES = [
  "libc.so.6",
  "libdl.so.2",
  "libip4tc.so.2",
  "libip6tc.so.2",
  "libm.so.6",
  "libmnl.so.0",
  "libnftnl.so.11",
  "libxtables.so.12",
]
const COMPILE_FLAGS = [
  "--compile",
  "--minify",
  "--target=bun",
  "--no-compile-autoload-dotenv",
  "--no-compile-autoload-bunfig",
]
/** The executable while it is being made. */
const PARTIAL = `.${PLUGIN_TYPE}.conduit-part`
const PROGRAMS = ["xtables-nft-multi", "xtables-legacy-multi"]

/**
 * Makes the plugin's executable of its program: Bun, with the program in it. No file and no variable of the node's changes
 * how it runs.
 *
 * @param source  the program, TypeScript or JavaScript
 * @param folder  where the executable goes, under its name
 * @throws Error with the compiler's complaint
 */
export async function putPlugin(source: string, folder: string): Promise<void> {
  const path = join(folder, PLUGIN_TYPE)
  rmSync(join(folder, PARTIAL), { force: true })
  // The compiler takes 250 MB, which a process of its own gives back, and writes into its working folder before anything.
  const command = [process.execPath, "build", ...COMPILE_FLAGS, `--outfile=${PARTIAL}`, source]
  const child = Bun.spawn(command, { cwd: folder, stdin: "ignore", stdout: "ignore", stderr: "pipe" })
  const [complaint, code] = await Promise.all([child.stderr.text(), child.exited])
  const partial = join(folder, PARTIAL)
  if (code !== 0 || !existsSync(partial)) {
    throw new Error(`${path} could not be made: ${complaint.trim() || "the compiler wrote nothing"}`)
  }
  chmodSync(partial, 0o755)
  renameSync(partial, path)
}

/**
 * Copies iptables out of an image.
 *
 * @param root  the image's root; `/` in the installer's container
 * @param folder  folder of the plugin
 * @throws Error naming the first file that is missing
 */
export function putIptables(root: string, folder: string): void {
  const system = SYSTEMS[process.arch]
  if (system === undefined) throw new Error(`there is no iptables for the architecture ${process.arch}`)
  const libraries = [join(root, "lib", system.triplet), join(root, "usr/lib", system.triplet)]
  const copy = join(folder, COPY_FOLDER)
  mkdirSync(join(copy, COPY_MODULES), { recursive: true })
  const put = (from: string, name: string): void =>
    writeAtomically(join(copy, name), readFileSync(from), 0o755)
  for (const name of LIBRARIES) {
    const found = libraries.map(one => join(one, name)).find(existsSync)
    if (found === undefined) throw new Error(`${name}, which iptables is linked to, is not below ${root}`)
    put(found, name)
  }
  for (const name of PROGRAMS) put(join(root, "usr/sbin", name), name)
  const modules = join(root, "usr/lib", system.triplet, "xtables")
  for (const name of readdirSync(modules).filter(one => one.endsWith(".so"))) {
    put(join(modules, name), `${COPY_MODULES}/${name}`)
  }
  // The last: a plugin takes the copy once its linker is there.
  put(join(root, system.linker), COPY_LINKER)
}

/** Whether a node still has what was put there. */
export function hasPrograms(folder: string): boolean {
  return existsSync(join(folder, PLUGIN_TYPE)) && existsSync(join(folder, COPY_FOLDER, COPY_LINKER))
}

/** Takes all of it away. */
export function removePrograms(folder: string): void {
  for (const name of [PLUGIN_TYPE, PARTIAL, COPY_FOLDER]) {
    rmSync(join(folder, name), { recursive: true, force: true })
  }
}
