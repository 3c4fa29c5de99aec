// The Telemetry hook: posts to a webhook when the error rate of a workload crosses a threshold, and when it is well again.
import { pluginHooksV1, pluginV1 } from "../../../protos/mod.ts"
import type { ServedPlugin } from "../serve.ts"

/** Alerts that wait for the webhook; older ones are dropped: who is away that long is told how it is now. */
export const MAX_WAITING_ALERTS = 100
/** Longest wait for the webhook. */
const WEBHOOK_TIMEOUT_MS = 5_000
/** Attempts at one alert. */
const ATTEMPTS = 3

interface Configuration {
  /** Where alerts are posted. */
  readonly url?: string
  /** Share of failures, from 0 to 1, above which a workload is ill. */
  readonly failures?: number
  /** Requests of a window below which nothing is judged. */
  readonly requests?: number
}

/** What is posted. `text` is what chat programs show. */
export interface Alert {
  readonly text: string
  readonly state: "failing" | "recovered"
  readonly workload: string
  /** Share of failures in the window, from 0 to 1. */
  readonly failures: number
  readonly requests: number
}

/** Remembers who is ill: an alert is a change, not a state. */
export class ErrorRates {
  readonly #ill = new Set<string>()
  #lastMs = 0n

  /** What has changed with a window; nothing with one that another process of the control plane has told of. */
  alerts(window: pluginHooksV1.TrafficWindow, { failures = 0.05, requests = 10 }: Configuration): Alert[] {
    if (window.startMs <= this.#lastMs) return []
    this.#lastMs = window.startMs
    const sums = new Map<string, { failed: number; all: number }>()
    for (const { server, success, failure } of window.edges) {
      const name = `${server?.namespace}/${server?.kind}/${server?.name}`
      const sum = sums.get(name) ?? { failed: 0, all: 0 }
      sums.set(name, { failed: sum.failed + Number(failure), all: sum.all + Number(success + failure) })
    }
    return [...sums].flatMap(([workload, { failed, all }]): Alert[] => {
      if (all < requests) return []
      const share = failed / all
      const ill = share > failures
      if (ill === this.#ill.has(workload)) return []
      if (ill) this.#ill.add(workload)
      else this.#ill.delete(workload)
      const state = ill ? "failing" : "recovered"
      const text = `${workload} ${ill ? "fails" : "is well again"}: ${(share * 100).toFixed(1)} % of ${all} requests failed`
      return [{ text, state, workload, failures: share, requests: all }]
    })
  }
}

/** Posts alerts in order, a few times each; never keeps a window waiting. */
class Webhook {
  readonly #waiting: { readonly url: string; readonly alert: Alert }[] = []
  #busy = false

  post(url: string, alert: Alert): void {
    this.#waiting.push({ url, alert })
    if (this.#waiting.length > MAX_WAITING_ALERTS) this.#waiting.shift()
    void this.#work()
  }

  async #work(): Promise<void> {
    if (this.#busy) return
    this.#busy = true
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
        const wrong = await posted(next.url, next.alert)
        if (wrong === null) break
        // The address may have a secret in it: it is not said.
        console.error(
          `the webhook did not take "${next.alert.text}" (attempt ${attempt} of ${ATTEMPTS}): ${wrong}`,
        )
        await new Promise(resolve => setTimeout(resolve, attempt * 500))
      }
    }
    this.#busy = false
  }
}

/** Null when it was taken. */
async function posted(url: string, alert: Alert): Promise<string | null> {
  try {
    const { ok, status } = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(alert),
      redirect: "error",
      signal: AbortSignal.timeout(WEBHOOK_TIMEOUT_MS),
    })
    return ok ? null : `status ${status}`
  } catch (error) {
    return (error as Error).name
  }
}

/** The plugin. */
export const webhookAlerts: ServedPlugin = {
  name: "webhook-alerts",
  version: "1.0.0",
  hooks: [pluginV1.Hook.TELEMETRY],
  schema: {
    type: "object",
    properties: {
      url: { type: "string", pattern: "^https?://" },
      failures: { type: "number", minimum: 0, maximum: 1 },
      requests: { type: "integer", minimum: 1 },
    },
    additionalProperties: false,
  },
  problems: configuration =>
    "url" in configuration ? [] : [{ path: "/url", message: "is missing: where are alerts posted to?" }],
  routes: router => {
    const webhook = new Webhook()
    const rates = new ErrorRates()
    router.service(pluginHooksV1.TelemetryHookService, {
      async observe(requests) {
        let configuration: Configuration = {}
        for await (const { context, window } of requests) {
          if (context !== undefined) configuration = context.configuration ?? {}
          if (window === undefined) continue
          for (const alert of rates.alerts(window, configuration))
            if (configuration.url !== undefined) webhook.post(configuration.url, alert)
        }
        return {}
      },
    })
  },
}
