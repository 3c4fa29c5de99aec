// What policies say of calls.
import { expect, test } from "bun:test"
import { create, type MessageInitShape } from "@bufbuild/protobuf"
import { Access, AuthorizationRowSchema, ResourceSchema } from "../../../../protos/mod.ts"
import { callRights } from "./may_call.ts"

const named = (name: string) => create(ResourceSchema, { namespace: "shop", kind: "deployment", name })
const rightOf = (...ports: MessageInitShape<typeof AuthorizationRowSchema>[]) => {
  const rows = ports.map(one => {
    const row = create(AuthorizationRowSchema, one)
    row.from = named("web")
    row.to = named("pay")
    return row
  })
  return callRights(rows).get("shop/deployment/web shop/deployment/pay")
}

test("one who may call every port may call; who may call some of them, or ask for some things, may in part", () => {
  const [open, closed] = [
    { port: 80, access: Access.ALLOWED },
    { port: 81, access: Access.DENIED },
  ]
  expect(rightOf(open, { ...open, port: 81 })?.may).toBe("may")
  expect(rightOf(closed, closed)?.may).toBe("denied")
  expect(rightOf(open, closed)?.may).toBe("in part")
  expect(rightOf({ port: 80, access: Access.SOME })?.may).toBe("in part")
  expect(rightOf()).toBeUndefined()
})

test("what decides is told of each port", () => {
  const denied = {
    port: 81,
    access: Access.DENIED,
    policy: "shop/clients",
    reason: "has no rule for this caller",
  }
  expect(rightOf({ port: 80, access: Access.SOME, requests: ["GET /a: allowed"] }, denied)?.why).toEqual([
    "port 80: in part",
    "GET /a: allowed",
    "port 81: denied, shop/clients, has no rule for this caller",
  ])
})
