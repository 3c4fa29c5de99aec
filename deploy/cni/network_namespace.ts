// Entering another network namespace by setns(2): this thread, and every program that it starts from then on.
import { dlopen, FFIType } from "bun:ffi"
import { closeSync, fstatSync, openSync, statSync } from "node:fs"

/** setns(2)'s CLONE_NEWNET: refuses what is no network namespace. */
const CLONE_NEWNET = 0x40000000
/** The network of this thread. */
const OWN_NETWORK = "/proc/thread-self/ns/net"

/**
 * Enters a network namespace; there is no way back but {@link enterNetwork} again.
 *
 * @param path  such as /run/netns/cni-1234
 * @throws Error with one sentence when it is none, may not be entered, or is the one that the process is in: what is done
 * to a pod must never be done to the node
 */
export function enterNetwork(path: string): void {
  let file: number
  try {
    file = openSync(path, "r")
  } catch (error) {
    throw new Error(`network namespace ${path} cannot be opened (${(error as NodeJS.ErrnoException).code})`)
  }
  try {
    const [there, here] = [fstatSync(file), statSync(OWN_NETWORK)]
    if (there.ino === here.ino && there.dev === here.dev) {
      throw new Error(`network namespace ${path} is this process's own, not a pod's`)
    }
    const libc = dlopen("libc.so.6", { setns: { args: [FFIType.i32, FFIType.i32], returns: FFIType.i32 } })
    const code = libc.symbols.setns(file, CLONE_NEWNET)
    libc.close()
    if (code !== 0)
      throw new Error(`network namespace ${path} cannot be entered: it is none, or CAP_SYS_ADMIN is missing`)
  } finally {
    closeSync(file)
  }
}
