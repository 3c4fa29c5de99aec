// What a route changes of a head in HTTP/2: path, authority and fields.
import type { Endpoint } from "../balance/mod.ts"
import type { RequestTrace, Routing } from "../http/mod.ts"
import type { HeaderModifier } from "../route/mod.ts"
import { type FieldTable, type HeaderField, KIND_AUTHORITY, KIND_HOST, KIND_PATH } from "../wire/mod.ts"

/** The fields of a request as its route sends them on. */
export function routedFields(
  fields: readonly HeaderField[],
  { path, target }: Routing,
  table: FieldTable,
): HeaderField[] {
  const hostname = target === null ? "" : target.hostname
  const changed: HeaderField[] = []
  for (const field of fields) {
    const { kind } = field.name
    if (kind === KIND_PATH && path !== null)
      changed.push(table.transientField(field.name, path.apply(field.value)))
    else if ((kind === KIND_AUTHORITY || kind === KIND_HOST) && hostname !== "")
      changed.push(table.transientField(field.name, hostname))
    else changed.push(field)
  }
  const headers = target === null ? null : target.requestHeaders
  return headers === null ? changed : modifiedFields(changed, headers, table)
}

/** The fields of a response as its route passes them on. */
export function responseFields(
  fields: HeaderField[],
  routing: Routing,
  endpoint: Endpoint | null,
  table: FieldTable,
): HeaderField[] {
  const changes = routing.target?.responseHeaders ?? null
  const session = routing.sessionField(endpoint)
  const changed = changes === null ? fields : modifiedFields(fields, changes, table)
  return session === null ? changed : [...changed, table.transientField(session[0], session[1])]
}

/** The fields of a head with some of them changed. */
export function modifiedFields(
  fields: readonly HeaderField[],
  changes: HeaderModifier,
  table: FieldTable,
): HeaderField[] {
  const changed = fields.filter(field => changes.keeps(field.name.text))
  for (const { name, value } of changes.written) changed.push(table.transientField(name.toLowerCase(), value))
  return changed
}

/** The fields of a head with one of them set. @param name  in lower case */
export function withField(
  fields: readonly HeaderField[],
  name: string,
  value: string,
  table: FieldTable,
): HeaderField[] {
  const changed = fields.filter(field => field.name.text !== name)
  changed.push(table.transientField(name, value))
  return changed
}

/** The fields of a request that belongs to a trace. */
export function tracedFields(
  fields: readonly HeaderField[],
  { dropped, added }: RequestTrace,
  table: FieldTable,
): HeaderField[] {
  const changed = fields.filter(field => !dropped.includes(field.name.text))
  for (const [name, value] of added) changed.push(table.transientField(name, value))
  return changed
}
