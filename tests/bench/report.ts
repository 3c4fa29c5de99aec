// The table of a bench: medians, ratios to haproxy, the noise of the A/A control, and what is not claimed.
import { type BenchReport, type Figures, type Measured, median } from "./figures.ts"

const REFERENCE = "haproxy"
const CONTROL = "haproxy (A/A)"

function of(figures: readonly Figures[] | undefined, key: Exclude<keyof Figures, "hung">): number {
  return median((figures ?? []).map(f => f[key]))
}

function row(cells: readonly (string | number)[], widths: readonly number[]): string {
  return cells
    .map((c, i) => (i === 0 ? String(c).padEnd(widths[i] ?? 0) : String(c).padStart(widths[i] ?? 0)))
    .join("  ")
}

/** Prints a report as a table per scenario. */
export function printReport(report: BenchReport): void {
  const { machine } = report
  console.log(
    `${machine.cpu}, ${machine.cores} cores, Linux ${machine.kernel}; medians of ${report.rounds} rounds\n`,
  )
  const widths = [15, 10, 9, 10, 9, 9, 9, 9, 8]
  for (const { scenario, closed, paced } of report.measured) {
    console.log(`${scenario.name} (bodies of ${scenario.bodyBytes} bytes), as fast as it goes`)
    // Where haproxy takes no part, the first peer is what the others are beside.
    const name = REFERENCE in closed ? REFERENCE : (Object.keys(closed)[0] ?? "")
    const beside = `x ${name}`
    console.log(
      row(["", "req/s", beside, "CPU us/req", beside, "p50 ms", "p99 ms", "p99.9 ms", "failed"], widths),
    )
    const reference = closed[name]
    for (const [label, figures] of Object.entries(closed)) {
      const rate = of(figures, "requestsPerSecond")
      const cpu = of(figures, "cpuMicrosPerRequest")
      console.log(
        row(
          [
            label,
            rate.toFixed(0),
            (rate / of(reference, "requestsPerSecond")).toFixed(2),
            cpu.toFixed(1),
            (cpu / of(reference, "cpuMicrosPerRequest")).toFixed(2),
            of(figures, "p50").toFixed(3),
            of(figures, "p99").toFixed(3),
            of(figures, "p999").toFixed(3),
            figures.reduce((sum, f) => sum + f.failures, 0),
          ],
          widths,
        ),
      )
    }
    for (const [share, byPeer] of Object.entries(paced)) {
      console.log(`  at ${share} of the lowest knee`)
      for (const [label, figures] of Object.entries(byPeer)) {
        console.log(
          row(
            [
              `  ${label}`,
              of(figures, "requestsPerSecond").toFixed(0),
              "",
              of(figures, "cpuMicrosPerRequest").toFixed(1),
              "",
              of(figures, "p50").toFixed(3),
              of(figures, "p99").toFixed(3),
              of(figures, "p999").toFixed(3),
              figures.reduce((sum, f) => sum + f.failures, 0),
            ],
            widths,
          ),
        )
      }
    }
    console.log("")
  }
  console.log("anonymous memory after all runs, MB")
  for (const [label, bytes] of Object.entries(report.anonymousBytes)) {
    console.log(row([label, (bytes / 1e6).toFixed(1)], widths))
  }
  for (const [label, why] of Object.entries(report.missing)) console.log(`not measured: ${label} (${why})`)
  console.log(`
"failed" counts connections that broke and streams that were reset (haproxy 2.6 refuses some streams of large
bodies with REFUSED_STREAM, which a client may send again).

What this does not claim: load and backend share the second core, so where the ${CONTROL} row differs from
${REFERENCE}, that much is noise, and a throughput that the second core limits says nothing (compare CPU per
request there). Loopback has no loss and no network latency. Ratios carry over to other machines, absolutes do
not. Conduit counts and balances every request here; the others run without access logs or metrics.`)
}

/** Prints what one peer has more or less than others, as the median over pairs of measurements of the same round. */
export function printPaired(measured: readonly Measured[], label: string, others: readonly string[]): void {
  for (const { scenario, closed } of measured) {
    for (const other of others) {
      const more = (key: "requestsPerSecond" | "cpuMicrosPerRequest"): string => {
        const ratios = (closed[label] ?? []).map(
          (figures, round) => figures[key] / (closed[other]?.[round]?.[key] ?? Number.NaN),
        )
        return `${((median(ratios) - 1) * 100).toFixed(1)} %`
      }
      console.log(
        `${scenario.name.padEnd(15)} ${label} beside ${other}: throughput ${more("requestsPerSecond")}, ` +
          `CPU a request ${more("cpuMicrosPerRequest")}`,
      )
    }
  }
}
