// What the bench of taps compares: both proxies of a pair while nobody looks at their requests, and while somebody does.
import { join } from "node:path"
import type { RunningPeer } from "./peers.ts"
import type { TapReaderOptions, TapReaderResult } from "./tap_reader.ts"

/** Somebody who looks. */
export interface Looking {
  readonly match: TapReaderOptions["match"]
  readonly stops: boolean
  /** Proxies of the pair that are looked at; absent for both. */
  readonly proxies?: number
  /** What was told, and how long was listened. */
  readonly told: (TapReaderResult & { readonly seconds: number })[]
}

/**
 * Nobody looks twice, that the noise is known; then at a share of one proxy's requests, and of both; then both are tapped, at
 * all requests, and without reading.
 */
export const LOOKS: Readonly<Record<string, Pick<Looking, "match" | "stops" | "proxies"> | null>> = {
  "nobody looks": null,
  "nobody (A/A)": null,
  "10 %, one": { match: { sample: 0.1 }, stops: false, proxies: 1 },
  "10 %": { match: { sample: 0.1 }, stops: false },
  "10,000/s": { match: { maxRps: 10_000 }, stops: false },
  "slow reader": { match: { maxRps: 10_000 }, stops: true },
}

/** Begins to look; what is returned ends it. */
export async function look(peer: RunningPeer, looking: Looking): Promise<() => Promise<void>> {
  if (peer.tap === undefined) throw new Error(`${peer.name} cannot be tapped`)
  const reader = Bun.spawn(["taskset", "-c", "1", process.execPath, join(import.meta.dir, "tap_reader.ts")], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  })
  const { match, stops } = looking
  const proxies = peer.tap.proxies.slice(0, looking.proxies)
  reader.stdin.write(`${JSON.stringify({ ...peer.tap, proxies, match, stops } satisfies TapReaderOptions)}\n`)
  reader.stdin.flush()
  const lines = reader.stdout.pipeThrough(new TextDecoderStream()).getReader()
  if ((await lines.read()).value?.trim() !== "listening") throw new Error("the tap's reader does not listen")
  const beganMs = performance.now()
  return async () => {
    const seconds = (performance.now() - beganMs) / 1000
    reader.stdin.end()
    looking.told.push({ ...(JSON.parse((await lines.read()).value ?? "{}") as TapReaderResult), seconds })
    await reader.exited
  }
}

/** Prints what was told, a line for each time that was listened. */
export function printTold(label: string, looking: Looking | undefined): void {
  for (const { requests, limited, dropped, seconds } of looking?.told ?? []) {
    const rate = (requests / seconds).toFixed(0)
    console.log(`${label.padEnd(12)} ${rate} requests/s read, ${limited} over the limit, ${dropped} dropped`)
  }
}
