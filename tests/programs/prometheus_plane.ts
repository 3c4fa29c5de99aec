// A control plane whose figures come from a Prometheus: filled with what the proxies of a mesh had on /metrics at some moments, as
// the scrape configuration would have it.
import { rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { createConnectTransport } from "@connectrpc/connect-node"
import { type ApiClient, createApiClient } from "../../protos/mod.ts"
import { type ControlService, startControlService } from "../lab/control_service.ts"
import { tempFolder } from "../lab/temp_folder.ts"
import { RunningPrometheus } from "./prometheus.ts"

/**
 * When the moments were, seconds before now. Between the second and the third a proxy may have begun anew: more time than that in
 * which Prometheus takes the last value for the present one (5 min), as no file of samples can say that a series is over.
 */
const SCRAPED_AGO_S = [860, 800, 240, 120]

/** How old proxies say that they are, seconds. */
const AGE_S = 60

/** Prometheus, telemetry and the API. */
export class PrometheusPlane implements AsyncDisposable {
  /** The API. */
  readonly api: ApiClient
  private readonly stops: readonly (() => Promise<void>)[]

  private constructor(api: ApiClient, stops: readonly (() => Promise<void>)[]) {
    this.api = api
    this.stops = stops
  }

  /**
   * Starts all three.
   *
   * @param objects  the cluster's
   * @param scrapes  Prometheus text by Deployment, at four moments
   */
  static async of(
    objects: readonly object[],
    namespace: string,
    scrapes: readonly Readonly<Record<string, string>>[],
  ): Promise<PrometheusPlane> {
    const nowS = Math.floor(Date.now() / 1000)
    const samples = scrapes.flatMap((scrape, moment) =>
      Object.entries(scrape).flatMap(([deployment, text]) =>
        samplesOf(text, namespace, deployment, nowS - (SCRAPED_AGO_S[moment] ?? Number.NaN)),
      ),
    )
    const folder = tempFolder("prometheus-plane")
    const stops: (() => Promise<void>)[] = [async () => rmSync(folder, { recursive: true, force: true })]
    const begun = <T extends RunningPrometheus | ControlService>(running: T): T => {
      stops.unshift(() => running.stop())
      return running
    }
    try {
      writeFileSync(
        join(folder, "objects.json"),
        JSON.stringify({ apiVersion: "v1", kind: "List", items: objects }),
      )
      // Series by series, each as time went.
      const bySeries = samples.toSorted((a, b) => seriesIn(a).localeCompare(seriesIn(b)))
      const text = `${bySeries.join("\n")}\n# EOF\n`
      const { url } = begun(await RunningPrometheus.withSamples(text))
      const telemetry = begun(await startControlService("telemetry", [], { CONDUIT_PROMETHEUS_URL: url }))
      const env = { CONDUIT_TELEMETRY_ADDR: `127.0.0.1:${telemetry.port}` }
      const { port } = begun(await startControlService("api", ["--manifests", folder], env))
      const baseUrl = `http://127.0.0.1:${port}`
      return new PrometheusPlane(
        createApiClient(createConnectTransport({ baseUrl, httpVersion: "1.1" })),
        stops,
      )
    } catch (error) {
      for (const stop of stops) await stop()
      throw error
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const stop of this.stops) await stop()
  }
}

function seriesIn(sample: string): string {
  return sample.slice(0, sample.lastIndexOf("}"))
}

/** Samples with the labels that the scrape configuration gives them. */
function samplesOf(text: string, namespace: string, deployment: string, timeS: number): string[] {
  const target = `namespace="${namespace}",pod="${deployment}-1",deployment="${deployment}"`
  return text
    .split("\n")
    .filter(line => line !== "" && !line.startsWith("#"))
    .map(line => {
      const at = line.lastIndexOf(" ")
      const [series, value] = [line.slice(0, at), line.slice(at + 1)]
      const name = series.split("{")[0] ?? ""
      const own = series.slice(name.length + 1, -1)
      const labels = own === "" ? target : `${own},${target}`
      return `${name}{${labels}} ${name === "process_start_time_seconds" ? timeS - AGE_S : value} ${timeS}`
    })
}
