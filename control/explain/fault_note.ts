// Faults that a Service asks for: its callers' proxies answer a share of the requests themselves, whatever the routes say.
import type { FaultConfig } from "../../protos/routes/mod.ts"
import type { ServiceRecord } from "../cluster/mod.ts"
import { placeOf, textOf } from "./caller.ts"
import { type Chain, type Note, percent } from "./chain.ts"
import type { Leg } from "./route_step.ts"

/** Reason that answers of a fault bear (proxy/http/refusal.ts). */
const FAULT_INJECTED = "fault-injected"

/**
 * Decides the route of what a fault leaves.
 *
 * @param decide  the route without faults
 */
export function withFaults(
  chain: Chain,
  service: ServiceRecord,
  { delayMs, delayPercent, abortStatus, abortPercent }: FaultConfig,
  decide: () => Leg[],
): Leg[] {
  const what = textOf(placeOf(service))
  const at = (name: string) => placeOf(service, `metadata.annotations["fault.conduit.io/${name}"]`)
  const aborted = abortPercent / 100
  const notes: Note[] = [
    ...(delayPercent > 0
      ? [
          {
            text: `${percent(delayPercent / 100)} of the requests wait for ${delayMs} ms: ${what} asks for it`,
            object: at("delay"),
          },
        ]
      : []),
    ...(aborted > 0
      ? [
          {
            text: `${percent(aborted)} of the requests are answered ${abortStatus} by the caller's proxy: ${what} asks for it`,
            object: at("abort"),
          },
        ]
      : []),
  ]
  const answer = {
    status: abortStatus,
    error: FAULT_INJECTED,
    what: `${abortStatus} ${FAULT_INJECTED}: ${what} asks for it`,
  }
  if (aborted >= 1) {
    chain.end(
      "route",
      {
        decision: `every request is answered ${abortStatus}, and none is sent on`,
        reason: `${what} asks for faults by its annotations`,
        object: at("abort"),
        notes: notes.slice(0, -1),
        change: `take fault.conduit.io/abort off ${what}`,
      },
      answer,
    )
    return []
  }
  const before = chain.losses.length
  const legs = decide()
  chain.scale(before, 1 - aborted)
  chain.lose({ ...answer, share: aborted, step: "route" })
  for (const note of notes) chain.note("route", note)
  return legs.map(leg => ({ ...leg, share: leg.share * (1 - aborted) }))
}
