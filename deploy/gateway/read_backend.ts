// Reads references to backends. One that names no Service of this cluster is kept with what is wrong with it: its share
// of requests gets 500 (HTTPRouteRule.backendRefs), and the others theirs.
import { type FieldReader, isAbsent, show } from "./field_reader.ts"
import { type BackendTarget, dottedRouteField, type RouteFieldPath } from "./route.ts"

/** Fields of a backendRef that name what it refers to. */
export const TARGET_FIELDS = ["group", "kind", "name", "namespace", "port"]

/** Reads what a backendRef refers to; null when it is no mapping. */
export function readTarget(
  reader: FieldReader,
  value: unknown,
  path: RouteFieldPath,
  routeNamespace: string,
  more: readonly string[] = [],
): BackendTarget | null {
  const ref = reader.mapping(value, path)
  if (ref === null) return null
  reader.known(ref, path, [...TARGET_FIELDS, ...more])
  const field = dottedRouteField(path)
  const before = reader.complaints.length
  const group = ref.group ?? ""
  const kind = ref.kind ?? "Service"
  const name = typeof ref.name === "string" ? ref.name : ""
  const namespace = typeof ref.namespace === "string" ? ref.namespace : routeNamespace
  let faultReason: BackendTarget["faultReason"] = "BackendNotFound"
  let port = 0
  if ((group !== "" && group !== "core") || kind !== "Service") {
    const what = group === "" ? show(kind) : `${show(kind)} of ${show(group)}`
    reader.add([...path, "kind"], `is ${what}; a backend must be a Service`)
    faultReason = "InvalidKind"
  } else {
    reader.name(ref.name, [...path, "name"])
    reader.namespace(ref.namespace, [...path, "namespace"], routeNamespace)
    if (isAbsent(ref.port)) reader.add([...path, "port"], "is missing; a Service as backend needs it")
    else port = reader.number(ref.port, [...path, "port"], 1, 65535, 0) ?? 0
  }
  const wrong = reader.complaints.slice(before).find(one => one.effect === reader.effect)
  const fault = wrong === undefined ? "" : `${dottedRouteField(wrong.path)} ${wrong.message}`
  return { namespace, name, port, field, fault, faultReason: fault === "" ? "" : faultReason }
}
