// Routes of Services that have none configured: requests are counted by method and path template (path_template.ts), so that
// `conduit routes` and `conduit profile --live` say something useful without configuration. Memory is bounded whatever
// callers send; what does not fit is counted as the route `other`.
import { HttpScope, type ScopeLabels } from "./http_series.ts"
import { type PathTemplate, PathTemplates } from "./path_template.ts"

/** Learned routes of one Service at most: each has some five series, which every report and scrape carries. */
export const MAX_LEARNED_ROUTES = 24

/** Learned routes of a proxy at most, over all Services. */
export const MAX_LEARNED_ROUTES_PER_PROXY = 200

/** Nodes of one Service's tree of paths, some 200 bytes each. */
export const MAX_LEARNED_NODES = 512

/** Paths of one Service remembered as they are, for routes without anything open. */
export const MAX_LEARNED_PATHS = 64

/** Name of the route for requests whose route was not learnt. */
export const OTHER_ROUTE = "other"

/** Counts all learned routes of a proxy. */
export class LearnedBudget {
  left = MAX_LEARNED_ROUTES_PER_PROXY
}

/** Routes of one template, by method. */
type ByMethod = Map<string, HttpScope>

/** The learned routes of one Service. */
export class LearnedRoutes {
  private readonly labels: ScopeLabels
  private readonly budget: LearnedBudget
  private readonly templates = new PathTemplates(MAX_LEARNED_NODES)
  private readonly byTemplate = new Map<PathTemplate, ByMethod>()
  private readonly byPath = new Map<string, ByMethod>()
  private readonly other: HttpScope
  private size = 0

  /** @param labels  of requests to the Service */
  constructor(labels: ScopeLabels, budget: LearnedBudget) {
    this.labels = labels
    this.budget = budget
    this.other = new HttpScope(-1, { ...labels, route: OTHER_ROUTE })
  }

  /** Number of routes. */
  get count(): number {
    return this.size
  }

  /** Nodes of the tree of paths. */
  get nodes(): number {
    return this.templates.size
  }

  /**
   * Where a request is counted as a route; good for `HttpMetrics.route` only.
   *
   * @param target  path as it was sent, a query included
   */
  of(method: string, target: string, grpc: boolean): HttpScope {
    const query = target.indexOf("?")
    const path = query < 0 ? target : target.substring(0, query)
    const known = this.byPath.get(path)?.get(method)
    if (known !== undefined) return known
    const template = this.templates.of(path, grpc)
    if (template === null) return this.other
    let methods = this.byTemplate.get(template)
    const met = methods?.get(method)
    if (met !== undefined) return met
    if (this.size >= MAX_LEARNED_ROUTES || this.budget.left <= 0 || !isMethod(method)) return this.other
    if (methods === undefined) {
      methods = new Map()
      this.byTemplate.set(template, methods)
    }
    const route = grpc ? template.text : `${method} ${template.text}`
    const scope = new HttpScope(-1, { ...this.labels, route })
    methods.set(method, scope)
    this.size++
    this.budget.left--
    if (template.text === path && this.byPath.size < MAX_LEARNED_PATHS) this.byPath.set(path, methods)
    return scope
  }

  /** Forgets routes whose series are gone, so that others find room. */
  sweep(): void {
    this.byPath.clear()
    for (const [template, methods] of this.byTemplate) {
      for (const [method, { route }] of methods) {
        if (route !== null && !route.dropped) continue
        methods.delete(method)
        this.size--
        this.budget.left++
      }
      if (methods.size === 0) {
        this.byTemplate.delete(template)
        continue
      }
      template.used = true
      if (!template.text.includes("{")) this.byPath.set(template.text, methods)
    }
    this.templates.retain()
  }
}

/** Methods of APIs; what else callers write is no route. */
function isMethod(method: string): boolean {
  switch (method) {
    case "GET":
    case "HEAD":
    case "POST":
    case "PUT":
    case "PATCH":
    case "DELETE":
    case "OPTIONS":
      return true
    default:
      return false
  }
}
