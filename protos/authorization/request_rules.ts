// The rules that hold for one kind of client, indexed by what a request shows: method and path. A request costs one
// look-up of its path and one of its method per action, whatever the number of rules.
import { type AuditMatch, Outcome } from "./verdict.ts"
import { ACTION_ALLOW, ACTION_ASK, ACTION_AUDIT, ACTION_DENY, type Operation } from "./workload_policy.ts"

/** A rule of a policy, as what decides. */
export class Clause extends Outcome implements AuditMatch {
  /** Place among all rules; of several that match, the first one is named. */
  readonly order: number
  readonly namespace: string
  readonly name: string
  readonly rule: number

  constructor(order: number, allowed: boolean, namespace: string, name: string, rule: number) {
    super({ allowed, cause: "policy", namespace, name, rule, detail: "", audit: null })
    this.order = order
    this.namespace = namespace
    this.name = name
    this.rule = rule
  }
}

/** The first clause of one action by method. */
class MethodTable {
  any: Clause | null = null
  private by: Map<string, Clause> | null = null

  /** @param methods  empty for any */
  add(methods: readonly string[], clause: Clause): void {
    if (methods.length === 0) this.any = earlier(this.any, clause)
    for (const method of methods) {
      this.by ??= new Map()
      // earlier() of a clause and another is never null.
      this.by.set(method, earlier(this.by.get(method) ?? null, clause) as Clause)
    }
  }

  addAll(other: MethodTable): void {
    if (other.any !== null) this.add([], other.any)
    if (other.by !== null) for (const [method, clause] of other.by) this.add([method], clause)
  }

  /** The clause that matches a method as it is written. */
  find(method: string): Clause | null {
    return this.by === null ? this.any : earlier(this.any, this.by.get(method) ?? null)
  }

  /** The same whatever its case: a server that takes `post` for POST must not be reached by it. */
  findAnyCase(method: string): Clause | null {
    return this.by === null ? this.any : earlier(this.any, this.by.get(method.toUpperCase()) ?? null)
  }
}

function earlier(a: Clause | null, b: Clause | null): Clause | null {
  if (a === null) return b
  return b === null || a.order <= b.order ? a : b
}

/** What holds for one path: its own rules and those of everything that it lies below. */
export class PathRules {
  readonly deny = new MethodTable()
  readonly allow = new MethodTable()
  readonly audit = new MethodTable()

  table(action: number): MethodTable {
    return action === ACTION_DENY ? this.deny : action === ACTION_ALLOW ? this.allow : this.audit
  }

  addAll(other: PathRules): void {
    this.deny.addAll(other.deny)
    this.allow.addAll(other.allow)
    this.audit.addAll(other.audit)
  }
}

/** Rules by path and method. Filled by `add`, then closed by `finish`, then asked. */
export class RequestRules {
  private readonly anyPath = new PathRules()
  private readonly exact = new Map<string, PathRules>()
  private readonly byPrefix = new Map<string, PathRules>()
  private prefixes: string[] = []
  private rules: PathRules[] = []
  /** Index of the next shorter prefix that begins each prefix, -1 for none. */
  private parents = new Int32Array(0)

  /**
   * Adds a rule.
   *
   * @param to  empty for any request
   */
  add(action: number, to: readonly Operation[], clause: Clause): void {
    if (to.length === 0) this.anyPath.table(action).add([], clause)
    for (const { methods, paths } of to) {
      if (paths.length === 0) this.anyPath.table(action).add(methods, clause)
      for (const path of paths) {
        if (path === "*") this.anyPath.table(action).add(methods, clause)
        else if (path.endsWith("*"))
          entry(this.byPrefix, path.slice(0, -1)).table(action).add(methods, clause)
        else entry(this.exact, path).table(action).add(methods, clause)
        if (action !== ACTION_DENY) continue
        // Servers answer `/a` and `/a/` alike, or send from one to the other: what denies one denies both.
        const twin = twinOf(path)
        if (twin !== "") entry(this.exact, twin).deny.add(methods, clause)
      }
    }
  }

  /** Brings what shorter prefixes say into the longer ones and the exact paths, so that one look-up finds all. */
  finish(): void {
    this.prefixes = [...this.byPrefix.keys()].sort()
    this.parents = new Int32Array(this.prefixes.length).fill(-1)
    for (const [i, prefix] of this.prefixes.entries()) {
      let parent = i - 1
      // What stands before it is sorted, so its longest beginning is on the chain of its neighbour.
      while (parent >= 0 && !prefix.startsWith(this.prefixes[parent] as string)) {
        parent = this.parents[parent] as number
      }
      this.parents[i] = parent
      // A key of byPrefix.
      const rules = this.byPrefix.get(prefix) as PathRules
      rules.addAll(parent < 0 ? this.anyPath : (this.rules[parent] as PathRules))
      this.rules.push(rules)
    }
    for (const [path, rules] of this.exact) rules.addAll(this.below(path))
  }

  /** What holds for a path in normal form. */
  of(path: string): PathRules {
    return this.exact.get(path) ?? this.below(path)
  }

  private below(path: string): PathRules {
    const { prefixes } = this
    let low = 0
    let high = prefixes.length
    while (low < high) {
      const middle = (low + high) >> 1
      // middle < prefixes.length
      if ((prefixes[middle] as string) <= path) low = middle + 1
      else high = middle
    }
    let at = low - 1
    while (at >= 0 && !path.startsWith(prefixes[at] as string)) at = this.parents[at] as number
    return at < 0 ? this.anyPath : (this.rules[at] as PathRules)
  }
}

/** The other form of a path's trailing slash, for a prefix what it lies below; empty for none. */
export function twinOf(pattern: string): string {
  if (pattern.endsWith("/*")) return pattern.length > 2 ? pattern.slice(0, -2) : ""
  if (pattern.endsWith("*") || pattern === "/") return ""
  return pattern.endsWith("/") ? pattern.slice(0, -1) : `${pattern}/`
}

function entry(map: Map<string, PathRules>, key: string): PathRules {
  let rules = map.get(key)
  if (rules === undefined) {
    rules = new PathRules()
    map.set(key, rules)
  }
  return rules
}

/** Whether a number is an action that this version knows. */
export function isKnownAction(action: number): boolean {
  return action === ACTION_ALLOW || action === ACTION_DENY || action === ACTION_AUDIT || action === ACTION_ASK
}

/** Whether what an action is meant for must not slip through: it matches what could be it, in whichever form. */
export function isStrict(action: number): boolean {
  return action === ACTION_DENY || action === ACTION_ASK
}
