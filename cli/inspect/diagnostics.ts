// `conduit diagnostics`: for whoever looks for the place where it went wrong.
import { command } from "../command_line/command.ts"
import { metrics } from "./metrics.ts"
import { proxyEndpoints } from "./proxy_endpoints.ts"

/** `conduit diagnostics endpoints|proxy-metrics`. */
export const diagnostics = command({
  meta: {
    name: "diagnostics",
    description: "What a proxy believes against what the control plane says, and raw metrics",
  },
  subCommands: { endpoints: proxyEndpoints, "proxy-metrics": metrics },
  examples: [
    {
      line: "conduit diagnostics endpoints deploy/web",
      why: "whether web's proxies know the right endpoints",
    },
    { line: "conduit diagnostics proxy-metrics deploy/web", why: "the same as conduit metrics" },
  ],
})
