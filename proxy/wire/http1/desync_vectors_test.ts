// Requests that proxies and servers are known to read differently: the cases of AWS's http-desync-guardian, where a
// copy is at hand (CONDUIT_VECTORS names a folder with http1/ in it; by default ../shared/vectors beside the tree),
// else a smaller table of our own. What their tiers mean here:
//   Ambiguous, Severe     refused, or both connections closed after it (a body where a method has no use for one)
//   Compliant, Acceptable passed on, unless EXPECTED_REFUSALS says which stricter rule of ours refuses it
import { expect, test } from "bun:test"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { parse } from "yaml"
import { describeFault } from "./fault.ts"
import { RequestHead } from "./request_head.ts"
import { TextCache } from "./text_cache.ts"

interface Case {
  readonly name: string
  readonly uri: string
  readonly method: string
  readonly version: string
  readonly headers: readonly { readonly name: string; readonly value: string | number }[] | null
  readonly expected: { readonly tier: "Compliant" | "Acceptable" | "Ambiguous" | "Severe" }
}

/** Passed on, and neither connection used again. */
const CLOSED: readonly string[] = [
  "Get with a body and Content-Length",
  "Get with a body and Transfer-Encoding",
  "Head with a body and Content-Length",
  "Head with a body and Transfer-Encoding",
]

/** Cases that may pass and that a stricter rule of ours refuses, with the words of that rule. */
const EXPECTED_REFUSALS: Readonly<Record<string, string>> = {
  // RFC 9112 section 5.1: white space before the colon must be answered with 400.
  "No TE/CL headers, some others are non-compliant": "white space between a header name and its colon",
  "TE and some others are non-compliant": "white space between a header name and its colon",
  "CL and some others are non-compliant": "white space between a header name and its colon",
  // RFC 9110 section 5.5: control characters in fields are dangerous and may be rejected.
  "A non-essential header with a non-printable character (x01)": "an invalid character in a header name",
  "Some-Header\\x01": "an invalid character in a header name",
  "\\x01Some-Header": "an invalid character in a header name",
  "Some-Header: \\x01value": "a control character in a header value",
  "Some-Header: value\\x01": "a control character in a header value",
  // HTTP/0.9 is not spoken, and HTTP/1.2 does not exist.
  "Non-RFC, but OK HTTP/0.9": "only HTTP/1.0 and HTTP/1.1 are spoken here",
  "Empty version, which means HTTP/0.9": "the request target is invalid",
  "Unknown but OK HTTP/1.2": "only HTTP/1.0 and HTTP/1.1 are spoken here",
  // RFC 9112 section 3: single spaces, nothing else.
  "Extra spaces in version": "the version in the request line is invalid",
  "[space] in URI": "the version in the request line is invalid",
  "Empty URI": "the request target is invalid",
  // A fragment in a target is cut by some servers and not by others.
  "Compliant URL": "the request target is invalid",
  // RFC 9112 section 6.1: 501 for codings not understood; several lines are refused as nginx and Go do.
  "Different Transfer-Encoding headers": "Transfer-Encoding does not end in one `chunked`",
  "Different Transfer-Encoding headers combined":
    "no transfer coding other than `chunked` is taken in requests",
  "Transfer-Encoding with a param: chunked;custom_param": "Transfer-Encoding does not end in one `chunked`",
}

/** Ours, for a tree without the vectors. */
const OWN_CASES: readonly Case[] = [
  own("plain", "Compliant", "GET", []),
  own("sized", "Compliant", "POST", [["Content-Length", "5"]]),
  own("chunked", "Compliant", "POST", [["Transfer-Encoding", "chunked"]]),
  own("odd token", "Compliant", "POST", [["X.!#$%&'*+^_`|~9", "v"]]),
  own("Get with a body and Content-Length", "Ambiguous", "GET", [["Content-Length", "5"]]),
  own("Head with a body and Transfer-Encoding", "Ambiguous", "HEAD", [["Transfer-Encoding", "chunked"]]),
  own("both", "Ambiguous", "POST", [
    ["Content-Length", "5"],
    ["Transfer-Encoding", "chunked"],
  ]),
  own("twice", "Ambiguous", "POST", [
    ["Content-Length", "5"],
    ["Content-Length", "5"],
  ]),
  own("underscored coding", "Ambiguous", "POST", [["Transfer_Encoding", "chunked"]]),
  own("dashed coding", "Ambiguous", "POST", [["Transfer--Encoding", "chunked"]]),
  own("leading underscore", "Ambiguous", "POST", [["_Content-Length", "5"]]),
  own("space in coding", "Ambiguous", "POST", [["Transfer-Encoding ", "chunked"]]),
  own("control character in coding", "Severe", "POST", [["Transfer-Encoding", "\x0bchunked"]]),
  own("no-break space in length", "Severe", "POST", [["Content-Length", "5\xa0"]]),
]

