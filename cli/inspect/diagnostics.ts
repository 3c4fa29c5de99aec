// `conduit diagnostics`: for whoever looks for the place where it went wrong.
import { command } from "../command_line/command.ts"
import { bundle } from "../bundle/bundle.ts"
import { controllerMetrics } from "./controller_metrics.ts"
import { metrics } from "./metrics.ts"
import { proxyEndpoints } from "./proxy_endpoints.ts"
import { proxyPolicies } from "./proxy_policies.ts"

/** `conduit diagnostics endpoints|policy|proxy-metrics|controller-metrics|bundle`. */
export const diagnostics = command({
  meta: {
    name: "diagnostics",
    description:
      "What a proxy believes against what the control plane says, raw metrics, and support bundles",
  },
  subCommands: {
    endpoints: proxyEndpoints,
    policy: proxyPolicies,
    "proxy-metrics": metrics,
    "controller-metrics": controllerMetrics,
    bundle,
  },
  examples: [
    {
      line: "conduit diagnostics endpoints deploy/web",
      why: "whether web's proxies know the right endpoints",
    },
    { line: "conduit diagnostics policy deploy/web", why: "whether they hold the right policies" },
    { line: "conduit diagnostics proxy-metrics deploy/web", why: "the same as conduit metrics" },
    { line: "conduit diagnostics controller-metrics", why: "the control plane's own" },
    { line: "conduit diagnostics bundle", why: "everything that who helps needs to know, without secrets" },
  ],
})
