// Rewrites paths: HTTPPathModifier of the Gateway API, whose table of examples the tests hold this to.
import { PATH_FULL, PATH_KEPT, PATH_PREFIX, type PathModifierConfig } from "./route_config.ts"

/** A change of paths. Immutable. */
export class PathModifier {
  private readonly kind: number
  private readonly value: string
  private readonly prefixLength: number

  private constructor(kind: number, value: string, prefixLength: number) {
    this.kind = kind
    this.value = value
    this.prefixLength = prefixLength
  }

  /** The change that a rule with this prefix makes; null: none. */
  static of(config: PathModifierConfig, prefix: string): PathModifier | null {
    if (config.kind === PATH_KEPT) return null
    const { value } = config
    const bare = config.kind === PATH_PREFIX && value.endsWith("/") ? value.slice(0, -1) : value
    return new PathModifier(config.kind, bare, prefix.length)
  }

  /** The path that takes the place of one; the query stays. */
  apply(path: string): string {
    const queryAt = path.indexOf("?")
    const query = queryAt < 0 ? "" : path.slice(queryAt)
    if (this.kind === PATH_FULL) return this.value + query
    const rest = path.slice(this.prefixLength, queryAt < 0 ? undefined : queryAt)
    const changed = this.value + rest
    return (changed === "" ? "/" : changed) + query
  }
}
