// The Api hook: a service of its own, `cost.v1.CostService`, and a panel of the dashboard. What it tells is summed up from the
// windows of the Telemetry hook.
import { create, toBinary } from "@bufbuild/protobuf"
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt"
import { CostService, file_cost } from "./cost_pb.ts"
import { pluginHooksV1, pluginV1 } from "../../../protos/mod.ts"
import type { ServedPlugin } from "../serve.ts"

/** Workloads that costs are kept of; what others cost is `other`. */
export const MAX_COST_WORKLOADS = 10_000

interface Configuration {
  readonly currency?: string
  /** Price of a million requests where `prices` has none. */
  readonly perMillion?: number
  /** Price of a million requests by `namespace/name`. */
  readonly prices?: Readonly<Record<string, number>>
}

/** Requests by workload. */
export class Costs {
  /** The latest that the plugin was told. */
  configuration: Configuration = {}
  readonly #requests = new Map<string, number>()
  #lastMs = 0n

  /** Counts a window, once: several processes of the control plane may tell of it. */
  add({ startMs, edges }: pluginHooksV1.TrafficWindow): void {
    if (startMs <= this.#lastMs) return
    this.#lastMs = startMs
    for (const { server, success, failure } of edges) {
      const name = `${server?.namespace}/${server?.name}`
      const known = this.#requests.has(name) || this.#requests.size < MAX_COST_WORKLOADS
      const workload = known ? name : "other"
      this.#requests.set(workload, (this.#requests.get(workload) ?? 0) + Number(success + failure))
    }
  }

  /** The dearest first. */
  list(): { rows: { workload: string; requests: number; cost: number }[]; currency: string } {
    const { currency = "EUR", perMillion = 0, prices = {} } = this.configuration
    const rows = [...this.#requests].map(([workload, requests]) => ({
      ...{ workload, requests },
      cost: (requests / 1_000_000) * (prices[workload] ?? perMillion),
    }))
    return { rows: rows.sort((a, b) => b.cost - a.cost || (a.workload < b.workload ? -1 : 1)), currency }
  }
}

const { proto } = file_cost
const DESCRIPTORS = toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file: [proto] }))

/** The plugin. */
export const cost: ServedPlugin = {
  name: "cost",
  version: "1.0.0",
  hooks: [pluginV1.Hook.API, pluginV1.Hook.TELEMETRY],
  schema: {
    type: "object",
    properties: {
      currency: { type: "string", pattern: "^[A-Z]{3}$" },
      perMillion: { type: "number", minimum: 0 },
      prices: { type: "object", additionalProperties: { type: "number", minimum: 0 } },
    },
    additionalProperties: false,
  },
  routes: router => {
    const costs = new Costs()
    router.service(CostService, { list: () => costs.list() })
    router.service(pluginHooksV1.ApiHookService, {
      services({ context }) {
        if (context !== undefined) costs.configuration = context.configuration ?? {}
        return {
          descriptors: DESCRIPTORS,
          services: [CostService.typeName],
          panels: [
            {
              ...{ title: "Cost of requests", service: CostService.typeName, method: "List", rows: "rows" },
              columns: [
                { title: "Workload", field: "workload" },
                { title: "Requests", field: "requests" },
                { title: "Cost", field: "cost", unit: costs.configuration.currency ?? "EUR" },
              ],
            },
          ],
        }
      },
    })
    router.service(pluginHooksV1.TelemetryHookService, {
      async observe(requests) {
        for await (const { context, window } of requests) {
          if (context !== undefined) costs.configuration = context.configuration ?? {}
          if (window !== undefined) costs.add(window)
        }
        return {}
      },
    })
  },
}
