// Where a redirect leads: HTTPRequestRedirectFilter of the Gateway API.
import type { PathModifier } from "./path_modifier.ts"
import type { RedirectConfig } from "./route_config.ts"

/** What the request says of itself. */
export interface RedirectedRequest {
  /** Host, perhaps with a port; "" if none. */
  readonly authority: string
  /** Path and query. */
  readonly path: string
}

/**
 * Value of the Location field.
 *
 * @param servicePort  port of the Service that was called: a mesh's stand-in for the listener's
 */
export function redirectLocation(
  redirect: RedirectConfig,
  path: PathModifier | null,
  request: RedirectedRequest,
  servicePort: number,
): string {
  // Between pods requests are plain HTTP for the application, whatever the mesh does beneath.
  const scheme = redirect.scheme === "" ? "http" : redirect.scheme
  const host = redirect.hostname === "" ? hostOf(request.authority) : redirect.hostname
  let { port } = redirect
  if (port === 0) port = redirect.scheme === "" ? servicePort : wellKnownPort(scheme)
  const shownPort = port === wellKnownPort(scheme) ? "" : `:${port}`
  return `${scheme}://${host}${shownPort}${path === null ? request.path : path.apply(request.path)}`
}

function wellKnownPort(scheme: string): number {
  return scheme === "https" ? 443 : 80
}

function hostOf(authority: string): string {
  const colon = authority.lastIndexOf(":")
  return colon > authority.lastIndexOf("]") ? authority.slice(0, colon) : authority
}
