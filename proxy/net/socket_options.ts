// Socket options that the runtime does not offer, set through libc by FFI: dead peers are noticed in 30 s
// (a node that dies otherwise holds connections for 15 minutes), and the address before an iptables REDIRECT.
import { dlopen, FFIType, type Pointer, ptr } from "bun:ffi"

/** Idle time before the kernel probes a silent peer, and between probes. Linkerd's value. */
export const TCP_KEEPALIVE_SECONDS = 10

/** Unanswered probes before a connection is given up. */
export const TCP_KEEPALIVE_PROBES = 3

/** How long sent data may stay unacknowledged before a connection is given up. Linkerd's value. */
export const TCP_USER_TIMEOUT_MS = 30_000

const SOL_SOCKET = 1
const SO_KEEPALIVE = 9
const IPPROTO_TCP = 6
const TCP_KEEPIDLE = 4
const TCP_KEEPINTVL = 5
const TCP_KEEPCNT = 6
const TCP_USER_TIMEOUT = 18

const symbols = {
  getsockopt: {
    args: [FFIType.i32, FFIType.i32, FFIType.i32, FFIType.ptr, FFIType.ptr],
    returns: FFIType.i32,
  },
  setsockopt: {
    args: [FFIType.i32, FFIType.i32, FFIType.i32, FFIType.ptr, FFIType.u32],
    returns: FFIType.i32,
  },
} as const

type Libc = ReturnType<typeof openLibc>

/** glibc's name first, then musl's (Alpine images). */
const LIBC_NAMES = [
  "libc.so.6",
  `libc.musl-${process.arch === "arm64" ? "aarch64" : "x86_64"}.so.1`,
  "libc.so",
]

function openLibc() {
  let cause: unknown
  for (const name of LIBC_NAMES) {
    try {
      return dlopen(name, symbols).symbols
    } catch (error) {
      cause = error
    }
  }
  throw new Error(
    `socket options: could not open the C library (tried ${LIBC_NAMES.join(", ")}); the proxy needs glibc or musl`,
    { cause },
  )
}

let libc: Libc | null = null
let value: Int32Array<ArrayBuffer> | null = null
let valuePointer: Pointer

function setInteger(fd: number, level: number, option: number, integer: number): boolean {
  libc ??= openLibc()
  if (value === null) {
    value = new Int32Array(1)
    valuePointer = ptr(value)
  }
  value[0] = integer
  return libc.setsockopt(fd, level, option, valuePointer, 4) === 0
}

/**
 * Turns keepalive and the user timeout on (the runtime itself turns Nagle's algorithm off). Sockets that a listening
 * one accepts inherit both.
 *
 * @returns whether the kernel took all of them; a closed descriptor gives false
 */
export function tuneSocket(fd: number): boolean {
  return (
    setInteger(fd, SOL_SOCKET, SO_KEEPALIVE, 1) &&
    setInteger(fd, IPPROTO_TCP, TCP_KEEPIDLE, TCP_KEEPALIVE_SECONDS) &&
    setInteger(fd, IPPROTO_TCP, TCP_KEEPINTVL, TCP_KEEPALIVE_SECONDS) &&
    setInteger(fd, IPPROTO_TCP, TCP_KEEPCNT, TCP_KEEPALIVE_PROBES) &&
    setInteger(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, TCP_USER_TIMEOUT_MS)
  )
}

/**
 * Reads a socket option into `buffer`.
 *
 * @returns whether the kernel answered
 */
export function readSocketOption(
  fd: number,
  level: number,
  option: number,
  buffer: Uint8Array,
  length: Uint32Array,
): boolean {
  libc ??= openLibc()
  length[0] = buffer.length
  return libc.getsockopt(fd, level, option, ptr(buffer), ptr(length)) === 0
}
