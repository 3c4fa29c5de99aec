// What callers say of a trace: the specifications' own examples, and what must be taken for nothing.
import { expect, test } from "bun:test"
import type { RequestView } from "../http/mod.ts"
import { readTraceContext, replacedFields, replacedNames } from "./trace_context.ts"

const TRACE = "0af7651916cd43dd8448eb211c80319c"
const SPAN = "b7ad6b7169203331"
const OURS = "00f067aa0ba902b7"

function request(headers: Record<string, string>): RequestView {
  const header = (name: string) => headers[name]
  return { method: "GET", authority: "", path: "/", isGrpc: false, upgrade: "", header, values: header }
}

/** The fields with which a request goes on. */
function onward(headers: Record<string, string>): Record<string, string> {
  const context = readTraceContext(request(headers))
  if (context === null) return headers
  const names = replacedNames(context)
  const kept = Object.entries(headers).filter(([name]) => !names.includes(name))
  return Object.fromEntries([...kept, ...replacedFields(context, OURS)])
}

test("traceparent is continued by another parent, with the flags as they were, and tracestate stays", () => {
  expect(onward({ traceparent: `00-${TRACE}-${SPAN}-01`, tracestate: "a=b" })).toEqual({
    traceparent: `00-${TRACE}-${OURS}-01`,
    tracestate: "a=b",
  })
  expect(onward({ traceparent: `00-${TRACE}-${SPAN}-03` }).traceparent).toBe(`00-${TRACE}-${OURS}-03`)
})

test("B3 in one field and in several is continued in its own form", () => {
  expect(onward({ b3: `${TRACE}-${SPAN}-1` })).toEqual({ b3: `${TRACE}-${OURS}-1-${SPAN}` })
  expect(onward({ b3: "a3ce929d0e0e4736-00f067aa0ba902b0" })).toEqual({
    b3: `a3ce929d0e0e4736-${OURS}-1-00f067aa0ba902b0`,
  })
  expect(onward({ "x-b3-traceid": "A3CE929D0E0E4736", "x-b3-spanid": SPAN, "x-b3-flags": "1" })).toEqual({
    "x-b3-traceid": "a3ce929d0e0e4736",
    "x-b3-spanid": OURS,
    "x-b3-parentspanid": SPAN,
    "x-b3-sampled": "1",
  })
})

test("two forms of one trace are both continued; another trace's form is left alone", () => {
  const both = { traceparent: `00-${TRACE}-${SPAN}-01`, b3: `${TRACE}-${SPAN}-1` }
  expect(onward(both)).toEqual({
    traceparent: `00-${TRACE}-${OURS}-01`,
    b3: `${TRACE}-${OURS}-1-${SPAN}`,
  })
  const foreign = { traceparent: `00-${TRACE}-${SPAN}-01`, b3: `${"1".repeat(32)}-${SPAN}-1` }
  expect(onward(foreign).b3).toBe(foreign.b3)
})

test.each([
  [{ traceparent: `00-${TRACE}-${SPAN}-00` }, 0],
  [{ traceparent: `00-${TRACE}-${SPAN}-01` }, 1],
  // A later version may say more; what 00 says stands where it stood.
  [{ traceparent: `cc-${TRACE}-${SPAN}-01-what-may-come` }, 1],
  [{ b3: "0" }, 0],
  [{ b3: "d" }, 1],
  [{ b3: `${TRACE}-${SPAN}-0` }, 0],
  [{ b3: `${TRACE}-${SPAN}` }, -1],
  [{ "x-b3-sampled": "0" }, 0],
  [{ "x-b3-traceid": TRACE, "x-b3-spanid": SPAN, "x-b3-sampled": "true" }, 1],
  [{ "x-b3-traceid": TRACE, "x-b3-spanid": SPAN }, -1],
])("%j decides %d", (headers, sampled) => {
  expect(readTraceContext(request(headers as Record<string, string>))?.sampled).toBe(sampled as 0 | 1 | -1)
})

test.each([
  `00-${"0".repeat(32)}-${SPAN}-01`,
  `00-${TRACE}-${"0".repeat(16)}-01`,
  `ff-${TRACE}-${SPAN}-01`,
  `00-${TRACE}-${SPAN}-01-extra`,
  `00-${TRACE}-${SPAN}-1`,
  `00-${TRACE.toUpperCase()}-${SPAN}-01`,
  `cc-${TRACE}-${SPAN}-01.what`,
  `00-${TRACE}-${SPAN}-01,00-${TRACE}-${SPAN}-01`,
  "",
])("traceparent %j is as if it were not there", traceparent => {
  expect(readTraceContext(request({ traceparent }))).toBeNull()
})

test.each(["", "-", `${TRACE}`, `${TRACE}-1`, `zz-${SPAN}-1`, `${TRACE.slice(1)}-${SPAN}-1`])(
  "b3 %j is as if it were not there",
  b3 => {
    expect(readTraceContext(request({ b3 }))).toBeNull()
  },
)
