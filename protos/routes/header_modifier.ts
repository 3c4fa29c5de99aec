// Changes of header fields, as an HTTP engine applies them: what happens to each field that was sent, then what is added.
import type { HeaderFieldConfig, HeaderModifierConfig } from "./route_config.ts"

/** Changes of one message's fields. Immutable; of several, those of the rule come before those of the backend. */
export class HeaderModifier {
  /** Names whose fields go, in lower case: those removed and those replaced. */
  readonly dropped: readonly string[]
  /** Fields that are written after those that stay. */
  readonly written: readonly HeaderFieldConfig[]

  /** The same as lines of HTTP/1. */
  readonly lines: string
  private readonly gone: ReadonlySet<string>

  private constructor(gone: ReadonlySet<string>, written: readonly HeaderFieldConfig[]) {
    this.gone = gone
    this.dropped = [...gone]
    this.written = written
    this.lines = written.map(({ name, value }) => `${name}: ${value}\r\n`).join("")
  }

  /** The change that one or two lists of changes make, the second after the first; null: none. */
  static of(first: HeaderModifierConfig | null, second: HeaderModifierConfig | null): HeaderModifier | null {
    const dropped = new Set<string>()
    let written: HeaderFieldConfig[] = []
    for (const config of [first, second]) {
      if (config === null) continue
      const gone = new Set([...config.remove, ...config.set.map(field => field.name.toLowerCase())])
      for (const name of gone) dropped.add(name)
      written = written.filter(field => !gone.has(field.name.toLowerCase()))
      written.push(...config.set, ...config.add)
    }
    return dropped.size === 0 && written.length === 0 ? null : new HeaderModifier(dropped, written)
  }

  /** Whether a field that was sent stays. */
  keeps(lowerCaseName: string): boolean {
    return !this.gone.has(lowerCaseName)
  }
}
