// What a proxy holds against what is served: by version, and by name where versions differ.
import { expect, test } from "bun:test"
import { create } from "@bufbuild/protobuf"
import { ServedPoliciesResponseSchema } from "../../protos/mod.ts"
import { compare, type ProxyPolicies } from "./proxy_policies.ts"

const [SERVED] = create(ServedPoliciesResponseSchema, {
  pods: [
    {
      ...{ namespace: "shop", pod: "cart-1", version: "b", defaultPolicy: "deny" },
      policies: ["AuthorizationPolicy shop/clients", "RateLimitPolicy shop/calm"],
    },
  ],
}).pods

function held(version: string, ...policies: string[]): ProxyPolicies {
  return { connected: true, version, defaultPolicy: "deny", policies }
}

test("one version is one content", () => {
  const proxy = held("b", "AuthorizationPolicy shop/clients", "RateLimitPolicy shop/calm")
  expect(compare("shop/cart-1", proxy, SERVED)).toMatchObject({ standing: "same", stale: [], missing: [] })
})

test("what is held and not served is stale, what is served and not held is missing", () => {
  const proxy = held("a", "AuthorizationPolicy shop/clients", "EgressPolicy shop/old")
  expect(compare("shop/cart-1", proxy, SERVED)).toMatchObject({
    standing: "other names",
    stale: ["EgressPolicy shop/old"],
    missing: ["RateLimitPolicy shop/calm"],
  })
})

test("the same names with other content, nothing yet, and a pod that is not known are told apart", () => {
  const names = ["AuthorizationPolicy shop/clients", "RateLimitPolicy shop/calm"]
  expect(compare("shop/cart-1", held("a", ...names), SERVED).standing).toBe("other content")
  expect(compare("shop/cart-1", held(""), SERVED).standing).toBe("nothing yet")
  expect(compare("shop/gone", held("a"), undefined)).toMatchObject({
    standing: "unknown pod",
    servedDefaultPolicy: null,
  })
})
