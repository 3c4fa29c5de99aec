// The public face of grafana/: dashboards for a Grafana whose Prometheus scrapes proxies and control plane.
import { CONTROL_PLANE } from "./control_plane.ts"
import type { Dashboard } from "./dashboard.ts"
import { DEPLOYMENT } from "./deployment.ts"
import { ROUTES } from "./route.ts"
import { TOP_LINE } from "./top_line.ts"

export { type Dashboard, grafanaJson, type Panel, type Target, type Variable } from "./dashboard.ts"

/** All dashboards, in the order in which people look at them. */
export const DASHBOARDS: readonly Dashboard[] = [TOP_LINE, DEPLOYMENT, ROUTES, CONTROL_PLANE]
