// What the proxy's shutdown needs of a connection that an HTTP engine serves.

/** A connection that can end without breaking what runs on it. */
export interface Drainable {
  /** Finish what runs, take nothing new, close. HTTP/1 says `Connection: close`, HTTP/2 GOAWAY. */
  drain(): void
  /** The drain window is over: close now if no request runs. Absent where `drain` sees to it by itself. */
  closeIfIdle?(): void
  /** The rules have changed: end what runs and is not allowed any more. */
  reexamine(): void
}
