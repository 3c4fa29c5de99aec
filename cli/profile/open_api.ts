// Operations out of an OpenAPI document (https://spec.openapis.org/oas/v3.1.0, and Swagger 2.0), as YAML or JSON.
import { isMap, isScalar, LineCounter, type Node, type Pair, parseDocument, type YAMLMap } from "yaml"
import { Failure } from "../failure.ts"
import type { HttpOperation } from "./operation.ts"

/** Methods that a path item may have (OpenAPI 3.1, Path Item Object; `query` is 3.2's). */
const METHODS = ["get", "put", "post", "delete", "options", "head", "patch", "trace", "query"]

/**
 * Reads the operations of a document, in its order.
 *
 * @param name  of the file, for complaints
 * @throws Failure with file and line for what is no OpenAPI document
 */
export function readOpenApi(name: string, text: string): HttpOperation[] {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true })
  const [error] = document.errors
  if (error !== undefined) throw new Failure(`${name}: ${error.message.split("\n")[0]}`)
  const where = (node: Node | null | undefined): string =>
    node?.range ? `${name}:${lines.linePos(node.range[0]).line}` : name
  const root = document.contents
  if (!isMap(root))
    throw new Failure(`${where(root)}: an OpenAPI document is a mapping with "openapi" and "paths"`)
  const version = String(root.get("openapi") ?? root.get("swagger") ?? "")
  if (!/^(3\.\d|2\.0)/.test(version)) {
    const found = version === "" ? "has no field openapi" : `says version ${version}`
    throw new Failure(`${name}: it ${found}; OpenAPI 3 and Swagger 2.0 can be read`)
  }
  const paths = root.get("paths", true) as Node | undefined
  if (paths === undefined) return []
  if (!isMap(paths))
    throw new Failure(`${where(paths)}: paths must be a mapping from paths to what can be asked there`)
  const base = basePath(root)
  return paths.items.flatMap(pair => operationsOf(pair as Pair<Node, Node>, base, where))
}

function operationsOf(
  { key, value }: Pair<Node, Node>,
  base: string,
  where: (node: Node | null | undefined) => string,
): HttpOperation[] {
  const path = isScalar(key) ? String(key.value) : ""
  if (path.startsWith("x-")) return []
  if (!path.startsWith("/")) throw new Failure(`${where(key)}: the path "${path}" must begin with /`)
  if (value === null || (isScalar(value) && value.value === null)) return []
  if (!isMap(value)) throw new Failure(`${where(value)}: what stands under "${path}" must be a mapping`)
  if (value.has("$ref")) {
    throw new Failure(
      `${where(value)}: "${path}" refers to another document, which is not followed; bundle the document first, such as by redocly bundle`,
    )
  }
  return METHODS.filter(method => value.has(method)).map(method => {
    const operation = value.get(method, true)
    if (!isMap(operation)) throw new Failure(`${where(value)}: ${method} of "${path}" must be a mapping`)
    const name = operation.get("operationId")
    return {
      kind: "http",
      method: method.toUpperCase(),
      path: `${base}${path}`,
      name: typeof name === "string" ? name : "",
    }
  })
}

/** What stands before each path: Swagger's basePath, or the path of the first server where it has no variables. */
function basePath(root: YAMLMap): string {
  const swagger = root.get("basePath")
  if (typeof swagger === "string") return trimmed(swagger)
  const url = root.getIn(["servers", 0, "url"])
  if (typeof url !== "string" || url.includes("{")) return ""
  return URL.canParse(url, "http://server") ? trimmed(new URL(url, "http://server").pathname) : ""
}

function trimmed(path: string): string {
  return path.replace(/\/+$/, "")
}
