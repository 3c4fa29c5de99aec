// What proxies know and were told, as the API tells it, and the decisions that they would make.
export { endpoints } from "./endpoints.ts"
export { explain } from "./explain.ts"
export { explainCallOf } from "./explain_call.ts"
export { identities } from "./identities.ts"
export { askPod, type ProxyOptions } from "./proxies.ts"
export { proxyDiscovery } from "./proxy_discovery.ts"
export { proxyMetrics } from "./proxy_metrics.ts"
export { proxyPolicies, servedPolicies } from "./proxy_policies.ts"
