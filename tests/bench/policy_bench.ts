// What policy costs: an inbound proxy without policies and with 1,000 rules, alternating on the same proxy; then what a
// denial costs beside an answer, and what a flood of denials does to others' latency. `npm run bench -- --only policy`.
import { renameSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Mesh } from "../lab/mod.ts"
import { tempFolder } from "../lab/temp_folder.ts"
import { median } from "./figures.ts"
import type { LoadOptions, LoadResult } from "./load.ts"
import { cpuMicros } from "./process_cost.ts"

/** A thousand rules may cost this share of throughput. */
const RULES_COST_MAX = 0.05
/** A flood of denied requests may raise the latency of allowed ones by this share, beside the same load past it. */
const FLOOD_COST_MAX = 0.2
const ROUNDS = 4
const RULES = 1_000
const ALLOWED_PORT = 9000
const DENIED_PORT = 9001
/** Not redirected: what is sent here costs the machine as much, and the proxy nothing. */
const BESIDE_PORT = 9002
/** Length of a denial's body: the load reads answers by their length. */
const DENIAL_BYTES = "403 Forbidden: policy denies the request (denied; id=01234567)\n".length
const ROOT = new URL("../../", import.meta.url).pathname

/** The rule that lets the load in stands last, behind a thousand that its path or method does not meet. */
function policies(count: number): string {
  if (count === 0) return DENY
  const rules = Array.from(
    { length: count - 1 },
    (_, i) =>
      `    - to: [{ methods: [${i % 2 === 0 ? "GET" : "PUT"}], paths: ["/catalog/${i}/*", "/shop.v1.S${i}/Get"] }]`,
  )
  return `${DENY}
---
apiVersion: policy.conduit.io/v1alpha1
kind: AuthorizationPolicy
metadata: { name: many, namespace: lab }
spec:
  target: { kind: Pod, name: bench, ports: [${ALLOWED_PORT}] }
  action: Allow
  rules:
${rules.join("\n")}
    - to: [{ methods: [GET, POST], paths: ["/catalog/*", "/shop.v1.Orders/*"] }]
`
}

const DENY = `
apiVersion: v1
kind: Pod
metadata: { name: bench, namespace: lab }
spec: { containers: [{ name: app }] }
---
apiVersion: policy.conduit.io/v1alpha1
kind: AuthorizationPolicy
metadata: { name: denied, namespace: lab }
spec:
  target: { kind: Pod, name: bench, ports: [${DENIED_PORT}] }
  action: Deny
  rules: [{ to: [{ paths: ["/*"] }] }]
`

