// The control plane's log: one line per event on stderr, plain for people or JSON for collectors.

/** Fields beside a message. */
export type LogFields = Readonly<Record<string, string | number>>

/** Where events go. */
export interface Log {
  /** Something a person may want to know. */
  info(message: string, fields?: LogFields): void
  /** Something that keeps a part from working as it should. */
  warn(message: string, fields?: LogFields): void
}

/** How lines look. */
export interface LogOptions {
  /** `plain` or `json`. */
  readonly format: "plain" | "json"
  /** Writes one line, its newline included. */
  readonly write: (line: string) => void
  /** Time of an event. */
  readonly now: () => Date
}

/** A log that writes lines. */
export function createLog({ format, write, now }: LogOptions): Log {
  const emit = (level: string, message: string, fields: LogFields = {}): void => {
    const time = now().toISOString()
    const rest = Object.entries(fields).map(([name, value]) => ` ${name}=${quoted(String(value))}`)
    const plain = `${time} ${level} ${message}${rest.join("")}`
    write(`${format === "json" ? JSON.stringify({ time, level, message, ...fields }) : plain}\n`)
  }
  return {
    info: (message, fields) => emit("info", message, fields),
    warn: (message, fields) => emit("warn", message, fields),
  }
}

function quoted(value: string): string {
  return /[\s"=]/.test(value) ? JSON.stringify(value) : value
}
