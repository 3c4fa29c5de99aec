// A call as it is typed, and its explanation as it is read.
import { expect, test } from "bun:test"
import { create } from "@bufbuild/protobuf"
import { CallOutcome, ExplainCallResponseSchema } from "../../protos/mod.ts"
import { callText, isAnswered, parseCall, parseHeader, reportOf } from "./call.ts"

const WEB = { namespace: "", kind: "deployment", name: "web", host: "", port: "" }
const host = (name: string, port = "") => ({ namespace: "", kind: "", name: "", host: name, port })

test.each([
  [["deploy/web", "cart"], WEB, host("cart")],
  [["deploy", "web", "cart.shop:8080"], WEB, host("cart.shop", "8080")],
  [["deploy", "web", "svc", "cart:http"], WEB, { ...WEB, kind: "service", name: "cart", port: "http" }],
  [
    ["shop/deploy/web", "desk/sts/db"],
    { ...WEB, namespace: "shop" },
    { ...WEB, namespace: "desk", kind: "statefulset", name: "db" },
  ],
  [["192.0.2.1", "pod/web-1:80"], host("192.0.2.1"), { ...WEB, kind: "pod", name: "web-1", port: "80" }],
  [["deploy/web", "[fd00::1]:80"], WEB, host("fd00::1", "80")],
  [["deploy/web", "fd00::1"], WEB, host("fd00::1")],
  [["deploy/web", "cart.shop.svc.cluster.local:80"], WEB, host("cart.shop.svc.cluster.local", "80")],
] as const)("%j names both ends", (words, from, to) => {
  const call = parseCall(words)
  expect([call.from, call.to.party]).toEqual([from, to])
})

test("a URL says host, port, path and whether it is encrypted", () => {
  expect(parseCall(["deploy/web", "http://cart.shop:8080/items?x=1"]).to).toEqual({
    party: host("cart.shop", "8080"),
    path: "/items?x=1",
    protocol: "",
  })
  expect(parseCall(["deploy/web", "https://api.example.com"]).to).toEqual({
    party: host("api.example.com", "443"),
    path: "/",
    protocol: "tls",
  })
})

test.each([
  [["deploy/web"], "takes FROM and TO"],
  [["deploy/web", "cart", "more"], "takes FROM and TO"],
  [["deploy/web:80", "cart"], "names a port"],
  [["deployx/web", "cart"], 'no resource is called "deployx" (did you mean'],
  [["deploy/web", "a/b/c/d"], "neither a resource"],
  [["deploy/web", "svc/"], "neither a resource"],
  [["deploy/web", "ca rt"], "neither a resource"],
] as const)("%j is refused with what to type instead", (words, sentence) => {
  expect(() => parseCall(words)).toThrow(sentence)
})

test("header fields are written as in HTTP", () => {
  expect(parseHeader("x-canary: yes: and no")).toEqual({ name: "x-canary", value: "yes: and no" })
  for (const bad of ["x-canary", ": yes", "x canary: yes"])
    expect(() => parseHeader(bad)).toThrow("write it as in HTTP")
})

const CART = { kind: "Service", namespace: "shop", name: "cart", field: "" }
const ANSWER = create(ExplainCallResponseSchema, {
  fromPod: "web-1",
  steps: [
    { name: "name", outcome: CallOutcome.OK, decision: "cart is Service shop/cart", object: CART },
    { name: "service", outcome: CallOutcome.NONE, decision: "no port", object: CART },
    {
      name: "endpoints",
      outcome: CallOutcome.FAIL,
      decision: "no endpoint",
      reason: "no pod has the labels app=cart",
      object: { ...CART, field: "spec.selector" },
      details: ["a detail"],
      notes: [{ text: "a note", object: { ...CART, field: "spec.ports" } }],
      change: "another selector",
    },
  ],
  verdict: {
    answered: 0,
    status: 503,
    error: "no-endpoint",
    step: "endpoints",
    summary: "503 no-endpoint: nobody",
  },
})
const AT = { file: "shop.yaml", line: 7 }
const find = ({ field }: { field: string }) => (field === "" ? null : AT)

test("a person reads each decision, its cause with the line, and what would change it; an object again only for another field", () => {
  expect(callText(ANSWER, "web calls cart\n", { ticks: false, colour: false }, find).split("\n")).toEqual([
    "web calls cart",
    "",
    "[ok]   name       cart is Service shop/cart",
    "                  at Service shop/cart",
    "[skip] service    no port",
    "[fail] endpoints  no endpoint",
    "                  no pod has the labels app=cart",
    "                  - a detail",
    "                  at Service shop/cart, spec.selector (shop.yaml:7)",
    "                  - a note",
    "                    at Service shop/cart, spec.ports (shop.yaml:7)",
    "                  -> another selector",
    "",
    "[fail] 503 no-endpoint: nobody",
    "       conduit-proxy-error: no-endpoint",
    "",
  ])
  const ticked = callText(ANSWER, "", { ticks: true, colour: true }, find)
  expect(ticked).toContain("\u001b[31m✘\u001b[0m endpoints")
  expect(ticked).toContain("→ another selector")
})

test("a program reads the same in a stable shape, null where nothing is known", () => {
  expect(isAnswered(ANSWER)).toBe(false)
  const report = reportOf(ANSWER, ["deploy/web", "cart"], find)
  expect(report).toMatchObject({
    from: "deploy/web",
    to: "cart",
    fromPod: "web-1",
    verdict: { answered: 0, status: 503, error: "no-endpoint", step: "endpoints" },
  })
  expect(report.steps[0]).toEqual({
    name: "name",
    outcome: "ok",
    decision: "cart is Service shop/cart",
    reason: null,
    object: { kind: "Service", namespace: "shop", name: "cart", field: null, file: null, line: null },
    details: [],
    notes: [],
    change: null,
  })
  expect(report.steps[2]?.object).toEqual({
    kind: "Service",
    namespace: "shop",
    name: "cart",
    field: "spec.selector",
    ...AT,
  })
})
