// Reads fields of an object strictly, leaving a complaint for each that cannot be understood.
import { Regex, RegexError } from "../../protos/regex/mod.ts"
import { parseGatewayDuration } from "./duration.ts"
import type { ComplaintReason, RouteComplaint, RouteFieldPath } from "./route.ts"

/** A mapping of an object. */
export type Mapping = Readonly<Record<string, unknown>>

const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/
const DNS_NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

/** Reads one object. Methods return null where something is wrong, and have complained then. */
export class FieldReader {
  readonly complaints: RouteComplaint[] = []
  /** What happens because of a complaint; set by what reads a part of the object. */
  effect = "the field is ignored"

  /** Complains. */
  add(path: RouteFieldPath, message: string, reason: ComplaintReason = "UnsupportedValue"): null {
    this.complaints.push({ path, message, effect: this.effect, reason })
    return null
  }

  /** Runs a part whose complaints have an effect of their own. */
  within<T>(effect: string, read: () => T): T {
    const before = this.effect
    this.effect = effect
    const result = read()
    this.effect = before
    return result
  }

  /** Complains of fields that do not exist, which are passed over. */
  known(mapping: Mapping, path: RouteFieldPath, fields: readonly string[]): void {
    for (const field of Object.keys(mapping)) {
      if (fields.includes(field)) continue
      const message = `is not a field; there are ${fields.join(", ")}`
      this.within("the field is ignored", () => this.add([...path, field], message))
    }
  }

  mapping(value: unknown, path: RouteFieldPath): Mapping | null {
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Mapping
    return this.add(path, isAbsent(value) ? "is missing" : `must be a mapping, not ${show(value)}`)
  }

  /** Entries of a list, which may be absent; what is above the bound is left out. */
  list(value: unknown, path: RouteFieldPath, max: number): readonly unknown[] {
    if (isAbsent(value)) return []
    if (!Array.isArray(value)) {
      this.add(path, `must be a list, not ${show(value)}`)
      return []
    }
    if (value.length <= max) return value
    this.within(`those after the first ${max} are left out`, () =>
      this.add(path, `has ${value.length} entries, more than ${max}`),
    )
    return value.slice(0, max)
  }

  text(value: unknown, path: RouteFieldPath, max: number): string | null {
    if (isAbsent(value) || value === "") return this.add(path, "is missing")
    return this.optionalText(value, path, max)
  }

  /** Text that may be absent or empty: "" then. */
  optionalText(value: unknown, path: RouteFieldPath, max: number): string | null {
    if (isAbsent(value)) return ""
    if (typeof value !== "string") return this.add(path, `must be text, not ${show(value)}`)
    if (value.length > max) return this.add(path, `has ${value.length} characters, more than ${max}`)
    return value
  }

  choice<Choice extends string>(
    value: unknown,
    path: RouteFieldPath,
    choices: readonly Choice[],
    byDefault: Choice | null = null,
  ): Choice | null {
    if (isAbsent(value) && byDefault !== null) return byDefault
    const choice = choices.find(one => one === value)
    if (choice !== undefined) return choice
    const all = `it must be one of ${choices.join(", ")}`
    return this.add(path, isAbsent(value) ? `is missing; ${all}` : `is ${show(value)}; ${all}`)
  }

  /** A whole number from `min` to `max`; `byDefault` when it is absent. */
  number(value: unknown, path: RouteFieldPath, min: number, max: number, byDefault: number): number | null {
    if (isAbsent(value)) return byDefault
    if (typeof value === "number" && Number.isInteger(value) && value >= min && value <= max) return value
    return this.add(path, `must be a whole number from ${min} to ${max}, not ${show(value)}`)
  }

  /** Milliseconds of a duration; null also when it is absent. */
  duration(value: unknown, path: RouteFieldPath): number | null {
    if (isAbsent(value)) return null
    const ms = typeof value === "string" ? parseGatewayDuration(value) : null
    if (ms !== null) return ms
    return this.add(path, `must be a duration such as 500ms, 10s or 1m30s, not ${show(value)}`)
  }

  /** Name of a header field (RFC 9110 section 5.1). */
  fieldName(value: unknown, path: RouteFieldPath): string | null {
    const name = this.text(value, path, 256)
    if (name === null || TOKEN.test(name)) return name
    return this.add(path, `must be the name of a header field, not ${show(name)}`)
  }

  /** Name of an object. */
  name(value: unknown, path: RouteFieldPath): string | null {
    const name = this.text(value, path, 253)
    if (name === null || DNS_NAME.test(name)) return name
    return this.add(path, `must be a name of lower-case letters, digits and "-", not ${show(name)}`)
  }

  /** Name of a namespace; `byDefault` when it is absent. */
  namespace(value: unknown, path: RouteFieldPath, byDefault: string): string | null {
    if (isAbsent(value)) return byDefault
    if (typeof value === "string" && DNS_LABEL.test(value)) return value
    return this.add(path, `must be the name of a namespace, not ${show(value)}`)
  }

  /** A host name without wildcard and port; "" when it is absent. */
  hostname(value: unknown, path: RouteFieldPath): string | null {
    if (isAbsent(value)) return ""
    if (typeof value === "string" && DNS_NAME.test(value)) return value
    return this.add(path, `must be a host name in lower case, without port, not ${show(value)}`)
  }

  /** A regular expression that proxies can use. */
  regex(text: string, path: RouteFieldPath): string | null {
    try {
      new Regex(text)
      return text
    } catch (error) {
      if (!(error instanceof RegexError)) throw error
      return this.add(path, `is no regular expression that can be used: ${show(text)} ${error.message}`)
    }
  }
}

/** Whether a field is not there. */
export function isAbsent(value: unknown): value is undefined | null {
  return value === undefined || value === null
}

/** A value as a complaint quotes it. */
export function show(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing"
  return text.length > 80 ? `${text.slice(0, 77)}...` : text
}
