// Who is served: pages of other sites reach a port of loopback as well as its owner does. A name of theirs that was made
// to lead there (DNS rebinding) shows in Host, a request of their pages in Origin and Sec-Fetch-Site (Fetch Metadata).

/** What is looked at of a request. */
export interface Sender {
  readonly method: string
  /** It is for the API, not for a file of the page. */
  readonly forApi: boolean
  /** It comes from the loopback interface of this process's own network. */
  readonly local: boolean
  /** Host, as sent; undefined for none. */
  readonly host: string | undefined
  /** Origin, as sent; undefined for none. */
  readonly origin: string | undefined
  /** Sec-Fetch-Site, as sent; undefined for none. */
  readonly site: string | undefined
  /** Sec-Fetch-Mode, as sent; undefined for none. */
  readonly mode: string | undefined
}

/** Whom the dashboard serves; see WebSettings. */
export interface GuardOptions {
  readonly viewers: "forwarded" | "reachable"
  readonly hosts: ReadonlySet<string>
}

const LOOPBACK = new Set(["localhost", "127.0.0.1", "[::1]"])

/** Why a request is not served, a sentence; null if it is. */
export function refusal(sender: Sender, { viewers, hosts }: GuardOptions): string | null {
  const { method, forApi, local, host = "", origin, site, mode } = sender
  if (viewers === "forwarded" && !local)
    return "the dashboard shows the whole mesh, and serves only who may forward to its pod: conduit dashboard opens it"
  const name = host.replace(/:\d+$/, "").toLowerCase()
  if (!LOOPBACK.has(name) && !hosts.has(name))
    return "the dashboard is not known by the name that was asked for (Host): ask for 127.0.0.1, or name it in CONDUIT_WEB_HOSTS"
  if (origin !== undefined && origin !== `http://${host}` && origin !== `https://${host}`)
    return "pages of other sites may not ask the dashboard (Origin)"
  const own = site === undefined || site === "same-origin" || site === "none"
  // A link elsewhere may lead here; what it opens is this page, which nobody else can read.
  const followed = mode === "navigate" && method === "GET" && !forApi
  if (!own && !followed) return "pages of other sites may not ask the dashboard (Sec-Fetch-Site)"
  return null
}
