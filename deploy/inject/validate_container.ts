// What inject and the CNI plugin share: the container that proves the redirect of a pod which the plugin redirects, and how
// such a pod is redirected.
import type { RedirectOptions } from "../redirect/mod.ts"
import { VALIDATE_CONTAINER } from "./marks.ts"
import type { Container, PodTemplate } from "./pod_spec.ts"
import { readSettings } from "./settings.ts"

/** Program in the proxy's image that proves a redirect; see deploy/redirect/validate_main.ts. */
export const VALIDATE_COMMAND: readonly string[] = ["conduit-validate"]
/** User that proves a redirect: neither root nor the proxy, whose own connections pass. */
export const VALIDATE_UID = 2104

/**
 * Stands where conduit-init would, told the same, in the proxy's image and with no more rights than the proxy. The plugin
 * reads its arguments.
 */
export function validateContainer(init: Container, proxy: Container): Container {
  const { image = "", imagePullPolicy = "IfNotPresent", securityContext } = proxy
  return {
    name: VALIDATE_CONTAINER,
    image,
    imagePullPolicy,
    command: [...VALIDATE_COMMAND],
    ...(init.args === undefined ? {} : { args: init.args }),
    ...(init.resources === undefined ? {} : { resources: init.resources }),
    securityContext: {
      ...securityContext,
      runAsUser: securityContext?.runAsUser === VALIDATE_UID ? VALIDATE_UID + 1 : VALIDATE_UID,
    },
    terminationMessagePolicy: "FallbackToLogsOnError",
  }
}

/**
 * How a pod that has only the proxy of inject is redirected, by its own annotations.
 *
 * @throws SettingError when one of them cannot be used
 */
export function proxyRedirect(template: PodTemplate): RedirectOptions {
  const { proxyUid, skipInboundPorts, skipOutboundPorts } = readSettings([template.metadata?.annotations], {
    nativeSidecar: false,
    logLevel: "info",
  })
  return { proxyUid, skipInboundPorts, skipOutboundPorts }
}
