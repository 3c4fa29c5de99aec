// Every place of the dashboard. A page's code comes with the first one but for the graph's, which is large.
import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  retainSearchParams,
} from "@tanstack/react-router"
import { readSearch } from "./mesh/live.ts"
import { CertificatesPage } from "./pages/certificates.tsx"
import { DeploymentsPage } from "./pages/deployments.tsx"
import { HealthPage } from "./pages/health.tsx"
import { NotFoundPage } from "./pages/not_found.tsx"
import { OverviewPage } from "./pages/overview.tsx"
import { PluginsPage } from "./pages/plugins.tsx"
import { RoutesPage } from "./pages/routes.tsx"
import { SettingsPage } from "./pages/settings.tsx"
import { BrokenPage } from "./shell/broken_page.tsx"
import { Shell } from "./shell/shell.tsx"
import { DeploymentPage } from "./workload/deployment.tsx"

const rootRoute = createRootRoute({
  validateSearch: readSearch,
  // Time and namespace stay the same wherever one goes.
  search: { middlewares: [retainSearchParams(["w", "paused", "ns"])] },
  component: Shell,
  notFoundComponent: NotFoundPage,
})

const page = <const Path extends string>(path: Path, component: () => React.ReactNode) =>
  createRoute({ getParentRoute: () => rootRoute, path, component })

const routeTree = rootRoute.addChildren([
  page("/", OverviewPage),
  page("/deployments", DeploymentsPage),
  page("/deployments/$namespace/$kind/$name", DeploymentPage),
  createRoute({
    getParentRoute: () => rootRoute,
    path: "/topology",
    component: lazyRouteComponent(() => import("./graph/topology.tsx"), "TopologyPage"),
  }),
  page("/routes", RoutesPage),
  createRoute({
    getParentRoute: () => rootRoute,
    path: "/policies",
    component: lazyRouteComponent(() => import("./policies/policies.tsx"), "PoliciesPage"),
  }),
  createRoute({
    getParentRoute: () => rootRoute,
    path: "/gateway",
    component: lazyRouteComponent(() => import("./pages/gateway_routes.tsx"), "GatewayRoutesPage"),
  }),
  createRoute({
    getParentRoute: () => rootRoute,
    path: "/explain",
    component: lazyRouteComponent(() => import("./explain/explain.tsx"), "ExplainPage"),
  }),
  createRoute({
    getParentRoute: () => rootRoute,
    path: "/live",
    component: lazyRouteComponent(() => import("./live/live_calls.tsx"), "LiveCallsPage"),
  }),
  page("/certificates", CertificatesPage),
  page("/plugins", PluginsPage),
  page("/health", HealthPage),
  page("/settings", SettingsPage),
])

/** The router. */
export const router = createRouter({
  routeTree,
  defaultErrorComponent: BrokenPage,
  defaultPendingMs: 200,
})

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router
  }
}
