// Which fields of a message are wanted (google.protobuf.FieldMask, paths relative to the message; those of lists go on
// into each element).
import { clearField, type DescField, type DescMessage, type Message } from "@bufbuild/protobuf"
import { invalid } from "./error_detail.ts"

/** Most paths of a mask: more than a row has fields. */
export const MAX_MASK_PATHS = 100

/** Wanted fields by number; null where all of a field is. */
export type Mask = ReadonlyMap<number, Mask | null>

/**
 * Reads the paths of a mask.
 *
 * @throws ConnectError InvalidArgument naming a path that leads nowhere
 */
export function readMask(paths: readonly string[], schema: DescMessage): Mask {
  if (paths.length > MAX_MASK_PATHS)
    throw invalid(
      "FIELD_MASK_TOO_LONG",
      "fields",
      `fields has ${paths.length} paths, at most ${MAX_MASK_PATHS} are taken`,
    )
  const mask = new Map<number, Map<number, never> | null>()
  for (const path of paths) addPath(mask as Map<number, Mask | null>, path, path.split("."), schema)
  return mask
}

function addPath(
  mask: Map<number, Mask | null>,
  path: string,
  [name = "", ...behind]: readonly string[],
  schema: DescMessage,
): void {
  const field = schema.fields.find(one => one.name === name || one.jsonName === name)
  if (field === undefined) {
    const known = schema.fields.map(one => one.name).join(", ")
    const sentence = `fields: "${path.slice(0, 100)}" leads nowhere: ${schema.name} has no field "${name.slice(0, 100)}"`
    throw invalid("UNKNOWN_FIELD", "fields", sentence, `fields of ${schema.name}: ${known}`)
  }
  const known = mask.get(field.number)
  if (behind.length === 0 || known === null) {
    mask.set(field.number, null)
    return
  }
  const inner = messageOf(field)
  if (inner === undefined)
    throw invalid(
      "UNKNOWN_FIELD",
      "fields",
      `fields: "${path.slice(0, 100)}" leads nowhere: "${name}" has no fields of its own`,
    )
  const next = new Map<number, Mask | null>(known ?? [])
  addPath(next, path, behind, inner)
  mask.set(field.number, next)
}

function messageOf(field: DescField): DescMessage | undefined {
  return field.fieldKind === "message" || (field.fieldKind === "list" && field.listKind === "message")
    ? field.message
    : undefined
}

/** Empties every field of a message that is not wanted. */
export function prune(message: Message, schema: DescMessage, mask: Mask): void {
  for (const field of schema.fields) {
    const inner = mask.get(field.number)
    if (inner === null) continue
    const innerSchema = messageOf(field)
    if (inner === undefined || innerSchema === undefined) {
      clearField(message, field)
      continue
    }
    const value = (message as unknown as Record<string, unknown>)[field.localName] as
      | Message
      | Message[]
      | undefined
    for (const one of Array.isArray(value) ? value : value === undefined ? [] : [value])
      prune(one, innerSchema, inner)
  }
}
