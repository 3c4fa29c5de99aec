// What a Prometheus gets from a process of the control plane.
import { expect, test } from "bun:test"
import { type Metric, serveAdmin } from "./admin.ts"
import { ProcessMetrics } from "./process_metrics.ts"

async function scraped(metrics: readonly Metric[]): Promise<string> {
  const admin = await serveAdmin({ host: "127.0.0.1", port: 0, notReady: () => "", metrics: () => metrics })
  try {
    return await (await fetch(`http://127.0.0.1:${admin.port}/metrics`)).text()
  } finally {
    admin.close()
  }
}

test("the figures of a histogram are one family", async () => {
  const one = { help: "How long.", type: "histogram" as const }
  const text = await scraped([
    { ...one, name: "calls_seconds_bucket", value: 1, labels: { le: "+Inf" } },
    { ...one, name: "calls_seconds_sum", value: 0.5 },
    { ...one, name: "calls_seconds_count", value: 1 },
    { name: "calls_total", help: "Calls.", type: "counter", value: 1 },
  ])
  expect(text).toBe(
    '# HELP calls_seconds How long.\n# TYPE calls_seconds histogram\ncalls_seconds_bucket{le="+Inf"} 1\n' +
      "calls_seconds_sum 0.5\ncalls_seconds_count 1\n# HELP calls_total Calls.\n# TYPE calls_total counter\ncalls_total 1\n",
  )
})

test("a process tells its version, its resources and how late its loop was", async () => {
  const own = new ProcessMetrics("1.2.3", ["api", "policy"])
  try {
    own.late(250)
    own.late(10)
    const text = await scraped(own.metrics())
    expect(text).toContain('conduit_build_info{version="1.2.3",services="api,policy"} 1\n')
    expect(text).toContain("\nprocess_event_loop_lag_seconds 0.25\n")
    for (const name of [
      "process_cpu_seconds_total",
      "process_resident_memory_bytes",
      "process_virtual_memory_bytes",
      "process_open_fds",
      "process_max_fds",
      "process_start_time_seconds",
    ]) {
      expect(Number(new RegExp(`\\n${name} (\\S+)`).exec(text)?.[1])).toBeGreaterThan(0)
    }
    // A minute of smaller lags later the large one is forgotten.
    for (let i = 0; i < 60; i++) own.late(1)
    expect(await scraped(own.metrics())).toContain("\nprocess_event_loop_lag_seconds 0.001\n")
  } finally {
    own.stop()
  }
})
