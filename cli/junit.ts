// JUnit XML, as CI systems read it: for commands that pass or fail.

/** One case. */
export interface JUnitCase {
  readonly name: string
  /** Seconds. */
  readonly seconds: number
  /** Why it failed; null when it did not. */
  readonly failure: string | null
  /** Nothing was decided. */
  readonly skipped?: boolean
}

/**
 * A suite as XML.
 *
 * @param suite  such as `conduit gate`; the cases' class is the same with a dot
 * @param seconds  how long all took
 */
export function junitXml(suite: string, cases: readonly JUnitCase[], seconds: number): string {
  // Strict readers want a type of failures, and the number of errors.
  const type = attribute(suite.split(" ").at(-1) ?? "")
  const lines = cases.map(({ name, seconds, failure, skipped }) => {
    const head = `  <testcase classname="${attribute(suite.replaceAll(" ", "."))}" name="${attribute(name)}" time="${seconds}"`
    if (skipped) return `${head}>\n    <skipped/>\n  </testcase>`
    if (failure === null) return `${head}/>`
    return `${head}>\n    <failure type="${type}" message="${attribute(failure)}"/>\n  </testcase>`
  })
  const failures = cases.filter(({ failure, skipped }) => failure !== null && !skipped).length
  const skipped = cases.filter(one => one.skipped).length
  return `<?xml version="1.0" encoding="UTF-8"?>
<testsuite name="${attribute(suite)}" tests="${cases.length}" failures="${failures}" errors="0" skipped="${skipped}" time="${seconds}">
${lines.join("\n")}
</testsuite>
`
}

/** Text of an attribute. What XML 1.0 has no way to say is left out. */
function attribute(text: string): string {
  return (
    text
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not pass
      .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, "")
      .replace(/[&<>"\n\r\t]/g, sign => `&#${sign.charCodeAt(0)};`)
  )
}
