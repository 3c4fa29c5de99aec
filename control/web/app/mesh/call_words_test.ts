// What people write for the ends of a call.
import { expect, test } from "bun:test"
import { headersOf, partyOf, selectorOf } from "./call_words.ts"

test("an end is a resource, or a name or address with its port", () => {
  expect(partyOf("shop/deploy/web")).toEqual({ namespace: "shop", kind: "deployment", name: "web", port: "" })
  expect(partyOf("svc/cart:http")).toEqual({ namespace: "", kind: "service", name: "cart", port: "http" })
  expect(partyOf(" cart.shop:80 ")).toEqual({ host: "cart.shop", port: "80" })
  expect(partyOf("fd00::1")).toEqual({ host: "fd00::1" })
  expect(partyOf("[fd00::1]:80")).toEqual({ host: "fd00::1", port: "80" })
  for (const none of ["", "/", "a//b", "a/b/c/d", "svc/a:1:2", ":80"]) expect(partyOf(none)).toBeNull()
})

test("what is tapped is a resource; a name or a port is none", () => {
  expect(selectorOf("shop/sts/db")).toEqual({ kind: "statefulset", name: "db", namespace: "shop" })
  expect(selectorOf("ns/shop")).toEqual({ kind: "namespace", name: "shop", namespace: "" })
  for (const none of ["web.shop", "shop/deploy/web:80"]) expect(selectorOf(none)).toBeNull()
})

test("header fields are lines of a name and a value; the first that is none is told", () => {
  expect(headersOf("x-canary: yes\n\n  Host :a:b ")).toEqual([
    { name: "x-canary", value: "yes" },
    { name: "Host", value: "a:b" },
  ])
  expect(headersOf("a: b\nno field")).toBe("no field")
})
