// Waits until this pod's proxy accepts connections: what the postStart hook of a plain sidecar does, so that a kubelet
// starts the application only then (deploy/inject).

/** How often the proxy is asked. */
export const AWAIT_POLL_MS = 50

/** How long one answer may take. */
export const AWAIT_ANSWER_MS = 1_000

/** What waiting needs. */
export interface AwaitOptions {
  /** Port of the proxy's admin interface on the loopback interface. */
  readonly adminPort: number
  /** From the first question to giving up. */
  readonly timeoutMs: number
}

/**
 * Asks `/live` until it answers 200. Not `/ready`: a pod must also start while the control plane is gone.
 *
 * @throws Error with one sentence when the time is over
 */
export async function awaitLive({ adminPort, timeoutMs }: AwaitOptions): Promise<void> {
  const url = `http://127.0.0.1:${adminPort}/live`
  const deadlineMs = performance.now() + timeoutMs
  let last = "it was not asked"
  while (performance.now() < deadlineMs) {
    try {
      const response = await fetch(url, { signal: AbortSignal.timeout(AWAIT_ANSWER_MS) })
      await response.body?.cancel()
      if (response.status === 200) return
      last = `it answered ${response.status}`
    } catch (error) {
      last = error instanceof Error ? error.message : String(error)
    }
    await Bun.sleep(AWAIT_POLL_MS)
  }
  throw new Error(`the proxy did not accept connections within ${timeoutMs / 1000} s: GET ${url}: ${last}`)
}
