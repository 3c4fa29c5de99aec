// Routes as Gateway API objects: what was found in an API's description or in its traffic, written so that kubectl takes it.

/** Rules of one route object at most (the CRDs' own limit). */
export const MAX_RULES_PER_ROUTE = 16
/** Longest name of a rule; the CRDs take more, but names stand in metrics and tables. */
export const MAX_RULE_NAME_LENGTH = 63
/** Rules that are written at most; beyond it a description is no API that a person routes by hand. */
export const MAX_PROFILE_RULES = 1024
/** Longest path of a match (the CRDs' own limit). */
export const MAX_MATCH_LENGTH = 1024

/** One operation of an HTTP API. */
export interface HttpOperation {
  /** What its author calls it; "" for a name made of method and path. */
  readonly name: string
  /** Upper case. */
  readonly method: string
  /** As a template: `/users/{id}`; `{rest}` at the end takes any number of segments. */
  readonly path: string
}

/** One method of a gRPC service. */
export interface GrpcOperation {
  /** Full name, such as `shop.v1.Cart`. */
  readonly service: string
  readonly method: string
}

/** The Service that routes are for. */
export interface ProfiledService {
  /** Undefined leaves it to kubectl. */
  readonly namespace: string | undefined
  readonly name: string
  readonly port: number
}

/** What becomes of requests that no operation takes. */
export interface ProfileOptions {
  /** Refuse them (404, gRPC 12) instead of sending them on by a last rule `other`. */
  readonly strict: boolean
}

interface Rule {
  readonly name: string
  readonly matches?: readonly object[]
}

/** HTTPRoutes with one rule per operation, in the order given. */
export function httpRoutes(
  operations: readonly HttpOperation[],
  service: ProfiledService,
  options: ProfileOptions,
): object[] {
  const names = new Names()
  const rules = operations.map(({ name, method, path }) => ({
    name: names.take(name === "" ? `${method} ${path}` : name),
    matches: [{ path: pathMatch(path), method }],
  }))
  const other = { name: names.take("other"), matches: [{ path: { type: "PathPrefix", value: "/" } }] }
  return routes("HTTPRoute", options.strict ? rules : [...rules, other], service)
}

/** GRPCRoutes with one rule per method, in the order given. */
export function grpcRoutes(
  operations: readonly GrpcOperation[],
  service: ProfiledService,
  options: ProfileOptions,
): object[] {
  const names = new Names()
  const several = new Set(operations.map(operation => operation.service)).size > 1
  const rules: Rule[] = operations.map(({ service: full, method }) => {
    const short = full.slice(full.lastIndexOf(".") + 1)
    return {
      name: names.take(several ? `${short}-${method}` : method),
      matches: [{ method: { type: "Exact", service: full, method } }],
    }
  })
  const other = { name: names.take("other") }
  return routes("GRPCRoute", options.strict ? rules : [...rules, other], service)
}

/** How a path template is matched: exactly, or by an expression where something in it varies. */
export function pathMatch(template: string): { type: "Exact" | "RegularExpression"; value: string } {
  if (!template.includes("{")) return { type: "Exact", value: template }
  const pieces = template.split(/(\{[^{}]*\})/)
  const value = pieces.map(piece => {
    if (piece === "{rest}") return ".+"
    return piece.startsWith("{") ? "[^/]+" : piece.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")
  })
  return { type: "RegularExpression", value: value.join("") }
}

function routes(kind: "HTTPRoute" | "GRPCRoute", rules: readonly Rule[], service: ProfiledService): object[] {
  const { namespace, name, port } = service
  const objects: object[] = []
  for (let start = 0; start < rules.length; start += MAX_RULES_PER_ROUTE) {
    const number = objects.length + 1
    objects.push({
      apiVersion: "gateway.networking.k8s.io/v1",
      kind,
      metadata: {
        name: number === 1 ? name : `${name}-${number}`,
        ...(namespace === undefined ? {} : { namespace }),
      },
      spec: {
        parentRefs: [{ group: "", kind: "Service", name, port }],
        rules: rules
          .slice(start, start + MAX_RULES_PER_ROUTE)
          .map(rule => ({ ...rule, backendRefs: [{ name, port }] })),
      },
    })
  }
  return objects
}

/** Names of rules: as the CRDs take them, each once. */
class Names {
  private readonly taken = new Set<string>()

  take(wanted: string): string {
    const base =
      slug(wanted)
        .slice(0, MAX_RULE_NAME_LENGTH - 5)
        .replace(/-+$/, "") || "rule"
    let name = base
    for (let number = 2; this.taken.has(name); number++) name = `${base}-${number}`
    this.taken.add(name)
    return name
  }
}

/** `getUserById` is `get-user-by-id`, `GET /users/{id}` is `get-users-id`. */
function slug(text: string): string {
  return text
    .replace(/([a-z0-9])([A-Z])/g, "$1-$2")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "")
}
