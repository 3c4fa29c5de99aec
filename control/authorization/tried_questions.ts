// What plugins with the hook Authorize say of the traffic that WhatIf tries: asked now, about requests as they were recorded.
import type { AskMatch } from "../../protos/authorization/mod.ts"
import { pluginPolicyV1, type telemetryQueryV1 } from "../../protos/mod.ts"
import { reasonOf, type wouldAuthorize } from "../plugins/mod.ts"
import { type ResourceName, spiffeIdOf } from "../resources/mod.ts"
import type { Decision } from "./judge.ts"

/** Questions of one WhatIf: a plugin is not to be kept from its work by somebody's curiosity. */
export const MAX_WHAT_IF_QUESTIONS = 500
/** Of these, as many at once: half of what may be under way to one plugin. */
export const WHAT_IF_QUESTIONS_AT_ONCE = 32

/** Asks a plugin about a request, whatever its mode. */
export type AskPlugin = (
  plugin: string,
  facts: Parameters<typeof wouldAuthorize>[2],
) => Promise<pluginPolicyV1.AuthorizeResponse>

/** A request that plugins are asked about. */
export interface TriedRequest {
  readonly access: telemetryQueryV1.Access
  readonly to: ResourceName
  readonly matches: readonly AskMatch[]
  /** What the other policies say of it. */
  readonly decision: Decision
}

/**
 * Asks about requests.
 *
 * @param notes  told what could not be asked
 * @returns a decision for each request, as proxies would come to it
 */
export async function askTried(
  requests: readonly TriedRequest[],
  ask: AskPlugin,
  notes: string[],
): Promise<Decision[]> {
  const decisions = requests.map(({ decision }) => decision)
  const asked = requests.slice(0, MAX_WHAT_IF_QUESTIONS)
  const unanswered = new Map<string, string>()
  let next = 0
  const work = async (): Promise<void> => {
    for (let at = next++; at < asked.length; at = next++) {
      const request = asked[at]
      if (request !== undefined) decisions[at] = await decide(request, ask, unanswered)
    }
  }
  await Promise.all(Array.from({ length: WHAT_IF_QUESTIONS_AT_ONCE }, work))
  if (requests.length > asked.length)
    notes.push(
      `plugins were asked about ${asked.length} kinds of traffic, and not about ${requests.length - asked.length} more`,
    )
  for (const [plugin, why] of unanswered)
    notes.push(
      `the plugin "${plugin}" did not answer everything, which is left to the other policies here: ${why}`,
    )
  return decisions
}

async function decide(
  { access, to, matches, decision }: TriedRequest,
  ask: AskPlugin,
  unanswered: Map<string, string>,
): Promise<Decision> {
  let decided = decision
  for (const match of matches) {
    const { plugin } = match.question
    const { namespace, name } = match.allowed
    const policy = `${namespace}/${name}`
    try {
      const { decision: said, reason } = await ask(plugin, {
        ...{ clientId: spiffeIdOf(access.clientId), clientAddress: access.clientIp },
        ...{ namespace: to.namespace, workloadKind: to.kind, workload: to.name },
        ...{ port: access.port, method: access.method, path: access.example },
      })
      if (said === pluginPolicyV1.Decision.DENY)
        return { allowed: false, policy, reason: match.denied(reasonOf(reason)).detail }
      if (said === pluginPolicyV1.Decision.ALLOW && !decided.allowed)
        decided = { allowed: true, policy, reason: match.allowed.detail }
    } catch (error) {
      unanswered.set(plugin, reasonOf(error))
    }
  }
  return decided
}
