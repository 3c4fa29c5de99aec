import { expect, test } from "bun:test"
import { create } from "@bufbuild/protobuf"
import { WorkloadPoliciesSchema } from "../../../../protos/mod.ts"
import type { Workload } from "../mesh/mesh.ts"
import { mayCall } from "./may_call.ts"

const held = (defaultPolicy: string, actions: readonly string[] = []) =>
  create(WorkloadPoliciesSchema, { defaultPolicy, policies: actions.map(action => ({ action })) })
const caller = (meshed: number, total: number): Workload => ({
  ...{ key: "", namespace: "", kind: "", name: "", http: undefined, tcp: undefined },
  ...{ meshed, total },
})

test("the default policy says who may, and a caller without proxy proves nothing", () => {
  expect(mayCall(caller(0, 1), held("all-unauthenticated"))).toBe("may")
  expect(mayCall(caller(1, 1), held("cluster-authenticated"))).toBe("may")
  expect(mayCall(caller(0, 1), held("all-authenticated"))).toBe("denied")
  expect(mayCall(caller(1, 2), held("all-authenticated"))).toBe("depends")
  expect(mayCall(caller(1, 1), held("deny"))).toBe("denied")
})

test("where policies allow or deny, the call decides; where none is known, nothing is claimed", () => {
  expect(mayCall(caller(1, 1), held("deny", ["Allow"]))).toBe("depends")
  expect(mayCall(caller(1, 1), held("all-unauthenticated", ["Deny"]))).toBe("depends")
  expect(mayCall(caller(1, 1), held("deny", ["Audit"]))).toBe("denied")
  expect(mayCall(caller(1, 1), undefined)).toBe("unknown")
  expect(mayCall(caller(1, 1), held("of a later version"))).toBe("unknown")
})
