// How a certificate stands, in a word.
import { CertificateState, type IdentitiesResponse } from "../../../../protos/mod.ts"
import { plain, span } from "../mesh/format.ts"
import type { Level } from "../mesh/trouble.ts"
import { LevelMark } from "../parts/level.tsx"

/** Of a state that a newer control plane knows. */
const OTHER: readonly [Level, string] = ["idle", "unknown"]

const STATES: Readonly<Partial<Record<CertificateState, readonly [Level, string]>>> = {
  [CertificateState.VALID]: ["well", "valid"],
  [CertificateState.EXPIRING]: ["degraded", "should have been renewed"],
  [CertificateState.EXPIRED]: ["failing", "expired"],
  [CertificateState.NOT_YET_VALID]: ["failing", "not valid yet"],
  [CertificateState.NONE]: ["failing", "none"],
  [CertificateState.UNKNOWN]: ["idle", "could not be asked"],
}

/** How bad the state of a certificate is. */
export function certificateLevel({ state }: IdentitiesResponse): Level {
  return (STATES[state] ?? OTHER)[0]
}

/** The state of a certificate. */
export function CertificateMark({ of }: { readonly of: IdentitiesResponse }) {
  const [level, words] = STATES[of.state] ?? OTHER
  return (
    <span title={of.error === "" ? undefined : plain(of.error)}>
      <LevelMark level={level} word={false} /> {words}
      {of.error !== "" && <span className="hidden">: {plain(of.error)}</span>}
    </span>
  )
}

/** How long a certificate still holds. */
export function endsIn({ notAfterMs }: IdentitiesResponse): string {
  if (notAfterMs === 0) return "–"
  const leftMs = notAfterMs - Date.now()
  return leftMs > 0 ? `in ${span(leftMs)}` : `ended ${span(-leftMs)} ago`
}
