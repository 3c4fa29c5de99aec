// What a real program's test is made of: servers, and a table of cases that a client runs against them, directly
// and through the mesh.

/** One server of a program. */
export interface Server {
  /** Its Deployment and Service. */
  readonly name: string
  /** What a shell runs, in a folder `$DIR` of its own; `$SHARED` is what `prepare` filled. Stays in the foreground. */
  readonly script: string
  /** Ports, of pod and Service alike; the first one being open means ready. */
  readonly ports: readonly number[]
}

/** One thing that a client does. It passes with exit status 0 and the output that is expected. */
export interface Case {
  /** As a sentence: what works. */
  readonly name: string
  /**
   * What a shell runs in the client's pod, in the server's folder `$DIR`. Servers are reached by their names. It must
   * print the same whether it is run directly or meshed.
   */
  readonly script: string
  /** What it must print, where that is known beforehand. Trailing white space does not count. */
  readonly prints?: string | RegExp
  /** Longest time that it may take, in milliseconds; default 60 s. */
  readonly timeoutMs?: number
  /** What is printed (times, rates) is not the same each time: do not compare it. */
  readonly varies?: boolean
}

/** How the mesh must have seen a server's traffic: as HTTP requests, or as TCP connections that are no HTTP. */
export type SeenAs = "http" | "tcp"

/** A real program, as server and client. */
export interface Program {
  /** Lower-case letters and digits. */
  readonly name: string
  /** Debian packages that it comes from. */
  readonly packages: readonly string[]
  /** What a shell runs once, before anything else, in the folder `$SHARED`. */
  readonly prepare?: string
  readonly servers: readonly Server[]
  readonly cases: readonly Case[]
  /** What the proxies must have seen, per server. */
  readonly seen: Readonly<Record<string, SeenAs>>
  /**
   * Case that prints how long the server's greeting took, in milliseconds, several times: none meshed may be
   * more than 100 ms above the fastest direct.
   */
  readonly greeting?: Case
}
