import { expect, test } from "bun:test"
import { type GuardOptions, refusal, type Sender } from "./guard.ts"

const FORWARDED: GuardOptions = { viewers: "forwarded", hosts: new Set() }
const REACHABLE: GuardOptions = { viewers: "reachable", hosts: new Set(["mesh.example"]) }

function sender(over: Partial<Sender> = {}): Sender {
  const own = { method: "POST", forApi: true, local: true, host: "127.0.0.1:8084" }
  return { ...own, origin: undefined, site: undefined, mode: undefined, ...over }
}

test("its own page is served, by any name of loopback", () => {
  for (const host of ["127.0.0.1:50750", "localhost:8084", "LOCALHOST", "[::1]:1"])
    expect(
      refusal(sender({ host, origin: `http://${host}`, site: "same-origin", mode: "cors" }), FORWARDED),
    ).toBe(null)
})

test("who has not come by a forward is refused, unless the mesh is as open", () => {
  expect(refusal(sender({ local: false }), FORWARDED)).toContain("conduit dashboard")
  expect(refusal(sender({ local: false }), REACHABLE)).toBe(null)
})

test("a name that was made to lead here is refused", () => {
  for (const host of ["evil.example", "evil.example:8084", "127.0.0.1.evil.example", "", undefined])
    expect(refusal(sender({ host }), FORWARDED)).toContain("(Host)")
  expect(refusal(sender({ host: "mesh.example" }), FORWARDED)).toContain("(Host)")
  expect(refusal(sender({ host: "mesh.example" }), REACHABLE)).toBe(null)
})

test("pages of other sites are refused, of other ports of loopback too", () => {
  for (const origin of ["http://evil.example", "null", "http://127.0.0.1:3000", "http://localhost:8084"])
    expect(refusal(sender({ origin }), FORWARDED)).toContain("(Origin)")
  for (const site of ["cross-site", "same-site", "whatever"])
    expect(refusal(sender({ site, mode: "no-cors" }), FORWARDED)).toContain("(Sec-Fetch-Site)")
})

test("a link of another site may lead to the page, and to no call", () => {
  const followed = { method: "GET", site: "cross-site", mode: "navigate" }
  expect(refusal(sender({ ...followed, forApi: false }), FORWARDED)).toBe(null)
  expect(refusal(sender({ ...followed, forApi: true }), FORWARDED)).toContain("(Sec-Fetch-Site)")
  expect(refusal(sender({ ...followed, method: "POST", forApi: false }), FORWARDED)).toContain(
    "(Sec-Fetch-Site)",
  )
})
