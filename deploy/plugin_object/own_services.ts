// The answer of the Api hook: services that a plugin has itself, and panels of the dashboard that draw what they answer. One
// reading for the control plane, which mounts and draws them, and for `conduit plugin check`.
import {
  createFileRegistry,
  type DescField,
  type DescMethod,
  type DescService,
  fromBinary,
  ScalarType,
} from "@bufbuild/protobuf"
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt"
import { pluginHooksV1 } from "../../protos/mod.ts"
import { MAX_COMPLAINT_CHARS } from "./configuration.ts"

/** Longest descriptors of one plugin. */
export const MAX_DESCRIPTOR_BYTES = 1_048_576
/** Services of one plugin. */
export const MAX_PLUGIN_SERVICES = 32
/** Panels of one plugin: they share one page of the dashboard. */
export const MAX_PLUGIN_PANELS = 8
/** Columns of a panel: more are not read by anybody. */
export const MAX_PANEL_COLUMNS = 12
/** Longest title of a panel or a column. */
export const MAX_PANEL_TITLE_CHARS = 80
/** Longest unit. */
export const MAX_PANEL_UNIT_CHARS = 16

/** Packages whose services are nobody's to serve but ours, gRPC's and Google's. */
const RESERVED = /^(conduit|grpc|google)\./

const { PanelKind } = pluginHooksV1

/** A panel that can be drawn. */
export interface OwnPanel {
  readonly title: string
  /** Kinds that are not known are tables. */
  readonly kind: "table" | "numbers" | "list" | "series"
  /** A unary method, called with an empty message. */
  readonly method: DescMethod
  /** The repeated message of its answer. */
  readonly rows: DescField
  readonly columns: readonly { readonly title: string; readonly unit: string; readonly field: DescField }[]
}

/** What a plugin has of its own. */
export interface OwnServices {
  readonly services: readonly DescService[]
  readonly panels: readonly OwnPanel[]
  /** What is wrong, a sentence each; then none of it counts. */
  readonly complaints: readonly string[]
}

/** Reads the answer of a plugin. */
export function readOwnServices({
  descriptors,
  services: names,
  panels,
}: pluginHooksV1.ServicesResponse): OwnServices {
  const refused = (complaint: string): OwnServices => ({ services: [], panels: [], complaints: [complaint] })
  if (descriptors.byteLength > MAX_DESCRIPTOR_BYTES)
    return refused(`descriptors has ${descriptors.byteLength} bytes, more than ${MAX_DESCRIPTOR_BYTES}`)
  if (names.length > MAX_PLUGIN_SERVICES)
    return refused(`services has ${names.length} names, more than ${MAX_PLUGIN_SERVICES}`)
  if (panels.length > MAX_PLUGIN_PANELS)
    return refused(`panels has ${panels.length} entries, more than ${MAX_PLUGIN_PANELS}`)
  let registry: ReturnType<typeof createFileRegistry>
  try {
    registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, descriptors))
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    return refused(
      `descriptors is no FileDescriptorSet with all imports (buf build --as-file-descriptor-set -o): ${why}`,
    )
  }
  const complaints: string[] = []
  const services = names.flatMap(name => {
    if (RESERVED.test(name)) {
      complaints.push(
        `services names ${shown(name)}: packages of conduit., grpc. and google. are not a plugin's to serve`,
      )
      return []
    }
    const service = registry.getService(name)
    if (service === undefined) {
      complaints.push(`services names ${shown(name)}, which is not in descriptors`)
      return []
    }
    for (const { name: method, methodKind } of service.methods) {
      if (methodKind !== "unary" && methodKind !== "server_streaming")
        complaints.push(
          `services names ${shown(name)}, whose ${shown(method)} takes a stream of messages, which is not passed on`,
        )
    }
    return [service]
  })
  const read = panels.flatMap(
    (panel, index) => readPanel(panel, `panels[${index}]`, services, complaints) ?? [],
  )
  return { services, panels: read, complaints }
}

const KINDS: ReadonlyMap<number, OwnPanel["kind"]> = new Map([
  [PanelKind.NUMBERS, "numbers"],
  [PanelKind.LIST, "list"],
  [PanelKind.SERIES, "series"],
])

function readPanel(
  panel: pluginHooksV1.Panel,
  at: string,
  services: readonly DescService[],
  complaints: string[],
): OwnPanel | null {
  const { title, service, method: name, rows: rowsName, columns } = panel
  const kind = KINDS.get(panel.kind) ?? "table"
  if (title.trim() === "" || title.length > MAX_PANEL_TITLE_CHARS)
    complaints.push(`${at}.title must have 1 to ${MAX_PANEL_TITLE_CHARS} characters`)
  if (columns.length === 0 || columns.length > MAX_PANEL_COLUMNS)
    complaints.push(`${at}.columns must have 1 to ${MAX_PANEL_COLUMNS} entries, not ${columns.length}`)
  const method = services.find(({ typeName }) => typeName === service)?.methods.find(one => one.name === name)
  if (method === undefined) {
    complaints.push(`${at} calls ${shown(`${service}/${name}`)}, which services and descriptors do not have`)
    return null
  }
  if (method.methodKind !== "unary") complaints.push(`${at} calls ${shown(name)}, which is a stream`)
  const rows = method.output.fields.find(one => one.name === rowsName)
  if (rows?.fieldKind !== "list" || rows.listKind !== "message") {
    complaints.push(`${at}.rows ${shown(rowsName)} is no repeated message of ${method.output.typeName}`)
    return null
  }
  const read = columns.slice(0, MAX_PANEL_COLUMNS).flatMap((column, place) => {
    const where = `${at}.columns[${place}]`
    if (column.title.length > MAX_PANEL_TITLE_CHARS)
      complaints.push(`${where}.title is longer than ${MAX_PANEL_TITLE_CHARS} characters`)
    if (column.unit.length > MAX_PANEL_UNIT_CHARS)
      complaints.push(`${where}.unit is longer than ${MAX_PANEL_UNIT_CHARS} characters`)
    const field = rows.message.fields.find(one => one.name === column.field)
    if (field === undefined || !isDrawn(field)) {
      const must =
        field === undefined
          ? `which ${rows.message.typeName} does not have`
          : "which is no text and no number"
      complaints.push(`${where} draws the field ${shown(column.field)}, ${must}`)
      return []
    }
    if ((kind === "numbers" || kind === "series") && !isNumber(field))
      complaints.push(
        `${where} draws the field ${shown(column.field)}, which is no number, as a panel of ${kind} needs`,
      )
    return [{ title: column.title, unit: column.unit, field }]
  })
  if (kind === "series" && columns.length < 2)
    complaints.push(`${at}.columns of a series needs the time and at least one line`)
  return { title, kind, method, rows, columns: read }
}

/** One value, as text or number. */
function isDrawn(field: DescField): boolean {
  return field.fieldKind === "enum" || (field.fieldKind === "scalar" && field.scalar !== ScalarType.BYTES)
}

const TEXTS: readonly ScalarType[] = [ScalarType.STRING, ScalarType.BOOL, ScalarType.BYTES]

function isNumber(field: DescField): boolean {
  return field.fieldKind === "scalar" && !TEXTS.includes(field.scalar)
}

/** A name of the plugin's, in a sentence. */
function shown(name: string): string {
  return JSON.stringify(name.slice(0, MAX_COMPLAINT_CHARS / 3))
}
