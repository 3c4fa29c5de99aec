// The figures that several dashboards show, in PromQL: success rate, requests per second, latency. Classified as the
// proxies do, so that they are those of `conduit stat`.

const RATE = "[$__rate_interval]"

/** Matchers of a selector, without braces. */
export type Matchers = string

/** `sum by (labels) (...)`, or one sum of all where there are no labels. */
export function sumBy(labels: string, expr: string): string {
  return labels === "" ? `sum(${expr})` : `sum by (${labels}) (${expr})`
}

/** Per second, of a counter. */
export function perSecond(metric: string, matchers: Matchers, by = ""): string {
  return sumBy(by, `rate(${metric}{${matchers}}${RATE})`)
}

/** Share of responses that were successes, 0 to 1. @param family  `response` or `route_response` */
export function successRate(family: string, matchers: Matchers, by = ""): string {
  const success = perSecond(`${family}_total`, `${matchers}, classification="success"`, by)
  const all = perSecond(`${family}_total`, matchers, by)
  // Where all failed there is no series of successes: that is 0, not nothing.
  return `(${success} or ${all} * 0) / (${all} > 0)`
}

/** A percentile of latency, milliseconds. @param family  `response` or `route_response` */
export function latency(quantile: number, family: string, matchers: Matchers, by = ""): string {
  const buckets = perSecond(`${family}_latency_ms_bucket`, matchers, by === "" ? "le" : `${by}, le`)
  return `histogram_quantile(${quantile}, ${buckets}) >= 0`
}
