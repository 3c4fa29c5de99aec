// Regular expressions of routes, understood alike by the proxy that matches them and by all that check them.
export { LiteralScan, MAX_SCAN_STATES } from "./literal_scan.ts"
export { MAX_REGEX_CHARS, RegexError } from "./parse.ts"
export { MAX_REGEX_INPUT_CHARS, Regex } from "./regex.ts"
export { requiredLiteral } from "./required_literal.ts"
