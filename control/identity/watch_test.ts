// WatchTrustAnchors over real TLS: what is in force now, every change at once, and nothing kept for those who left.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { derToPem } from "../../deploy/identity/mod.ts"
import { eventually, IdentityLab, newAuthority } from "./lab.ts"
import { AnchorBell } from "./service.ts"

const lab = new IdentityLab()

beforeAll(async () => {
  await lab.prepare()
  await lab.run()
})
afterAll(() => lab.close())

function watch() {
  const end = new AbortController()
  const stream = lab.client().watchTrustAnchors({}, { signal: end.signal })[Symbol.asyncIterator]()
  return {
    /** PEM of the next message. */
    async next(): Promise<string> {
      return (await stream.next()).value?.trustAnchors.map(derToPem).join("") ?? ""
    },
    async leave(): Promise<void> {
      const rest = stream.next().catch(() => {})
      end.abort()
      await rest
    },
  }
}

async function watchers(): Promise<number> {
  return Number(/^identity_anchor_watchers (\d+)$/m.exec(await lab.metrics())?.[1])
}

test("every watcher gets the anchors in force at once, each change as it comes, and goes without a trace", async () => {
  const [one, other] = [watch(), watch()]
  const { anchor } = lab.authority
  expect([await one.next(), await other.next()]).toEqual([anchor, anchor])
  await eventually(async () => (await watchers()) === 2)
  const next = await newAuthority()
  lab.write("anchors.crt", anchor + next.anchor)
  expect([await one.next(), await other.next()]).toEqual([anchor + next.anchor, anchor + next.anchor])
  await other.leave()
  await eventually(async () => (await watchers()) === 1)
  // A file that cannot be used changes nothing, and nobody is told anything.
  lab.write("anchors.crt", "no certificate")
  await eventually(() => lab.lines.some(line => line.includes("holds no PEM certificate")))
  lab.write("anchors.crt", anchor)
  expect(await one.next()).toBe(anchor)
  await one.leave()
  await eventually(async () => (await watchers()) === 0)
}, 30_000)

test("a change between two messages is not missed", async () => {
  const bell = new AnchorBell()
  const { signal } = new AbortController()
  const seen = bell.rung
  bell.ring()
  await bell.heard(seen, signal)
  const later = bell.heard(bell.rung, signal)
  expect(bell.waiting).toBe(1)
  bell.ring()
  await later
  expect(bell.waiting).toBe(0)
})
