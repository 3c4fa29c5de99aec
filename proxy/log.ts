// The proxy's log: one line an event on stderr, plain or JSON, saying which connection and what happened.
import { writeSync } from "node:fs"

/** Levels in order; each includes those before it. */
export const LOG_LEVELS = ["error", "warn", "info", "debug", "trace"] as const

/** How much is logged. */
export type LogLevel = (typeof LOG_LEVELS)[number]

/** How lines look. */
export type LogFormat = "plain" | "json"

/** Facts beside the message: `conn`, `peer`, `dst` and so on. */
export type LogFields = Readonly<Record<string, string | number>>

/** Writes log lines; the level may change while running. */
export interface Logger {
  level: LogLevel
  error(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  debug(message: string, fields?: LogFields): void
  trace(message: string, fields?: LogFields): void
  /** Whether lines of this level are written; ask before building costly fields. */
  enabled(level: LogLevel): boolean
}

/** Where lines go and how they look. */
export interface LoggerOptions {
  /** Default `info`. */
  readonly level?: LogLevel
  /** Default `plain`. */
  readonly format?: LogFormat
  /** Takes one line with its newline. Default: stderr. */
  readonly sink?: (line: string) => void
  /** Milliseconds since 1970. Default: the system's clock. */
  readonly wallClock?: () => number
}

/** Whether `text` names a level. */
export function isLogLevel(text: string): text is LogLevel {
  return (LOG_LEVELS as readonly string[]).includes(text)
}

/** Makes a logger. */
export function createLogger(options: LoggerOptions = {}): Logger {
  return new LineLogger(options)
}

class LineLogger implements Logger {
  private current: LogLevel
  private rank: number
  private readonly json: boolean
  private readonly sink: (line: string) => void
  private readonly wallClock: () => number

  constructor(options: LoggerOptions) {
    this.current = options.level ?? "info"
    this.rank = LOG_LEVELS.indexOf(this.current)
    this.json = options.format === "json"
    this.sink = options.sink ?? writeStderr
    this.wallClock = options.wallClock ?? Date.now
  }

  get level(): LogLevel {
    return this.current
  }

  set level(level: LogLevel) {
    this.current = level
    this.rank = LOG_LEVELS.indexOf(level)
  }

  enabled(level: LogLevel): boolean {
    return LOG_LEVELS.indexOf(level) <= this.rank
  }

  error(message: string, fields?: LogFields): void {
    this.write("error", message, fields)
  }

  warn(message: string, fields?: LogFields): void {
    if (this.rank >= 1) this.write("warn", message, fields)
  }

  info(message: string, fields?: LogFields): void {
    if (this.rank >= 2) this.write("info", message, fields)
  }

  debug(message: string, fields?: LogFields): void {
    if (this.rank >= 3) this.write("debug", message, fields)
  }

  trace(message: string, fields?: LogFields): void {
    if (this.rank >= 4) this.write("trace", message, fields)
  }

  private write(level: LogLevel, message: string, fields: LogFields | undefined): void {
    const time = new Date(this.wallClock()).toISOString()
    if (this.json) {
      this.sink(`${JSON.stringify({ time, level, message, ...fields })}\n`)
      return
    }
    let line = `${time} ${level.toUpperCase().padEnd(5)} ${oneLine(message)}`
    for (const key in fields) line += ` ${key}=${quoted(fields[key] ?? "")}`
    this.sink(`${line}\n`)
  }
}

/** Straight to the descriptor: `process.stderr` would bring 2 MB of stream machinery into every pod. */
function writeStderr(line: string): void {
  try {
    writeSync(2, line)
  } catch {
    // Nobody reads the log, or its pipe is full (EAGAIN): the line is lost rather than the proxy held up.
  }
}

/** Control characters would let a peer forge lines; they are escaped as JSON escapes them. */
function oneLine(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  return /[\x00-\x1f\x7f]/.test(text) ? JSON.stringify(text).slice(1, -1) : text
}

function quoted(value: string | number): string {
  return typeof value === "number" || /^[\w.:/[\]@%+,-]+$/.test(value) ? String(value) : JSON.stringify(value)
}
