// Whether a call is mutual TLS, and why not.
import type { Edge } from "../../../../protos/mod.ts"
import { plain } from "../mesh/format.ts"
import { Icon } from "../shell/icons.tsx"

/** Secured, or why not. */
export function Secured({ edge }: { readonly edge: Edge }) {
  return edge.secured ? (
    <span className="secured">
      <Icon name="lock" /> secured
    </span>
  ) : (
    <span className="unsecured">
      <Icon name="unlocked" /> plaintext: <span className="quiet">{plain(edge.reason)}</span>
    </span>
  )
}
