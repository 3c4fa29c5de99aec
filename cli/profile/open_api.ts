// OpenAPI 3 and Swagger 2 documents: which operations an API has. Only paths, methods and operation ids are read.
import { isMap, isScalar, LineCounter, type Node, parseDocument, type YAMLMap } from "yaml"
import { Failure } from "../failure.ts"
import { type HttpOperation, MAX_MATCH_LENGTH, MAX_PROFILE_RULES } from "./routes_yaml.ts"

const METHODS = ["get", "put", "post", "delete", "options", "head", "patch", "trace"]

/**
 * The operations of a document, in its order.
 *
 * @param name  file, for complaints
 * @throws Failure with file, line and what was expected there
 */
export function readOpenApi(name: string, text: string): HttpOperation[] {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const fail = (node: Node | null | undefined | number, message: string): never => {
    const offset = typeof node === "number" ? node : (node?.range?.[0] ?? 0)
    throw new Failure(`profile: ${name}, line ${Math.max(1, lines.linePos(offset).line)}: ${message}`)
  }
  const [broken] = document.errors
  if (broken !== undefined) fail(broken.pos[0], `this is neither YAML nor JSON: ${broken.message}`)
  const root = document.contents
  if (!isMap(root)) return fail(root, "an OpenAPI document is a mapping that begins with `openapi: 3.1.0`")
  const version = String(root.get("openapi") ?? root.get("swagger") ?? "")
  if (!/^(2\.0|3\.\d)/.test(version)) {
    const said = version === "" ? "there is no `openapi` field" : `version "${version}" is not known`
    return fail(root, `${said}; expected \`openapi: 3.x\` or \`swagger: "2.0"\``)
  }
  const paths = root.get("paths", true)
  if (!isMap(paths))
    return fail(paths ?? root, "`paths` is missing or no mapping; expected paths such as `/users/{id}:`")
  const base = basePath(root)
  const operations: HttpOperation[] = []
  for (const { key, value } of paths.items) {
    const path = isScalar(key) ? String(key.value) : ""
    if (path.startsWith("x-")) continue
    const place = key as Node
    if (!path.startsWith("/")) fail(place, `path "${path}" must begin with "/", such as /users/{id}`)
    if (/\{[^}]*(\{|$)|^[^{]*\}/.test(path)) fail(place, `path "${path}" has a brace without its counterpart`)
    if (base.length + path.length > MAX_MATCH_LENGTH / 2)
      fail(place, `the path is longer than routes can match`)
    if (!isMap(value)) fail(place, `path "${path}" has no operations; expected a mapping with get, post, ...`)
    for (const { key: verb, value: operation } of (value as YAMLMap).items) {
      const method = isScalar(verb) ? String(verb.value) : ""
      if (!METHODS.includes(method)) continue
      const id = isMap(operation) ? operation.get("operationId") : undefined
      operations.push({
        name: typeof id === "string" ? id : "",
        method: method.toUpperCase(),
        path: base + path,
      })
    }
  }
  if (operations.length === 0) fail(paths, "no operation is described; expected get, post, ... below a path")
  if (operations.length > MAX_PROFILE_RULES)
    fail(paths, `${operations.length} operations are more than ${MAX_PROFILE_RULES}`)
  return operations
}

/** The path that all others stand below: `basePath`, or that of the first server. */
function basePath(root: YAMLMap): string {
  const servers = root.get("servers")
  const first = isServers(servers) ? servers.items[0] : undefined
  const url = isMap(first) ? String(first.get("url") ?? "") : ""
  const path = url === "" ? String(root.get("basePath") ?? "") : url.replace(/^[a-z]+:\/\/[^/]*/i, "")
  return path.startsWith("/") && !path.includes("?") ? path.replace(/\/+$/, "") : ""
}

function isServers(value: unknown): value is { items: unknown[] } {
  return typeof value === "object" && value !== null && "items" in value && Array.isArray(value.items)
}
