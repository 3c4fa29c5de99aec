// Which header fields bear secrets. Their values never leave the proxy, whoever asks.

/** What stands in the place of a value. */
export const REDACTED = "[redacted]"

const SECRET_NAMES: ReadonlySet<string> = new Set([
  "authorization",
  "proxy-authorization",
  "cookie",
  "set-cookie",
  "x-forwarded-client-cert",
])

/** Parts of names that people give to fields with secrets, such as x-api-key or x-csrf-token. */
const SECRET_PART = /token|secret|password|passwd|api-?key|session|credential|signature/

/** Whether the value of a field is told to nobody. @param name  in lower case */
export function isSecretField(name: string): boolean {
  return SECRET_NAMES.has(name) || SECRET_PART.test(name)
}
