// Tokens that the API server is asked about: whom it names, and what a caller is told when it does not.
import { beforeEach, expect, test } from "bun:test"
import { KubeError } from "../../deploy/kubernetes/mod.ts"
import type { TokenVerdict } from "../kubernetes/mod.ts"
import { createLog } from "../log.ts"
import { kubernetesReviewer, MAX_REASON_LENGTH } from "./kubernetes_reviewer.ts"
import { MAX_TOKEN_LENGTH } from "./token_reviewer.ts"

let lines: string[] = []
let asked: string[] = []
let answer: TokenVerdict | Error

beforeEach(() => {
  lines = []
  asked = []
})

const log = createLog({ format: "plain", write: line => lines.push(line), now: () => new Date(0) })
const reviewer = kubernetesReviewer(
  {
    token: async (token, audience) => {
      asked.push(`${token} for ${audience}`)
      if (answer instanceof Error) throw answer
      return answer
    },
  },
  log,
)

async function refusal(token: string): Promise<{ reason: string; message: string }> {
  try {
    await reviewer.review(token)
  } catch (error) {
    return error as { reason: string; message: string }
  }
  throw new Error("it was taken")
}

test("the workload is whom the API server names, asked with our audience", async () => {
  answer = { holds: true, namespace: "shop", serviceAccount: "web" }
  expect(await reviewer.review("t")).toEqual({ namespace: "shop", serviceAccount: "web" })
  expect(asked).toEqual(["t for identity.conduit.io"])
})

test("a token that does not hold is refused with the API server's reason, cut", async () => {
  answer = { holds: false, why: "x".repeat(10_000) }
  const { reason, message } = await refusal("t")
  expect(reason).toBe("token")
  expect(message.length).toBeLessThan(MAX_REASON_LENGTH + 50)
})

test("names that no certificate can bear are refused", async () => {
  answer = { holds: true, namespace: "shop/../x", serviceAccount: "web" }
  expect((await refusal("t")).reason).toBe("token")
})

test("while the API server cannot be asked callers are told to come again, and the log says why, once", async () => {
  answer = new KubeError("10.96.0.1 refused", { status: 0 })
  const { reason, message } = await refusal("t")
  await refusal("t")
  expect(reason).toBe("unavailable")
  expect(message).not.toContain("10.96.0.1")
  expect(lines.length).toBe(1)
  expect(lines[0]).toContain("10.96.0.1 refused")
})

test("what cannot be a token costs no question", async () => {
  expect((await refusal("")).reason).toBe("token")
  expect((await refusal("x".repeat(MAX_TOKEN_LENGTH + 1))).reason).toBe("token")
  expect(asked).toEqual([])
})
