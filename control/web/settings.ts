// Settings of the dashboard, from the environment.

/** Where the image has the page's files. */
export const DEFAULT_WEB_FILES = "/app/web"

/** Settings of the dashboard. */
export interface WebSettings {
  /** Folder with the page's files. */
  readonly files: string
  /** `host:port` of the public API. */
  readonly apiAddress: string
  /**
   * Who is served. `forwarded`: only who comes from this process's own loopback interface, which is who may forward to
   * its pod. `reachable`: whoever reaches the port, as in a local mesh, whose API is as open.
   */
  readonly viewers: "forwarded" | "reachable"
  /** Names by which it may be asked besides those of loopback, in lower case. */
  readonly hosts: ReadonlySet<string>
}

/** Reads the settings, or says in a sentence what is wrong with them. */
export function webSettings(env: Readonly<Record<string, string | undefined>>): WebSettings | string {
  const apiAddress = env.CONDUIT_API_ADDR ?? ""
  if (!/^\S+:\d+$/.test(apiAddress)) return "web needs CONDUIT_API_ADDR: host:port of the public API"
  const viewers = env.CONDUIT_WEB_VIEWERS ?? "forwarded"
  if (viewers !== "forwarded" && viewers !== "reachable")
    return `CONDUIT_WEB_VIEWERS must be forwarded or reachable, not "${viewers}"`
  const hosts = (env.CONDUIT_WEB_HOSTS ?? "").split(",").map(one => one.trim().toLowerCase())
  return {
    files: env.CONDUIT_WEB_FILES ?? DEFAULT_WEB_FILES,
    apiAddress,
    viewers,
    hosts: new Set(hosts.filter(one => one !== "")),
  }
}
