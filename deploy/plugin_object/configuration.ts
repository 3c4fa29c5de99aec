// Whether a plugin's configuration fits the JSON Schema that the plugin hands out. The schema is another's: its size is
// bounded, it refers to nothing outside of itself, and its patterns run in linear time.
import Ajv2020, { type ErrorObject, type ValidateFunction } from "ajv/dist/2020.js"
import { Regex } from "../../protos/regex/mod.ts"

/** Longest schema. */
export const MAX_PLUGIN_SCHEMA_BYTES = 262_144
/** Complaints about one configuration that are told. */
export const MAX_CONFIGURATION_COMPLAINTS = 20
/** Longest complaint: plugins write their own. */
export const MAX_COMPLAINT_CHARS = 300

/** Something wrong with a configuration. */
export interface ConfigurationComplaint {
  /** JSON Pointer (RFC 6901); empty for the whole. */
  readonly path: string
  readonly message: string
}

/** Says what is wrong with a configuration; nothing when it fits. */
export type ConfigurationCheck = (configuration: unknown) => readonly ConfigurationComplaint[]

/**
 * Compiles a schema.
 *
 * @param schema  JSON Schema 2020-12 as text; empty takes anything
 * @throws Error that says what is wrong with the schema
 */
export function configurationCheck(schema: string): ConfigurationCheck {
  if (schema === "") return () => []
  if (Buffer.byteLength(schema) > MAX_PLUGIN_SCHEMA_BYTES)
    throw new Error(`its configuration schema is longer than ${MAX_PLUGIN_SCHEMA_BYTES} bytes`)
  let parsed: unknown
  try {
    parsed = JSON.parse(schema)
  } catch (error) {
    throw new Error(`its configuration schema is no JSON: ${reasonOf(error)}`, { cause: error })
  }
  if ((typeof parsed !== "object" || parsed === null) && typeof parsed !== "boolean")
    throw new Error("its configuration schema must be a mapping, as JSON Schema 2020-12 has it")
  let validate: ValidateFunction
  try {
    const regExp = Object.assign(linear, { code: "linear" })
    const ajv = new Ajv2020({ allErrors: true, strict: false, logger: false, code: { regExp } })
    validate = ajv.compile(parsed as object)
  } catch (error) {
    throw new Error(`its configuration schema is not JSON Schema 2020-12: ${reasonOf(error)}`, {
      cause: error,
    })
  }
  return configuration => {
    if (validate(configuration)) return []
    return (validate.errors ?? []).slice(0, MAX_CONFIGURATION_COMPLAINTS).map(complaintOf)
  }
}

function complaintOf({
  instancePath,
  message = "does not fit",
  params,
}: ErrorObject): ConfigurationComplaint {
  const { additionalProperty, allowedValues } = params as Record<string, unknown>
  const more =
    typeof additionalProperty === "string"
      ? `: ${additionalProperty}`
      : Array.isArray(allowedValues)
        ? `: ${allowedValues.join(", ")}`
        : ""
  return { path: instancePath, message: `${message}${more}`.slice(0, MAX_COMPLAINT_CHARS) }
}

/** Any text, whichever flags an expression sets. */
const ANY = "(?:[^a]|a)*"

/** A pattern of JSON Schema: found anywhere in the text (section 6.3.3 of its validation vocabulary). */
function linear(pattern: string): { test(text: string): boolean; toString(): string } {
  const regex = new Regex(`${ANY}(?:${pattern})${ANY}`)
  // The library tells patterns apart by their text.
  return { test: text => regex.matches(text), toString: () => pattern }
}

function reasonOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).slice(0, MAX_COMPLAINT_CHARS)
}
