// What a route changes of a head in HTTP/2: path, authority and fields.
import type { Endpoint } from "../balance/mod.ts"
import type { RequestTrace, Routing } from "../http/mod.ts"
import { formatGrpcTimeout, type HeaderModifier } from "../route/mod.ts"
import {
  type FieldTable,
  type HeaderField,
  type HeaderName,
  KIND_AUTHORITY,
  KIND_HOST,
  KIND_PATH,
} from "../wire/mod.ts"

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

/** Timeouts of routes that are kept as fields; a proxy's callers meet a few. */
export const MAX_GRPC_TIMEOUT_FIELDS = 64

/** What gRPC servers are told of the time that they have. That of a route is one field for all its requests. */
export class GrpcTimeoutFields {
  private readonly table: FieldTable
  private readonly name: HeaderName
  /** By milliseconds: routes name whole ones. */
  private readonly known = new Map<number, HeaderField>()

  constructor(table: FieldTable) {
    this.table = table
    this.name = table.nameOf("grpc-timeout")
  }

  /** The fields of a request with `grpc-timeout` set. @param ms  0 or more */
  tell(fields: readonly HeaderField[], ms: number): HeaderField[] {
    const changed: HeaderField[] = []
    for (const field of fields) if (field.name.text !== this.name.text) changed.push(field)
    changed.push(this.known.get(ms) ?? this.make(ms))
    return changed
  }

  private make(ms: number): HeaderField {
    const text = formatGrpcTimeout(ms)
    if (!Number.isInteger(ms)) return this.table.transientField(this.name, text)
    if (this.known.size >= MAX_GRPC_TIMEOUT_FIELDS) this.known.clear()
    const field = this.table.field(this.name, text)
    this.known.set(ms, field)
    return field
  }
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
