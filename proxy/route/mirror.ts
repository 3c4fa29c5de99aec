// Whether a request is copied to the backend of a mirror filter (HTTPRequestMirrorFilter): by its fraction, drawn for each
// request and each mirror on its own.
import type { MirrorConfig, Rule, RuleTarget } from "../../protos/routes/mod.ts"

/** Of a request that meets no rule. */
export const NO_MIRRORS: readonly MirrorConfig[] = []

/** Mirrors of a rule, then of the backend that was drawn. */
export function mirrorsOf(rule: Rule, target: RuleTarget): readonly MirrorConfig[] {
  const { mirrors } = rule.config.filters
  const more = target.config.filters.mirrors
  if (more.length === 0) return mirrors
  return mirrors.length === 0 ? more : [...mirrors, ...more]
}

/**
 * Whether a request belongs to a mirror's share.
 *
 * @param random  uniform, 0 to 1
 */
export function isMirrored({ numerator, denominator }: MirrorConfig, random: number): boolean {
  return random * denominator < numerator
}
