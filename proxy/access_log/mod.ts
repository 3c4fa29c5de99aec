// The public face of access_log/: a line per request on standard output.
export { AccessLogFile, type AccessLogOptions } from "./access_log.ts"
