// Label selectors as kubectl's `-l` writes them: `app=web,tier!=db,env in (a, b),!legacy`.
// Kubernetes documentation, "Labels and Selectors".

/** Tells whether labels match. */
export type LabelMatcher = (labels: ReadonlyMap<string, string>) => boolean

/** Longest selector read; a Kubernetes object's labels together are far below it. */
export const SELECTOR_LENGTH_MAX = 8192

const NAME = /^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$/
const PREFIX = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/
/** Longest name and value of a label, longest prefix of a name. */
const NAME_LENGTH_MAX = 63
const PREFIX_LENGTH_MAX = 253

const FORMS = "name=value, name!=value, name in (a,b), name notin (a,b), name, !name"

/**
 * Reads a selector; the empty one matches everything.
 *
 * @throws SyntaxError with a sentence that says what cannot be read, and where
 */
export function parseLabelSelector(text: string): LabelMatcher {
  if (text.length > SELECTOR_LENGTH_MAX) {
    throw new SyntaxError(
      `the label selector has ${text.length} characters; at most ${SELECTOR_LENGTH_MAX} are read`,
    )
  }
  const matchers = new Selector(text).read()
  return labels => matchers.every(matches => matches(labels))
}

/** Walks over the words and signs of a selector. */
class Selector {
  readonly #text: string
  readonly #tokens: readonly string[]
  #at = 0

  constructor(text: string) {
    this.#text = text
    this.#tokens = text.match(/!=|==|[=!(),<>]|[^\s=!(),<>]+/g) ?? []
  }

  read(): LabelMatcher[] {
    const matchers: LabelMatcher[] = []
    if (this.#tokens.length === 0) return matchers
    do {
      matchers.push(this.#requirement())
    } while (this.#take(","))
    if (this.#next !== undefined) this.#fail(`"${this.#next}" is not expected after a requirement`)
    return matchers
  }

  get #next(): string | undefined {
    return this.#tokens[this.#at]
  }

  #requirement(): LabelMatcher {
    if (this.#take("!")) {
      const key = this.#key()
      return labels => !labels.has(key)
    }
    const key = this.#key()
    if (this.#take("=") || this.#take("==")) {
      const value = this.#value()
      return labels => labels.get(key) === value
    }
    if (this.#take("!=")) {
      const value = this.#value()
      return labels => labels.get(key) !== value
    }
    if (this.#take("in")) {
      const values = this.#values(key, "in")
      return labels => values.has(labels.get(key) ?? ABSENT)
    }
    if (this.#take("notin")) {
      const values = this.#values(key, "notin")
      return labels => !values.has(labels.get(key) ?? ABSENT)
    }
    return labels => labels.has(key)
  }

  #key(): string {
    const key = this.#word()
    if (key === "")
      this.#fail(this.#next === undefined ? "a name is missing at its end" : this.#missing("name"))
    const slash = key.indexOf("/")
    const prefix = slash < 0 ? null : key.slice(0, slash)
    const name = key.slice(slash + 1)
    const good =
      name.length <= NAME_LENGTH_MAX &&
      NAME.test(name) &&
      (prefix === null || (prefix.length <= PREFIX_LENGTH_MAX && PREFIX.test(prefix)))
    if (!good) this.#fail(`"${key}" cannot be the name of a label`)
    return key
  }

  #value(): string {
    const value = this.#word()
    if (value === "" && this.#next !== undefined && this.#next !== "," && this.#next !== ")") {
      this.#fail(this.#missing("value"))
    }
    if (value !== "" && (value.length > NAME_LENGTH_MAX || !NAME.test(value))) {
      this.#fail(`"${value}" cannot be the value of a label`)
    }
    return value
  }

  #values(key: string, operator: string): ReadonlySet<string> {
    if (!this.#take("(")) this.#fail(`"${key} ${operator}" needs its values in parentheses`)
    const values = new Set<string>()
    do {
      values.add(this.#value())
    } while (this.#take(","))
    if (!this.#take(")")) this.#fail(`the parenthesis after "${key} ${operator}" is not closed`)
    return values
  }

  /** A run of letters that is no sign; "" when there is none here. */
  #word(): string {
    const token = this.#next
    if (token === undefined || /^[=!(),<>]/.test(token)) return ""
    this.#at++
    return token
  }

  #take(token: string): boolean {
    if (this.#next !== token) return false
    this.#at++
    return true
  }

  #missing(what: string): string {
    return `a ${what} is missing before "${this.#next}"`
  }

  #fail(what: string): never {
    throw new SyntaxError(
      `the label selector ${JSON.stringify(this.#text)} cannot be read: ${what}; write ${FORMS}, joined by commas`,
    )
  }
}

/** No label has this value. */
const ABSENT = "\0"
