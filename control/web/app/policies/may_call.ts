// What policies say of calls, whether anybody makes them or not.
import { Access, type AuthorizationRow } from "../../../../protos/mod.ts"
import { keyOf } from "../mesh/mesh.ts"

/** `in part`: some requests may pass, or requests to some ports. */
export type MayCall = "may" | "denied" | "in part"

/** What one workload may ask of another. */
export interface CallRight {
  readonly may: MayCall
  /** What decides, a line each. */
  readonly why: readonly string[]
}

const WORDS: Readonly<Partial<Record<Access, MayCall>>> = {
  [Access.ALLOWED]: "may",
  [Access.DENIED]: "denied",
}

/** What holds for each pair, all ports of the called one together; by `CALLER CALLED`, as `namespace/kind/name`. */
export function callRights(rows: readonly AuthorizationRow[]): ReadonlyMap<string, CallRight> {
  const rights = new Map<string, CallRight>()
  for (const { from, to, access, port, policy, reason, requests } of rows) {
    const key = `${keyOf(from)} ${keyOf(to)}`
    const may = WORDS[access] ?? "in part"
    const decider = [port === 0 ? "" : `port ${port}: ${may}`, policy, reason].filter(word => word !== "")
    const why = [decider.join(", "), ...requests]
    const before = rights.get(key)
    rights.set(
      key,
      before === undefined
        ? { may, why }
        : { may: before.may === may ? may : "in part", why: [...before.why, ...why] },
    )
  }
  return rights
}