/** Runs the measurements and prints them. @returns whether all targets were met */
export async function benchPolicy(): Promise<boolean> {
  const folder = tempFolder("policy-bench")
  await using mesh = await Mesh.create()
  try {
    const control = mesh.control.start(
      ["taskset", "-c", "1", process.execPath, `${ROOT}control/main.ts`, "policy", "--manifests", folder],
      { env: { CONDUIT_ADMIN_PORT: "0" } },
    )
    await control.saw("listening policy")
    const { pod, proxy } = await mesh.meshedPod("bench", {
      env: { CONDUIT_PROXY_POLICY_ADDR: `${mesh.control.ipv4}:8090`, CONDUIT_PROXY_LOG_LEVEL: "info" },
    })
    await pod.run(["taskset", "-cp", "0", String(proxy.process.pid)])
    // The load runs beside the proxy, on another core; what it sends to the pod's own ports is redirected as if it came
    // from outside. What the proxy sends goes through.
    for (const port of [ALLOWED_PORT, DENIED_PORT]) {
      const rule = `-t nat -I OUTPUT -p tcp -d ${pod.ipv4} --dport ${port} -m owner ! --uid-owner 2102 -j REDIRECT --to-ports 4143`
      await pod.run(["iptables", ...rule.split(" ")])
    }
    let version = ""
    const apply = async (count: number): Promise<void> => {
      writeFileSync(join(folder, ".all.yaml"), policies(count))
      renameSync(join(folder, ".all.yaml"), join(folder, "all.yaml"))
      version = count === 0 ? "none" : String(count)
      await Bun.sleep(500)
    }
    const load = async (
      options: Partial<LoadOptions> & { port: number },
    ): Promise<LoadResult & { cpuUs: number }> => {
      const { port, ...rest } = options
      const all: LoadOptions = {
        protocol: "http1",
        target: { host: pod.ipv4, port },
        backend: { host: pod.ipv4, port },
        connections: 32,
        streams: 1,
        bodyBytes: 100,
        ratePerSecond: 0,
        warmupMs: 500,
        durationMs: 2_000,
        ...rest,
      }
      const before = cpuMicros([proxy.process.pid])
      const { stdout, stderr } = await pod.run([
        "taskset",
        "-c",
        "1",
        process.execPath,
        `${ROOT}tests/bench/load.ts`,
        JSON.stringify(all),
      ])
      if (stdout === "") throw new Error(`the load said nothing: ${stderr}`)
      const result = JSON.parse(stdout) as LoadResult
      const answered = Math.max(1, Math.max(result.requests, result.failures))
      const share = all.durationMs / (all.durationMs + all.warmupMs)
      return { ...result, cpuUs: ((cpuMicros([proxy.process.pid]) - before) * share) / answered }
    }

    let ok = true
    let knee = 0
    for (const protocol of ["http1", "http2"] as const) {
      const shape = protocol === "http1" ? { connections: 32, streams: 1 } : { connections: 8, streams: 16 }
      const rates: Record<string, number[]> = { none: [], [RULES]: [] }
      const cpus: Record<string, number[]> = { none: [], [RULES]: [] }
      for (let round = 0; round < ROUNDS; round++) {
        for (const count of round % 2 === 0 ? [0, RULES] : [RULES, 0]) {
          await apply(count)
          const { requests, elapsedMs, failures, cpuUs } = await load({
            port: ALLOWED_PORT,
            protocol,
            ...shape,
          })
          if (failures > 0)
            throw new Error(`${failures} of ${requests} requests failed with ${version} rules`)
          rates[version]?.push((requests / elapsedMs) * 1000)
          cpus[version]?.push(cpuUs)
        }
      }
      const none = median(rates.none ?? [])
      const many = median(rates[RULES] ?? [])
      if (protocol === "http1") knee = many
      const cost = 1 - many / none
      const cpu = median(cpus[RULES] ?? []) / median(cpus.none ?? []) - 1
      console.log(
        `${protocol}: ${none.toFixed(0)} requests/s without policies, ${many.toFixed(0)} with ${RULES} rules: ` +
          `${(cost * 100).toFixed(1)} % of throughput, ${(cpu * 100).toFixed(1)} % of CPU a request${cost < RULES_COST_MAX ? "" : "  OVER 5 %"}`,
      )
      if (cost >= RULES_COST_MAX) ok = false
    }

    await apply(RULES)
    const answer = await load({ port: ALLOWED_PORT })
    const denial = await load({ port: DENIED_PORT, bodyBytes: DENIAL_BYTES })
    const cheaper = denial.cpuUs <= answer.cpuUs
    console.log(
      `CPU: ${answer.cpuUs.toFixed(1)} us an answer, ${denial.cpuUs.toFixed(1)} us a denial` +
        `${cheaper ? "" : "  A DENIAL COSTS MORE"}`,
    )
    if (!cheaper) ok = false

    const rate = Math.round(knee * 0.2)
    const beside: LoadResult[] = []
    const flooded: LoadResult[] = []
    const paced = { port: ALLOWED_PORT, ratePerSecond: rate, durationMs: 3_000 }
    const flood = { bodyBytes: DENIAL_BYTES, ratePerSecond: rate, durationMs: 3_500 }
    for (let round = 0; round < ROUNDS; round++) {
      for (const [port, results] of [
        [BESIDE_PORT, beside],
        [DENIED_PORT, flooded],
      ] as const) {
        const [allowed] = await Promise.all([load(paced), load({ port, ...flood })])
        results.push(allowed)
      }
    }
    const of = (results: readonly LoadResult[], which: "p50" | "p99"): number =>
      median(results.map(result => result[which]))
    const rise = of(flooded, "p50") / of(beside, "p50") - 1
    console.log(
      `${rate}/s allowed, with ${rate}/s past the proxy and with ${rate}/s denied: p50 ${of(beside, "p50").toFixed(3)} -> ` +
        `${of(flooded, "p50").toFixed(3)} ms (${(rise * 100).toFixed(0)} %), p99 ${of(beside, "p99").toFixed(2)} -> ` +
        `${of(flooded, "p99").toFixed(2)} ms${rise < FLOOD_COST_MAX ? "" : "  OVER 20 %"}`,
    )
    if (rise >= FLOOD_COST_MAX) ok = false
    return ok
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
