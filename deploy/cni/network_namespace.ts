// Entering another network namespace by setns(2): this thread, and every program that it starts from then on.
import { dlopen, FFIType } from "bun:ffi"
import { closeSync, fstatSync, openSync, statSync } from "node:fs"

/** setns(2)'s CLONE_NEWNET: refuses what is no network namespace. */
const CLONE_NEWNET = 0x40000000
/** The network of this thread. */
const OWN_NETWORK = "/proc/thread-self/ns/net"

/** Names a network namespace for as long as somebody is in it. */
export interface NetworkId {
  readonly dev: number
  readonly ino: number
}

/** The network that this thread is in. */
export function ownNetwork(): NetworkId {
  const { dev, ino } = statSync(OWN_NETWORK)
  return { dev, ino }
}

/**
 * Enters a network namespace; there is no way back but {@link enterNetwork} again.
 *
 * @param path  such as /run/netns/cni-1234
 * @param home  the node's network: what is done to a pod must never be done to that one
 * @throws Error with one sentence when it is none, may not be entered, or is `home`
 */
export function enterNetwork(path: string, home: NetworkId): void {
  let file: number
  try {
    file = openSync(path, "r")
  } catch (error) {
    throw new Error(`network namespace ${path} cannot be opened (${(error as NodeJS.ErrnoException).code})`)
  }
  try {
    const there = fstatSync(file)
    if (there.ino === home.ino && there.dev === home.dev) {
      throw new Error(`network namespace ${path} is the node's own, not a pod's`)
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
