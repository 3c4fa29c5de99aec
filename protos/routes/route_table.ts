// Which rule a request meets: the matches of all routes of a service's port, compiled once, then asked for each request.
// One walk along the path finds all paths and prefixes that it meets, another one the expressions that it could meet; what
// is left is a few candidates.
import { LiteralScan, Regex, requiredLiteral } from "../regex/mod.ts"
import { EvenPoints } from "./even_points.ts"
import { HeaderModifier } from "./header_modifier.ts"
import { PathModifier } from "./path_modifier.ts"
import { PathTree } from "./path_tree.ts"
import { queryValueMatches } from "./query.ts"
import { RetryRule } from "./retry.ts"
import {
  type FieldMatchConfig,
  type FiltersConfig,
  MATCH_EXACT,
  MATCH_REGEX,
  type MatchConfig,
  ROUTE_KIND_GRPC,
  type RoutesConfig,
  type RuleBackendConfig,
  type RuleConfig,
} from "./route_config.ts"
import { WeightedPick } from "./weighted_pick.ts"

/**
 * Matches of one service that a proxy takes, whatever it is sent: 512 routes of eight matches. Beyond it those with the
 * least precedence are left out.
 */
export const MAX_TABLE_MATCHES = 4096

/** What a table asks of a request; `RequestView` has it all. */
export interface RoutedRequest {
  readonly method: string
  /** Path and query as sent. */
  readonly path: string
  readonly isGrpc: boolean
  readonly authority: string
  /** All values of a field, joined by commas; undefined if it is absent. */
  values(lowerCaseName: string): string | undefined
}

/** Where a share of a rule's requests goes, and what is done to them; compiled. */
export class RuleTarget {
  readonly config: RuleBackendConfig
  /** Of the rule, then of the backend. */
  readonly requestHeaders: HeaderModifier | null
  readonly responseHeaders: HeaderModifier | null
  /** Authority that takes the place of the request's; "" to keep that. */
  readonly hostname: string

  constructor(rule: FiltersConfig, config: RuleBackendConfig) {
    this.config = config
    this.requestHeaders = HeaderModifier.of(rule.requestHeaders, config.filters.requestHeaders)
    this.responseHeaders = HeaderModifier.of(rule.responseHeaders, config.filters.responseHeaders)
    this.hostname = rule.rewrite?.hostname ?? ""
  }
}

/** A rule, compiled. */
export class Rule {
  readonly config: RuleConfig
  readonly name: string
  /** Place among the rules of the table. */
  readonly index: number
  /** By their index in the rule. */
  readonly targets: readonly RuleTarget[]
  /** Chooses a target. */
  readonly pick: WeightedPick
  /** What the choices are made by. */
  readonly points = new EvenPoints()
  /** Null: a response is never asked for again. */
  readonly retry: RetryRule | null
  readonly rewritePath: PathModifier | null
  readonly redirectPath: PathModifier | null

  constructor(config: RuleConfig, index: number) {
    this.config = config
    this.name = config.name
    this.index = index
    this.targets = config.backends.map(backend => new RuleTarget(config.filters, backend))
    this.pick = new WeightedPick(config.backends)
    this.retry = config.retry === null ? null : new RetryRule(config.retry)
    const { rewrite, redirect } = config.filters
    // Only a rule with one match, by prefix, may replace its prefix: so there is one to name here.
    const prefix = config.matches[0]?.path ?? ""
    this.rewritePath = rewrite === null ? null : PathModifier.of(rewrite.path, prefix)
    this.redirectPath = redirect === null ? null : PathModifier.of(redirect.path, prefix)
  }
}

class Match {
  readonly rank: number
  readonly rule: Rule
  readonly regex: Regex | null
  /** Stands in every path that the expression takes. */
  readonly literal: string
  readonly method: string
  readonly headers: FieldMatch[]
  readonly query: readonly FieldMatch[]
  /** Whether the path alone decides. */
  private plain = false

  constructor(config: MatchConfig, rule: Rule) {
    this.rank = config.rank
    this.rule = rule
    this.regex = config.pathKind === MATCH_REGEX ? new Regex(config.path) : null
    this.literal = config.pathKind === MATCH_REGEX ? requiredLiteral(config.path) : ""
    this.method = config.method
    this.headers = config.headers.map(field => new FieldMatch(field))
    this.query = config.query.map(field => new FieldMatch(field))
    this.settle()
  }

  /** A condition need not be asked any more: who asks for the match knows that it holds. */
  drop(header: FieldMatch): void {
    this.headers.splice(this.headers.indexOf(header), 1)
    this.settle()
  }

