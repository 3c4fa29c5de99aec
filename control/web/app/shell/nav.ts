// The places that the navigation and the palette lead to.
import type { IconName } from "./icons.tsx"

/** A place. */
export interface NavEntry {
  readonly to:
    | "/"
    | "/deployments"
    | "/topology"
    | "/routes"
    | "/gateway"
    | "/explain"
    | "/live"
    | "/policies"
    | "/certificates"
    | "/health"
    | "/plugins"
    | "/settings"
  readonly label: string
  readonly icon: IconName
}

/** Every place, by what a person comes for. */
export const NAV: readonly { readonly group: string; readonly entries: readonly NavEntry[] }[] = [
  {
    group: "Application",
    entries: [
      { to: "/", label: "Overview", icon: "overview" },
      { to: "/deployments", label: "Deployments", icon: "deployments" },
      { to: "/topology", label: "Topology", icon: "topology" },
      { to: "/routes", label: "Routes", icon: "routes" },
      { to: "/gateway", label: "Gateway routes", icon: "split" },
      { to: "/live", label: "Live calls", icon: "play" },
      { to: "/explain", label: "Explain", icon: "arrow" },
    ],
  },
  {
    group: "Security",
    entries: [
      { to: "/policies", label: "Policies", icon: "policies" },
      { to: "/certificates", label: "Certificates", icon: "certificates" },
    ],
  },
  {
    group: "Mesh",
    entries: [
      { to: "/health", label: "Health", icon: "health" },
      { to: "/plugins", label: "Plugins", icon: "plugin" },
      { to: "/settings", label: "Settings", icon: "settings" },
    ],
  },
]
