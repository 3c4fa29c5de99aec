// The admin port of a control-plane process: /live, /ready and /metrics (Prometheus text format 0.0.4).
import type { Listening, RequestHandler } from "./listener.ts"
import { listen } from "./listener.ts"

/** A figure for /metrics. */
export interface Metric {
  readonly name: string
  readonly help: string
  /** Figures of a histogram are named for it, with `_bucket`, `_sum` and `_count` behind. */
  readonly type: "counter" | "gauge" | "histogram"
  readonly value: number
  /** Labels; figures of one name follow each other. Values need no escaping. */
  readonly labels?: Readonly<Record<string, string>>
}

/** What the admin port tells. */
export interface AdminOptions {
  /** Address to listen on. */
  readonly host: string
  /** Port; 0 takes any free one. */
  readonly port: number
  /** Empty when ready, otherwise a sentence that says what is awaited. */
  readonly notReady: () => string
  /** Figures of the process. */
  readonly metrics: () => readonly Metric[]
  /** What other processes of the control plane ask for: JSON by path. Default: nothing. */
  readonly pages?: Readonly<Record<string, () => string>>
}

/**
 * Serves the admin port.
 *
 * @throws Error with a sentence for a person when the port cannot be listened on
 */
export function serveAdmin({ host, port, notReady, metrics, pages = {} }: AdminOptions): Promise<Listening> {
  const onRequest: RequestHandler = (request, response) => {
    const answer = (
      status: number,
      body: string,
      type = "text/plain; version=0.0.4; charset=utf-8",
    ): void => {
      response.statusCode = status
      response.setHeader("content-type", type)
      response.end(request.method === "HEAD" ? "" : body)
    }
    if (request.method !== "GET" && request.method !== "HEAD") return answer(405, "only GET is served here\n")
    const path = request.url?.split("?", 1)[0] ?? ""
    const page = Object.hasOwn(pages, path) ? pages[path] : undefined
    if (page !== undefined) return answer(200, page(), "application/json")
    if (path === "/live") return answer(200, "live\n")
    if (path === "/metrics") return answer(200, prometheusText(metrics()))
    if (path !== "/ready") return answer(404, "only /live, /ready and /metrics are served here\n")
    const reason = notReady()
    return reason === "" ? answer(200, "ready\n") : answer(503, `${reason}\n`)
  }
  return listen({ host, port, onRequest })
}

/** Figures in Prometheus' text format 0.0.4. */
export function prometheusText(metrics: readonly Metric[]): string {
  let text = ""
  let before = ""
  for (const { name, help, type, value, labels = {} } of metrics) {
    const family = type === "histogram" ? name.replace(/_(bucket|sum|count)$/, "") : name
    if (family !== before) text += `# HELP ${family} ${help}\n# TYPE ${family} ${type}\n`
    before = family
    const pairs = Object.entries(labels).map(([label, content]) => `${label}="${content}"`)
    text += `${name}${pairs.length === 0 ? "" : `{${pairs.join(",")}}`} ${value}\n`
  }
  return text
}