  private settle(): void {
    this.plain = this.method === "" && this.headers.length === 0 && this.query.length === 0
  }

  holds(request: RoutedRequest, path: string, queryAt: number): boolean {
    if (this.plain) return true
    if (this.method !== "" && this.method !== request.method) return false
    for (let i = 0; i < this.headers.length; i++) {
      // i is below the length.
      const field = this.headers[i]!
      const value =
        field.name === "host" && request.values("host") === undefined
          ? request.authority
          : request.values(field.name)
      if (value === undefined || !field.takes(value)) return false
    }
    for (let i = 0; i < this.query.length; i++) {
      const field = this.query[i]!
      if (!queryValueMatches(path, queryAt, field)) return false
    }
    return true
  }
}

/** A comparison, compiled. */
export class FieldMatch {
  readonly name: string
  readonly value: string
  /** Whether it holds for one value alone. The host may stand elsewhere than in the field of its name. */
  readonly isIndexable: boolean
  private readonly regex: Regex | null

  constructor(config: FieldMatchConfig) {
    this.isIndexable = config.kind === MATCH_EXACT && config.name !== "host"
    this.name = config.name
    this.value = config.value
    this.regex = config.kind === MATCH_EXACT ? null : new Regex(config.value)
  }

  /** Whether a value is what was asked for. */
  takes(value: string): boolean {
    return this.regex === null ? value === this.value : this.regex.matches(value)
  }
}

/** The rules of a service's port. Immutable; a change of routes makes another one. */
export class RouteTable {
  readonly rules: readonly Rule[]
  /** Matches that were left out: beyond MAX_TABLE_MATCHES, or with an expression of a newer control plane. */
  readonly leftOut: number
  private readonly grpcOnly: boolean
  private readonly paths = new PathTree<MatchList>()
  /** All that stand in the tree. */
  private readonly lists: MatchList[] = []
  /** By rank. */
  private readonly regexes: Match[] = []
  /** Texts of some of them. */
  private readonly literals: LiteralScan
  /** By their place among the regexes: the place among the texts, or LITERAL_NOT_SCANNED. */
  private readonly literalOf: Int32Array
  /** Whether none can hold where no text is found. */
  private readonly allScanned: boolean

  constructor(config: RoutesConfig) {
    this.grpcOnly = config.kind === ROUTE_KIND_GRPC
    this.rules = config.rules.map((rule, index) => new Rule(rule, index))
    const all: { readonly config: MatchConfig; readonly rule: Rule }[] = []
    for (const rule of this.rules) for (const match of rule.config.matches) all.push({ config: match, rule })
    all.sort((a, b) => a.config.rank - b.config.rank)
    let leftOut = Math.max(0, all.length - MAX_TABLE_MATCHES)
    for (const { config: match, rule } of all.slice(0, MAX_TABLE_MATCHES)) {
      try {
        this.add(match, new Match(match, rule))
      } catch {
        // An expression that a newer control plane understands and this proxy does not: counted, the rest goes on.
        leftOut++
      }
    }
    this.leftOut = leftOut
    for (const list of this.lists) list.finish()
    const scannable = this.regexes.filter(match => isScannable(match.literal))
    this.literals = new LiteralScan(scannable.map(match => match.literal))
    this.literalOf = Int32Array.from(this.regexes, match => {
      const at = scannable.indexOf(match)
      return at >= 0 && at < this.literals.count ? at : LITERAL_NOT_SCANNED
    })
    this.allScanned = this.literalOf.every(at => at !== LITERAL_NOT_SCANNED)
  }

  /**
   * The rule for a connection that nobody looks into: of TLSRoutes the one with the most specific name, and of those the
   * first; null for none.
   *
   * @param serverName  that the client asks for; "" for none
   */
  ofServerName(serverName: string): Rule | null {
    const name = serverName.toLowerCase()
    let best: Rule | null = null
    let bestLength = -1
    for (const rule of this.rules) {
      const { serverNames = ANY_NAME } = rule.config
      for (const one of serverNames) {
        // What is equal is more specific than any wildcard, and a longer wildcard than a shorter one.
        const length = one === name ? Number.POSITIVE_INFINITY : covers(one, name) ? one.length : -1
        if (length <= bestLength) continue
        best = rule
        bestLength = length
      }
    }
    return best
  }

