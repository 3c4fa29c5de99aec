// Label selectors as kubectl's `-l` writes them: `app=web,tier!=db,env in (a, b),!legacy`.
// Kubernetes documentation, "Labels and Selectors".

/** Tells whether labels match. */
export type LabelMatcher = (labels: ReadonlyMap<string, string>) => boolean

const KEY = /^[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?$/
const SET = /^(\S+)\s+(in|notin)\s*\(([^()]*)\)$/
const EQUALITY = /^([^=!\s]+)\s*(=|==|!=)\s*([^=!\s]*)$/

/**
 * Reads a selector; the empty one matches everything.
 *
 * @throws SyntaxError with a sentence that names the requirement that cannot be read
 */
export function parseLabelSelector(text: string): LabelMatcher {
  const matchers = requirements(text).map(requirement)
  return labels => matchers.every(matches => matches(labels))
}

/** Splits at commas outside parentheses. */
function requirements(text: string): string[] {
  return text
    .split(/,(?![^(]*\))/)
    .map(piece => piece.trim())
    .filter(piece => piece !== "")
}

function requirement(text: string): LabelMatcher {
  const set = SET.exec(text)
  if (set !== null) {
    const [, key = "", operator, list = ""] = set
    const values = new Set(list.split(",").map(value => value.trim()))
    checkKey(key, text)
    return labels => {
      const value = labels.get(key)
      return operator === "in"
        ? value !== undefined && values.has(value)
        : value === undefined || !values.has(value)
    }
  }
  const equality = EQUALITY.exec(text)
  if (equality !== null) {
    const [, key = "", operator, value = ""] = equality
    checkKey(key, text)
    return labels => (labels.get(key) === value) === (operator !== "!=")
  }
  const absent = text.startsWith("!")
  const key = absent ? text.slice(1).trim() : text
  checkKey(key, text)
  return labels => labels.has(key) !== absent
}

function checkKey(key: string, text: string): void {
  if (!KEY.test(key))
    throw new SyntaxError(
      `"${text}" is no label requirement (name=value, name!=value, name in (a,b), name, !name)`,
    )
}
