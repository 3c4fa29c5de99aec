// Our reading and writing of conduit.policy.v1, held to the generated code.
import { expect, test } from "bun:test"
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf"
import fc from "fast-check"
import { policyV1 } from "../../protos/mod.ts"
import { decodeAnswer, encodeWatch, type PodPolicy } from "./watch_codec.ts"

const text = fc.string({ maxLength: 12 })
const number = fc.integer({ min: 0, max: 65535 })
const texts = fc.array(text, { maxLength: 3 })
const source = fc.oneof(
  fc.record({
    case: fc.constantFrom("identity" as const, "identityPrefix" as const, "network" as const),
    value: text,
  }),
  fc.record({
    case: fc.constant("workload" as const),
    value: fc.record({
      namespace: text,
      kind: text,
      name: text,
      identities: texts,
      addresses: fc.array(fc.uint8Array({ minLength: 4, maxLength: 4 }), { maxLength: 2 }),
      exclusive: fc.boolean(),
    }),
  }),
)
const policy = fc.record({
  namespace: text,
  name: text,
  action: fc.integer({ min: 0, max: 4 }),
  ports: fc.array(fc.integer({ min: 1, max: 65535 }), { maxLength: 4 }),
  allPorts: fc.boolean(),
  ask: fc.record({
    plugin: text,
    headers: texts,
    deadlineMs: fc.integer({ min: 0, max: 10_000 }),
    fail: fc.boolean(),
    version: text,
  }),
  rules: fc.array(
    fc.record({
      from: fc.array(
        source.map(client => ({ client })),
        { maxLength: 3 },
      ),
      to: fc.array(fc.record({ methods: texts, paths: texts }), { maxLength: 3 }),
    }),
    { maxLength: 3 },
  ),
})
const workload = fc.record({
  defaultPolicy: fc.integer({ min: 0, max: 7 }),
  clusterNetworks: texts,
  policies: fc.array(policy, { maxLength: 3 }),
  probes: fc.array(fc.record({ port: fc.integer({ min: 1, max: 65535 }), path: text, grpc: fc.boolean() }), {
    maxLength: 2,
  }),
  trustDomain: text,
  rateLimits: fc.array(
    fc.record({
      namespace: text,
      name: text,
      ports: fc.array(number, { maxLength: 3 }),
      allPorts: fc.boolean(),
      limits: fc.array(
        fc.record({
          name: text,
          requests: number,
          periodS: number,
          burst: number,
          by: fc.nat({ max: 9 }),
          header: text,
        }),
        { maxLength: 2 },
      ),
    }),
    { maxLength: 2 },
  ),
  egress: fc.array(
    fc.record({
      namespace: text,
      name: text,
      action: fc.nat({ max: 9 }),
      rules: fc.array(
        fc.record({
          hosts: fc.array(text, { maxLength: 2 }),
          networks: fc.array(text, { maxLength: 2 }),
          ports: fc.array(number, { maxLength: 3 }),
        }),
        { maxLength: 2 },
      ),
    }),
    { maxLength: 2 },
  ),
})

test("policies are read as the generated code writes them", () => {
  fc.assert(
    fc.property(text, workload, (version, held) => {
      const message = create(policyV1.WatchResponseSchema, {
        version,
        policy: create(
          policyV1.WorkloadPolicySchema,
          held as MessageInitShape<typeof policyV1.WorkloadPolicySchema>,
        ),
      })
      const answer = decodeAnswer(toBinary(policyV1.WatchResponseSchema, message))
      expect(answer).toEqual({ version, policy: held as PodPolicy })
    }),
    { numRuns: 500 },
  )
})

test("an answer without a state is one", () => {
  const message = create(policyV1.WatchResponseSchema, { version: "v" })
  expect(decodeAnswer(toBinary(policyV1.WatchResponseSchema, message))).toEqual({
    version: "v",
    policy: null,
  })
})

test("a client of a kind that is not known is there, and unknown", () => {
  // A source with field 9, as a newer control plane may send it.
  const bytes = [0x12, 10, 0x1a, 8, 0x32, 6, 0x0a, 4, 0x4a, 2, 0x0a, 0]
  const answer = decodeAnswer(Uint8Array.from(bytes))
  expect(answer.policy?.policies[0]?.rules[0]?.from).toEqual([{ client: { case: undefined } }])
})

test("who asks is written as the generated code reads it", () => {
  fc.assert(
    fc.property(text, text, text, (namespace, pod, version) => {
      const read = fromBinary(policyV1.WatchRequestSchema, encodeWatch(namespace, pod, version))
      expect([read.namespace, read.pod, read.version]).toEqual([namespace, pod, version])
    }),
  )
})

test("bytes that are no message are refused, whatever they are", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), bytes => {
      try {
        decodeAnswer(bytes)
      } catch (error) {
        expect((error as Error).constructor.name).toBe("ProtoError")
      }
    }),
    { numRuns: 2_000 },
  )
})
