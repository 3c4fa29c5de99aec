// Takes out of what goes into a support bundle whatever could be a secret: the bundle is mailed to strangers. What is taken out
// leaves a mark, so that a reader knows that something stood there.

/** Stands where something was taken out. */
export const REDACTED = "[redacted]"

/** Names whose values are secrets, wherever they stand: in JSON, YAML, logs, query strings and header fields. */
const SECRET_NAME =
  "[a-z0-9_.-]*(?:password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|authorization|cookie|credential|session[_-]?id|client-key-data)[a-z0-9_.-]*"

/** What is taken out, and what stays of it; the list is the documentation. */
const RULES: readonly (readonly [pattern: RegExp, kept: string])[] = [
  // Keys in PEM, also within JSON, where their lines are `\n`.
  [/-----BEGIN ([A-Z0-9 ]*)PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|$)/g, REDACTED],
  // The same in base64, as Secrets and kubeconfigs have it: `-----BEGIN ` begins so.
  [/LS0tLS1CRUdJTi[A-Za-z0-9+/=]*/g, REDACTED],
  // JSON Web Tokens: header and payload are JSON objects in base64url.
  [/\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?/g, REDACTED],
  [/\b(Bearer|Basic|Negotiate|Digest)\s+[A-Za-z0-9._~+/=-]{6,}/gi, `$1 ${REDACTED}`],
  // Tokens that say what they are: of GitHub, GitLab, Slack, npm, Stripe, Google, AWS.
  [
    /\b(?:gh[pousr]_[A-Za-z0-9]{20,}|glpat-[A-Za-z0-9_-]{16,}|xox[abprs]-[A-Za-z0-9-]{10,}|npm_[A-Za-z0-9]{30,}|[sr]k_(?:live|test)_[A-Za-z0-9]{10,}|AIza[A-Za-z0-9_-]{30,}|(?:AKIA|ASIA)[A-Z0-9]{16})/g,
    REDACTED,
  ],
  // User and password of a URL.
  [/\b([a-z][a-z0-9+.-]*:\/\/)[^\s/@"']+@/gi, `$1${REDACTED}@`],
  // "name": "value" of JSON, with its escapes.
  [new RegExp(`("${SECRET_NAME}"\\s*:\\s*)"(?:[^"\\\\]|\\\\.)+"`, "gi"), `$1"${REDACTED}"`],
  // The same within a string of JSON, as in annotations that hold whole objects.
  [
    new RegExp(`(\\\\"${SECRET_NAME}\\\\"\\s*:\\s*)\\\\"(?:[^"\\\\]|\\\\[^"])*\\\\"`, "gi"),
    `$1\\"${REDACTED}\\"`,
  ],
  // name=value of logs, arguments and query strings; name: value of header fields and YAML.
  [
    new RegExp(`(?<![\\w"])(${SECRET_NAME}\\s*=\\s*)(?!\\[redacted)("[^"]*"|[^\\s&"',;\\\\]+)`, "gi"),
    `$1${REDACTED}`,
  ],
  [
    new RegExp(`(^|[\\s{,])(${SECRET_NAME}:[ \\t]+)(?!\\[redacted|["{[|>])[^\\r\\n"]+`, "gim"),
    `$1$2${REDACTED}`,
  ],
]

/** A text without what could be a secret. */
export function redact(text: string): string {
  let clean = text
  for (const [pattern, kept] of RULES) clean = clean.replace(pattern, kept)
  return clean
}

/** Objects of these kinds are never written, whoever sends them. */
const NEVER = new Set(["Secret", "SecretList", "TokenRequest"])
/** An annotation that has the whole object once more, as it was applied. */
const LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

/**
 * An object of the cluster without what could be a secret: values of environment variables are left out but for those of
 * Conduit's own settings, and Secrets wholly.
 */
export function withoutSecrets(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutSecrets)
  if (value === null || typeof value !== "object") return value
  const object = value as Readonly<Record<string, unknown>>
  if (NEVER.has(String(object.kind))) return REDACTED
  const entries = Object.entries(object).flatMap(([key, inner]): [string, unknown][] => {
    if (key === "managedFields" || key === LAST_APPLIED) return []
    if (key === "env" && Array.isArray(inner)) return [[key, inner.map(variable)]]
    return [[key, withoutSecrets(inner)]]
  })
  return Object.fromEntries(entries)
}

function variable(value: unknown): unknown {
  const { name, value: content, ...rest } = value as Readonly<Record<string, unknown>>
  if (content === undefined || /^CONDUIT_/.test(String(name))) return { name, value: content, ...rest }
  return { name, value: REDACTED }
}
