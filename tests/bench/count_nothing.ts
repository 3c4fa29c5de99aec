// A proxy that counts nothing, to measure what counting costs: imported before everything else of it
// (`uncounted` in mtls_pair.ts). Only the bench builds it; the proxy itself has no such switch.
import { AuthzSeries } from "../../proxy/policy/authz_series.ts"
import { AuthorityLabel, AuthorityLabels } from "../../proxy/telemetry/authority_labels.ts"
import { HttpMetrics, HttpScope, RequestSeries, RouteSeries } from "../../proxy/telemetry/http_series.ts"
import { LearnedRoutes } from "../../proxy/telemetry/learned_routes.ts"
import { OUTBOUND, Registry, Reporter } from "../../proxy/telemetry/mod.ts"
import { Histogram } from "../../proxy/telemetry/series.ts"
import { ConnectionRecord } from "../../proxy/telemetry/tcp_series.ts"

const nothing = (): void => {}
const registry = new Registry()
const requests = new RequestSeries("", registry, [], null)
const route = new RouteSeries("", registry, [])
const authority = new AuthorityLabel(0, "other")
const scope = new HttpScope(-1, {
  direction: OUTBOUND,
  dstService: "",
  dstNamespace: "",
  tls: null,
  clientId: "",
  route: "",
})

HttpMetrics.prototype.requests = () => requests
HttpMetrics.prototype.route = () => route
LearnedRoutes.prototype.of = () => scope
AuthorityLabels.prototype.of = () => authority
RequestSeries.prototype.request = nothing
RequestSeries.prototype.response = nothing
RouteSeries.prototype.request = nothing
RouteSeries.prototype.sent = nothing
RouteSeries.prototype.response = nothing
AuthzSeries.prototype.count = nothing
Histogram.prototype.observe = nothing
ConnectionRecord.prototype.add = nothing
Reporter.prototype.start = nothing
