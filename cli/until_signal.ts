// Commands that show something until they are interrupted, or for a while, and then end as they should.

/** Aborted by SIGINT, SIGTERM or SIGHUP, or after `lastsMs`; dispose of it at the end of the command. */
export function untilSignal(lastsMs?: number): Disposable & { readonly signal: AbortSignal } {
  const ending = new AbortController()
  const end = (): void => ending.abort()
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const
  for (const signal of signals) process.on(signal, end)
  const timer = lastsMs === undefined ? undefined : setTimeout(end, lastsMs)
  return {
    signal: ending.signal,
    [Symbol.dispose]() {
      clearTimeout(timer)
      for (const signal of signals) process.off(signal, end)
    },
  }
}
