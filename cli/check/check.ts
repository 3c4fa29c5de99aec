// What a check is and what it can find. The checks themselves are one table (table.ts); runs of it are run.ts's.
import type { ClusterWorld } from "./cluster_world.ts"
import type { LocalWorld } from "./local.ts"
import type { World } from "./world.ts"

/** When a check is made: before an installation, after it, or of the data plane. */
export type Moment = "pre" | "installed" | "proxy"

/** What a check found. */
export type Finding =
  /** All is well; `detail` is what was seen, such as a version, or empty. */
  | { readonly state: "success"; readonly detail: string }
  /** Something is wrong. A warning fails nothing. */
  | {
      readonly state: "warning" | "failure"
      /** What was seen; a sentence, or several lines. */
      readonly why: string
      /** What to do about it. */
      readonly todo: string
      /** It may become well by itself: something starts. */
      readonly heals: boolean
    }

interface Described {
  /** Stable name: the anchor in CHECKS.md, and `id` in JSON. */
  readonly id: string
  /** Heading that it stands under. */
  readonly section: string
  /** What is well when the check succeeds, as a sentence without a full stop. */
  readonly about: string
  readonly at: readonly Moment[]
  /** Checks without whose success this one says nothing; it is not made then. They stand earlier in the table. */
  readonly needs?: readonly string[]
  /** Whether there is anything to look at in a cluster; what is not installed is not mentioned. Default: there is. */
  readonly where?: (world: ClusterWorld) => Promise<boolean>
}

/** A check of a Kubernetes cluster, of a local mesh and its machine, or of either. */
export type Check = Described &
  (
    | { readonly place: "cluster"; readonly run: (world: ClusterWorld) => Promise<Finding> }
    | { readonly place: "local"; readonly run: (world: LocalWorld) => Promise<Finding> }
    | { readonly place: "any"; readonly run: (world: World) => Promise<Finding> }
  )

/** All is well. */
export function well(detail = ""): Finding {
  return { state: "success", detail }
}

/** Something is wrong, and nothing fails for it. */
export function warning(why: string, todo: string): Finding {
  return { state: "warning", why, todo, heals: false }
}

/** Something is wrong. */
export function failure(why: string, todo: string): Finding {
  return { state: "failure", why, todo, heals: false }
}

/** Something is not well yet. */
export function notYet(why: string, todo: string): Finding {
  return { state: "failure", why, todo, heals: true }
}

/** Lines of a list that are shown. */
const MAX_LINES = 8

/** A list in a finding, a line each; a long one is cut and says so. */
export function lines(all: readonly string[]): string {
  const more = all.length - MAX_LINES
  return more > 0 ? [...all.slice(0, MAX_LINES), `and ${more} more`].join("\n") : all.join("\n")
}

/** `1 pod`, `2 pods`. */
export function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`
}
