// Reads sums out of Prometheus text, for tests that ask a proxy what it saw.

const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"/g

/**
 * Sum of all samples of a metric whose labels include the given ones; 0 when there are none.
 *
 * @param text  the Prometheus text exposition format, version 0.0.4
 */
export function sumOf(text: string, metric: string, labels: Readonly<Record<string, string>> = {}): number {
  let sum = 0
  for (const line of text.split("\n")) {
    const [, name, given = "", value] = SAMPLE.exec(line) ?? []
    if (name !== metric) continue
    const has = new Map([...given.matchAll(LABEL)].map(([, key, text]) => [key, text]))
    if (Object.entries(labels).every(([key, wanted]) => has.get(key) === wanted)) sum += Number(value)
  }
  return sum
}
