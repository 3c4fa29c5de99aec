// The copy of iptables that the installer puts beside the plugin: the very programs of conduit-init, with the C library
// that they were made for, so that a node needs none of its own. A plugin without that copy takes the node's.
import { existsSync } from "node:fs"
import { join } from "node:path"
import { type Iptables, iptablesInPath } from "../redirect/mod.ts"

/** Folder of the copy, beside the plugin. */
export const COPY_FOLDER = "conduit-cni.d"
/** The copy's dynamic linker. */
export const COPY_LINKER = "ld.so"
/** Folder of iptables' own modules within the copy. */
export const COPY_MODULES = "xtables"
/** Lock of the older tables on a node; whoever is not root cannot hold it. */
const LOCK_FILE = "/run/conduit-cni.lock"
/** Runtimes start plugins with whatever PATH they have. */
const SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/** iptables for a plugin that stands in that folder. */
export function nodeIptables(folder: string, path = process.env.PATH ?? ""): Iptables {
  const copy = join(folder, COPY_FOLDER)
  const linker = join(copy, COPY_LINKER)
  if (!existsSync(linker)) return iptablesInPath(LOCK_FILE, `${path}:${SYSTEM_PATH}`)
  return {
    lockFile: LOCK_FILE,
    find: (family, backend, action) => ({
      command: [
        linker,
        "--library-path",
        copy,
        join(copy, `xtables-${backend}-multi`),
        `${family}-${action}`,
      ],
      env: { XTABLES_LIBDIR: join(copy, COPY_MODULES) },
    }),
  }
}