function own(
  name: string,
  tier: Case["expected"]["tier"],
  method: string,
  headers: readonly (readonly [string, string])[],
): Case {
  const fields = headers.map(([field, value]) => ({ name: field, value }))
  return { name, uri: "/", method, version: "HTTP/1.1", headers: fields, expected: { tier } }
}

function readCases(): { readonly source: string; readonly cases: readonly Case[] } {
  const root = process.env.CONDUIT_VECTORS ?? join(import.meta.dir, "../../../../shared/vectors")
  const folder = join(root, "http1")
  if (!existsSync(folder)) {
    if (process.env.CONDUIT_VECTORS !== undefined) {
      throw new Error(`CONDUIT_VECTORS is set, and ${folder} does not exist`)
    }
    console.warn(
      "desync vectors: no copy of http-desync-guardian's cases here; running our own smaller table",
    )
    return { source: "our own table", cases: OWN_CASES }
  }
  const files = readdirSync(folder).filter(file => file.endsWith(".yaml"))
  const cases = files.flatMap(file => parse(readFileSync(join(folder, file), "utf8")) as Case[])
  return { source: "http-desync-guardian", cases }
}

/** The request as bytes; the vectors leave out Host, which our rules require. */
function encode(item: Case, encoding: "latin1" | "utf8"): Uint8Array {
  const version = item.version === "" ? "" : ` ${item.version}`
  const fields = (item.headers ?? []).map(({ name, value }) => `${name}: ${value}\r\n`).join("")
  return Buffer.from(`${item.method} ${item.uri}${version}\r\nHost: localhost\r\n${fields}\r\n`, encoding)
}

function judge(bytes: Uint8Array): {
  readonly verdict: "passed" | "closed" | "refused"
  readonly why: string
} {
  const head = new RequestHead(new TextCache())
  const result = head.parse(bytes, 0, bytes.length)
  if (result <= 0) return { verdict: "refused", why: describeFault(result).text }
  expect(result).toBe(bytes.length)
  return { verdict: head.hasSuspectBody ? "closed" : "passed", why: "" }
}

const { source, cases } = readCases()

cases.forEach((item, index) => {
  test(`desync case ${index} (${source}), ${item.expected.tier}: ${item.name}`, () => {
    // The vectors do not say how characters above 127 become bytes: both ways must hold.
    const text = JSON.stringify([item.uri, item.headers])
    const isLatin1 = Buffer.from(text, "latin1").toString("latin1") === text
    for (const encoding of isLatin1 ? (["latin1", "utf8"] as const) : (["utf8"] as const)) {
      const { verdict, why } = judge(encode(item, encoding))
      if (item.expected.tier === "Ambiguous" || item.expected.tier === "Severe") {
        expect(verdict).toBe(CLOSED.includes(item.name) ? "closed" : "refused")
      } else {
        const refusal = EXPECTED_REFUSALS[item.name]
        expect(verdict).toBe(refusal === undefined ? "passed" : "refused")
        if (refusal !== undefined) expect(why).toContain(refusal)
      }
    }
  })
})

test("there are cases of every tier", () => {
  const tiers = new Set(cases.map(item => item.expected.tier))
  expect(cases.length).toBeGreaterThanOrEqual(OWN_CASES.length)
  for (const tier of ["Compliant", "Ambiguous", "Severe"] as const) expect(tiers).toContain(tier)
})
