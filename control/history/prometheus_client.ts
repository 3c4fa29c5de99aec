// Asks a Prometheus over its HTTP API: https://prometheus.io/docs/prometheus/latest/querying/api/

/** Longest that an answer may take. */
export const PROMETHEUS_TIMEOUT_MS = 20_000
/** Largest answer that is taken; some 100,000 series of one point. */
export const MAX_PROMETHEUS_BYTES = 64 * 1024 * 1024
/** Longest piece of an error's text that is passed on. */
const MAX_REASON = 300

/** One series of an answer. */
export interface PrometheusSeries {
  readonly labels: Readonly<Record<string, string>>
  /** Times in milliseconds since 1970, and values. */
  readonly samples: readonly (readonly [timeMs: number, value: number])[]
}

/** Asks one Prometheus. */
export class PrometheusClient {
  private readonly url: string

  /** @param url  its address, with the path that it is served under, without a slash at the end */
  constructor(url: string) {
    this.url = url
  }

  /**
   * Evaluates at one time.
   *
   * @throws Error with a sentence that names the Prometheus and says what it answered
   */
  at(expression: string, timeMs: number): Promise<PrometheusSeries[]> {
    return this.ask("query", { query: expression, time: seconds(timeMs) })
  }

  /**
   * Evaluates at several times.
   *
   * @throws Error as `at`
   */
  between(expression: string, firstMs: number, lastMs: number, stepMs: number): Promise<PrometheusSeries[]> {
    const times = { start: seconds(firstMs), end: seconds(lastMs), step: seconds(stepMs) }
    return this.ask("query_range", { query: expression, ...times })
  }

  private async ask(call: string, form: Record<string, string>): Promise<PrometheusSeries[]> {
    const who = `Prometheus at ${withoutSecrets(this.url)}`
    let status: number
    let text: string
    try {
      const response = await fetch(`${this.url}/api/v1/${call}`, {
        method: "POST",
        body: new URLSearchParams({ ...form, timeout: `${PROMETHEUS_TIMEOUT_MS / 1000}s` }),
        signal: AbortSignal.timeout(PROMETHEUS_TIMEOUT_MS),
        redirect: "error",
      })
      status = response.status
      text = await boundedText(response)
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      const sentence = `${who} could not be asked: ${reason}; check telemetry.prometheusUrl and that it runs`
      throw new Error(sentence, { cause: error })
    }
    const answer = parsed(text)
    if (status !== 200 || answer?.status !== "success") {
      throw new Error(`${who} answered ${status}: ${(answer?.error ?? text).slice(0, MAX_REASON).trim()}`)
    }
    return seriesOf(answer.data?.result ?? [])
  }
}

interface Answer {
  readonly status?: string
  readonly error?: string
  readonly data?: { readonly result?: readonly unknown[] }
}

function parsed(text: string): Answer | null {
  try {
    const answer: unknown = JSON.parse(text)
    return typeof answer === "object" ? (answer as Answer | null) : null
  } catch {
    return null
  }
}

function seriesOf(result: readonly unknown[]): PrometheusSeries[] {
  return result.flatMap(entry => {
    const { metric, value, values } = (entry ?? {}) as { metric?: unknown; value?: unknown; values?: unknown }
    const pairs = Array.isArray(values) ? values : value === undefined ? [] : [value]
    const samples = pairs.flatMap((pair): [number, number][] => {
      const [time, text] = Array.isArray(pair) ? pair : []
      const number = Number(text)
      return typeof time === "number" && Number.isFinite(number) ? [[Math.round(time * 1000), number]] : []
    })
    if (typeof metric !== "object" || metric === null || samples.length === 0) return []
    return [{ labels: metric as Record<string, string>, samples }]
  })
}

async function boundedText(response: Response): Promise<string> {
  const decoder = new TextDecoder()
  let text = ""
  let length = 0
  for await (const chunk of response.body ?? []) {
    length += chunk.byteLength
    if (length > MAX_PROMETHEUS_BYTES) {
      throw new Error(`its answer is larger than ${MAX_PROMETHEUS_BYTES} bytes; ask for less`)
    }
    text += decoder.decode(chunk, { stream: true })
  }
  return text + decoder.decode()
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(3)
}

/** The address without a password that it may bear. */
function withoutSecrets(url: string): string {
  return url.replace(/\/\/[^/@]*@/, "//")
}
