// Operations as routes of the Gateway API (v1), that people read, keep and apply; the same operations give the same text.
import { Document, isCollection, isScalar, visit } from "yaml"
import { Failure } from "../failure.ts"
import type { GrpcOperation, HttpOperation, Operation } from "./operation.ts"

/** Rules of one route (gateway.networking.k8s.io/v1, HTTPRouteSpec.rules and GRPCRouteSpec.rules: maxItems). */
export const RULES_PER_ROUTE = 16
/** Longest name of an object (RFC 1123). */
const NAME_LENGTH_MAX = 253
/** Longest value of a path (HTTPPathMatch.value: maxLength). */
export const PATH_LENGTH_MAX = 1_024
/** Longest name of a rule that metrics and tables still show well; the API's own limit is 253. */
const RULE_NAME_MAX = 63

/** Of which Service the routes are. */
export interface RouteSubject {
  readonly namespace: string
  readonly service: string
  readonly port: number
}

/** A route as an object. */
export type Route = Readonly<Record<string, unknown>>

/**
 * Routes with one rule per operation, as many objects as the API's limits ask for, and one last rule for everything
 * else: without it a request that no rule is for would be answered with 404.
 *
 * @throws Failure for a path that the API has no room for
 */
export function routesOf(subject: RouteSubject, operations: readonly Operation[]): Route[] {
  const http = distinct(operations.filter(one => one.kind === "http"))
  const grpc = distinct(operations.filter(one => one.kind === "grpc"))
  return [
    ...objects(subject, "HTTPRoute", http, http.length === 0 ? [] : [everythingElse()]),
    ...objects(subject, "GRPCRoute", grpc, grpc.length === 0 ? [] : [{ name: "other" }]),
  ]
}

/** Routes as YAML documents, with matches and backends on one line as people write them; "" for none. */
export function routesYaml(routes: readonly Route[]): string {
  return routes.map(text).join("---\n")
}

function distinct<T extends Operation>(operations: readonly T[]): T[] {
  const key = (one: Operation) =>
    one.kind === "http" ? `${one.method} ${expression(one.path)}` : `${one.service}/${one.method}`
  const seen = new Set<string>()
  return operations.filter(one => seen.size < seen.add(key(one)).size)
}

interface Rule {
  readonly name: string
  readonly matches?: readonly object[]
}

function everythingElse(): Rule {
  return { name: "other", matches: [{ path: { type: "PathPrefix", value: "/" } }] }
}

function objects(
  { namespace, service, port }: RouteSubject,
  kind: "HTTPRoute" | "GRPCRoute",
  operations: readonly Operation[],
  last: readonly Rule[],
): Route[] {
  const names = new Set(["other"])
  const rules = [
    ...operations.map(one => ({ name: unique(ruleName(one), names), matches: [matchOf(one)] })),
    ...last,
  ]
  const routes: Route[] = []
  for (let from = 0; from < rules.length; from += RULES_PER_ROUTE) {
    const number = from / RULES_PER_ROUTE + 1
    const suffix = `${kind === "GRPCRoute" ? "-grpc" : ""}${number === 1 ? "" : `-${number}`}`
    const route = {
      apiVersion: "gateway.networking.k8s.io/v1",
      kind,
      metadata: { name: `${service.slice(0, NAME_LENGTH_MAX - suffix.length)}${suffix}`, namespace },
      spec: {
        parentRefs: [{ group: "", kind: "Service", name: service, port }],
        rules: rules
          .slice(from, from + RULES_PER_ROUTE)
          .map(rule => ({ ...rule, backendRefs: [{ name: service, port }] })),
      },
    }
    routes.push(route)
  }
  return routes
}

const ON_ONE_LINE: ReadonlySet<unknown> = new Set(["parentRefs", "backendRefs", "path", "method"])

function text(route: Route): string {
  const document = new Document(route)
  visit(document, {
    Pair(_, { key, value }) {
      const name = isScalar(key) ? key.value : key
      if (ON_ONE_LINE.has(name) && isCollection(value)) value.flow = true
    },
  })
  return document.toString({ lineWidth: 0 })
}

function matchOf(one: Operation): object {
  return one.kind === "grpc" ? grpcMatch(one) : httpMatch(one)
}

function grpcMatch({ service, method }: GrpcOperation): object {
  return { method: { service, method } }
}

/** What the API refuses in a path that is no regular expression (HTTPPathMatch, its validation rules). */
const NOT_EXACT = /\/\/|\/\.\.?(\/|$)|%2[fF]|#/

function httpMatch({ method, path }: HttpOperation): object {
  const exact = !path.includes("{") && !NOT_EXACT.test(path)
  const value = exact ? path : expression(path)
  if (value.length > PATH_LENGTH_MAX) {
    throw new Failure(
      `the path "${path.slice(0, 60)}..." is longer than the ${PATH_LENGTH_MAX} characters that a route may have`,
    )
  }
  return {
    path: { type: exact ? "Exact" : "RegularExpression", value },
    ...(method === "" ? {} : { method }),
  }
}

/** A template as a regular expression of RE2's syntax: what stands in braces is one segment, or a part of one. */
function expression(path: string): string {
  return path
    .split(/(\{[^{}]*\})/)
    .map(part => (/^\{.*\}$/.test(part) ? "[^/]+" : part.replaceAll(/[\\^$.|?*+()[\]{}]/g, "\\$&")))
    .join("")
}

/** What a rule is called: a DNS label made of the operation's name, or of what it is. */
function ruleName(one: Operation): string {
  if (one.kind === "grpc") return label(`${one.service.split(".").at(-1)}-${one.method}`)
  return label(one.name) || label(`${one.method} ${one.path}`) || "root"
}

function label(words: string): string {
  return words
    .replaceAll(/([a-z0-9])([A-Z])/g, "$1-$2")
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .slice(0, RULE_NAME_MAX)
    .replaceAll(/^-+|-+$/g, "")
}

function unique(name: string, taken: Set<string>): string {
  let free = name
  for (let number = 2; taken.has(free); number++) free = `${name}-${number}`
  taken.add(free)
  return free
}
