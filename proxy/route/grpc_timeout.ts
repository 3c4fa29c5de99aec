// The grpc-timeout field (gRPC over HTTP/2, Timeout): at most eight digits and a unit.

/** The field is absent or cannot be read: no deadline. */
export const NO_GRPC_TIMEOUT = -1

const MAX_DIGITS = 8

/** Milliseconds of a grpc-timeout, with fractions; NO_GRPC_TIMEOUT for none. */
export function parseGrpcTimeout(value: string | undefined): number {
  if (value === undefined) return NO_GRPC_TIMEOUT
  const digits = value.length - 1
  if (digits < 1 || digits > MAX_DIGITS) return NO_GRPC_TIMEOUT
  let number = 0
  for (let i = 0; i < digits; i++) {
    const digit = value.charCodeAt(i) - 0x30
    if (digit < 0 || digit > 9) return NO_GRPC_TIMEOUT
    number = number * 10 + digit
  }
  switch (value.charCodeAt(digits)) {
    case 0x48: // H
      return number * 3_600_000
    case 0x4d: // M
      return number * 60_000
    case 0x53: // S
      return number * 1000
    case 0x6d: // m
      return number
    case 0x75: // u
      return number / 1000
    case 0x6e: // n
      return number / 1_000_000
    default:
      return NO_GRPC_TIMEOUT
  }
}

/** A grpc-timeout of so many milliseconds, 0 or more: rounded down, for a server must not outlive its caller's patience. */
export function formatGrpcTimeout(ms: number): string {
  if (ms < 100_000) return `${Math.max(0, Math.floor(ms * 1000))}u`
  if (ms < 100_000_000) return `${Math.floor(ms)}m`
  return `${Math.min(99_999_999, Math.floor(ms / 1000))}S`
}