  /** The rule that a request meets; null: none, which is 404 (gRPC: UNIMPLEMENTED). */
  match(request: RoutedRequest): Rule | null {
    if (this.grpcOnly && !request.isGrpc) return null
    const { path } = request
    const queryAt = path.indexOf("?")
    const end = queryAt < 0 ? path.length : queryAt
    let best: Match | null = null
    const { paths, regexes } = this
    // The longest first: it mostly comes before the others.
    for (let i = paths.find(path, end) - 1; i >= 0; i--)
      best = paths.found[i]!.first(best, request, path, queryAt)
    if (regexes.length > 0 && (best === null || best.rank > regexes[0]!.rank)) {
      best = this.matchRegexes(best, request, end, queryAt)
    }
    return best === null ? null : best.rule
  }

  private matchRegexes(
    best: Match | null,
    request: RoutedRequest,
    end: number,
    queryAt: number,
  ): Match | null {
    const { path } = request
    const { regexes, literals, literalOf } = this
    if (!literals.scan(path, end) && this.allScanned) return best
    for (let i = 0; i < regexes.length; i++) {
      const match = regexes[i]!
      if (best !== null && best.rank < match.rank) return best
      const literal = literalOf[i]!
      if (literal === LITERAL_NOT_SCANNED ? !path.includes(match.literal) : !literals.has(literal)) continue
      if (match.regex?.matchesRange(path, 0, end) && match.holds(request, path, queryAt)) return match
    }
    return best
  }

  private add(config: MatchConfig, match: Match): void {
    if (config.pathKind === MATCH_REGEX) {
      this.regexes.push(match)
      return
    }
    const entry = this.paths.at(config.path)
    const side = config.pathKind === MATCH_EXACT ? "exact" : "below"
    let list = entry[side]
    if (list === null) {
      list = new MatchList()
      entry[side] = list
      this.lists.push(list)
    }
    list.add(match)
  }
}

/** What a rule without names is for. */
const ANY_NAME: readonly string[] = [""]

/** Whether a name is `*.` and what stands before and after it, or "" for any. */
function covers(pattern: string, name: string): boolean {
  if (pattern === "") return true
  return pattern.startsWith("*.") && name.length >= pattern.length && name.endsWith(pattern.slice(1))
}

/** Of an expression whose text is looked for on its own. */
const LITERAL_NOT_SCANNED = -1

function isScannable(literal: string): boolean {
  for (let i = 0; i < literal.length; i++) if (literal.charCodeAt(i) > 255) return false
  return literal !== ""
}

/** Matches of one path above which those that differ in the value of one field are looked up by it. */
const MIN_INDEXED_MATCHES = 8

const NO_MATCHES: readonly Match[] = []

/** Matches of one path, in the order of their ranks. */
class MatchList {
  private readonly all: Match[] = []
  /** Name of the field that most of them compare first, as equal; "" for none, and until `finish`. */
  private field = ""
  private readonly byValue = new Map<string, Match[]>()
  private readonly others: Match[] = []

  add(match: Match): void {
    this.all.push(match)
  }

  /** All matches are there. */
  finish(): void {
    if (this.all.length < MIN_INDEXED_MATCHES) return
    const [field] = this.all.find(match => match.headers[0]?.isIndexable)?.headers ?? []
    if (field === undefined) return
    for (const match of this.all) {
      const own = match.headers.find(({ name, isIndexable }) => name === field.name && isIndexable)
      if (own === undefined) {
        this.others.push(match)
        continue
      }
      push(this.byValue, own.value, match)
      match.drop(own)
    }
    this.field = field.name
  }

  /** The first that holds; `best` if that one comes before. */
  first(best: Match | null, request: RoutedRequest, path: string, queryAt: number): Match | null {
    if (this.field === "") return firstHolding(this.all, best, request, path, queryAt)
    const value = request.values(this.field)
    const found = value === undefined ? NO_MATCHES : (this.byValue.get(value) ?? NO_MATCHES)
    const known = firstHolding(found, best, request, path, queryAt)
    return firstHolding(this.others, known, request, path, queryAt)
  }
}

/** The first of some matches, in order of rank, that holds; `best` if that one comes before. */
function firstHolding(
  matches: readonly Match[],
  best: Match | null,
  request: RoutedRequest,
  path: string,
  queryAt: number,
): Match | null {
  for (let i = 0; i < matches.length; i++) {
    const match = matches[i]!
    if (best !== null && best.rank < match.rank) return best
    if (match.holds(request, path, queryAt)) return match
  }
  return best
}

function push(map: Map<string, Match[]>, key: string, match: Match): void {
  const known = map.get(key)
  if (known === undefined) map.set(key, [match])
  else known.push(match)
}
