// The two-stage evaluator against a naive reading of the rules, explanations against verdicts, and paths that are
// let through against what servers of several kinds make of them. The table of cases is tests/policy/cases.ts.
import { expect, test } from "bun:test"
import fc from "fast-check"
import { explain } from "./explain.ts"
import { PolicySet } from "./policy_set.ts"
import {
  ACTION_ALLOW,
  ACTION_AUDIT,
  ACTION_DENY,
  type Operation,
  type Policy,
  type Source,
  type WorkloadPolicy,
} from "./workload_policy.ts"

const WEB = "spiffe://cluster.local/ns/shop/sa/web"
const OTHER = "spiffe://cluster.local/ns/shopping/sa/web"
const FOREIGN = "spiffe://elsewhere/ns/shop/sa/web"

const address = fc.constantFrom("10.0.0.1", "10.0.0.2", "192.0.2.1", "fd00::1", "2001:db8::1")
const client = fc.record({ address, spiffeId: fc.constantFrom("", WEB, OTHER, FOREIGN) })
const port = fc.constantFrom(80, 81, 82)
const method = fc.constantFrom("GET", "POST", "get", "Post", "X")
const path = fc.constantFrom("/", "/a", "/a/", "/a/b", "/a/bc", "/b", "/a/b/c", "*", "/ab", "/a?x", "/%61")
const pattern = fc.constantFrom("/a", "/a/", "/a/*", "/a*", "/a/b*", "/*", "/", "/b", "*", "/a/b/c", "/ab")
const source: fc.Arbitrary<Source> = fc.oneof(
  fc.constantFrom<Source>(
    { client: { case: "identity", value: WEB } },
    { client: { case: "identity", value: FOREIGN } },
    { client: { case: "identityPrefix", value: "" } },
    { client: { case: "identityPrefix", value: "spiffe://cluster.local/ns/shop/" } },
    { client: { case: "network", value: "10.0.0.0/31" } },
    { client: { case: "network", value: "2001:db8::/32" } },
    { client: { case: "network", value: "nonsense" } },
    { client: { case: undefined } },
  ),
  fc.boolean().map(
    (exclusive): Source => ({
      client: {
        case: "workload",
        value: {
          namespace: "shop",
          kind: "deployment",
          name: "web",
          identities: [WEB],
          addresses: [Uint8Array.of(10, 0, 0, 1)],
          exclusive,
        },
      },
    }),
  ),
)
const operation: fc.Arbitrary<Operation> = fc.record({
  methods: fc.uniqueArray(fc.constantFrom("GET", "POST"), { maxLength: 2 }),
  paths: fc.uniqueArray(pattern, { maxLength: 3 }),
})
const policy: fc.Arbitrary<Policy> = fc.record({
  namespace: fc.constant("shop"),
  name: fc.constantFrom("a", "b", "c"),
  action: fc.constantFrom(ACTION_ALLOW, ACTION_DENY, ACTION_AUDIT, 9),
  ports: fc.uniqueArray(port, { maxLength: 2 }),
  allPorts: fc.boolean(),
  rules: fc.array(
    fc.record({ from: fc.array(source, { maxLength: 2 }), to: fc.array(operation, { maxLength: 2 }) }),
    {
      maxLength: 3,
    },
  ),
})
const workload: fc.Arbitrary<WorkloadPolicy> = fc.record({
  defaultPolicy: fc.integer({ min: 0, max: 7 }),
  clusterNetworks: fc.constant(["10.0.0.0/8", "fd00::/8"]),
  policies: fc.array(policy, { maxLength: 6 }),
  probes: fc.constant([]),
  trustDomain: fc.constant("cluster.local"),
})

// ---- the naive reading ----

function isFrom(
  one: Source,
  { address: from, spiffeId }: { address: string; spiffeId: string },
): boolean | null {
  const { client: is } = one
  if (is.case === "identity") return spiffeId === is.value
  if (is.case === "identityPrefix")
    return spiffeId !== "" && spiffeId.startsWith(is.value === "" ? "spiffe://cluster.local/" : is.value)
  if (is.case === "workload") return spiffeId === WEB && (is.value.exclusive || from === "10.0.0.1")
  if (is.case === "network" && is.value !== "nonsense")
    return is.value === "10.0.0.0/31" ? from === "10.0.0.1" : from === "2001:db8::1"
  return null
}

function wants(to: Operation, asked: string, path: string, deny: boolean): boolean {
  const methods = to.methods.length === 0 || to.methods.includes(deny ? asked.toUpperCase() : asked)
  const paths = to.paths.some(one => {
    if (one === "*") return true
    if (!one.endsWith("*"))
      return (
        path === one || (deny && path !== "*" && one !== "/" && strip(path) === strip(one) && path !== "/")
      )
    return path.startsWith(one.slice(0, -1)) || (deny && one.endsWith("/*") && path === one.slice(0, -2))
  })
  return methods && (to.paths.length === 0 || paths)
}

function strip(text: string): string {
  return text.endsWith("/") ? text.slice(0, -1) : text
}

interface Asked {
  readonly method: string
  readonly path: string
}

function naive(
  all: WorkloadPolicy,
  who: { address: string; spiffeId: string },
  to: number,
  asked: Asked | null,
): { allowed: boolean; audit: boolean } {
  const targeting = all.policies.filter(one => one.allPorts || one.ports.includes(to))
  const matches = (action: number): boolean =>
    targeting.some(
      one =>
        one.action === action &&
        one.rules.some(rule => {
          const deny = action === ACTION_DENY
          const from = rule.from.length === 0 || rule.from.some(is => isFrom(is, who) ?? deny)
          if (!from || rule.to.length === 0) return from
          return asked === null ? deny : rule.to.some(each => wants(each, asked.method, asked.path, deny))
        }),
    )
  const audited = matches(ACTION_AUDIT)
  if (matches(ACTION_DENY)) return { allowed: false, audit: audited }
  if (matches(ACTION_ALLOW)) return { allowed: true, audit: audited }
  if (targeting.some(one => one.action === ACTION_ALLOW || one.action === 9))
    return { allowed: false, audit: audited }
  const meshed = who.spiffeId === WEB || who.spiffeId === OTHER
  const cluster = who.address.startsWith("10.") || who.address === "fd00::1"
  const allowed =
    [true, true, meshed, cluster, meshed && cluster, false, true, false][all.defaultPolicy] ?? false
  return { allowed, audit: audited || (all.defaultPolicy === 6 && !meshed) }
}

function pathOf(target: string): string {
  return target === "/%61" ? "/a" : target.replace("?x", "")
}

test("a request is decided as a naive reading of all rules decides it", () => {
  fc.assert(
    fc.property(
      workload,
      client,
      port,
      fc.array(fc.tuple(method, path), { maxLength: 4 }),
      (all, who, to, asks) => {
        const connection = new PolicySet(all).connection(who, to)
        for (const [asked, target] of asks) {
          const { allowed, audit } = connection.request(asked, target)
          expect({ allowed, audit: audit !== null }).toEqual(
            naive(all, who, to, { method: asked, path: pathOf(target) }),
          )
        }
      },
    ),
    { numRuns: 5_000 },
  )
})

test("a connection that is not HTTP is decided as a naive reading of all rules decides it", () => {
  fc.assert(
    fc.property(workload, client, port, (all, who, to) => {
      const { allowed, audit } = new PolicySet(all).connection(who, to).raw
      expect({ allowed, audit: audit !== null }).toEqual(naive(all, who, to, null))
    }),
    { numRuns: 5_000 },
  )
})

test("what a set has answered other clients and ports before makes no difference", () => {
  fc.assert(
    fc.property(workload, fc.array(fc.tuple(client, port, method, path), { maxLength: 12 }), (all, asks) => {
      const set = new PolicySet(all)
      for (const [who, to, asked, target] of asks) {
        const fresh = new PolicySet(all).connection(who, to)
        expect(set.connection(who, to).request(asked, target)).toEqual(fresh.request(asked, target))
        expect(set.connection(who, to).raw).toEqual(fresh.raw)
      }
    }),
    { numRuns: 1_000 },
  )
})

test("an explanation names a matching rule for every verdict of a policy, and none against it", () => {
  fc.assert(
    fc.property(workload, client, port, method, path, fc.boolean(), (all, who, to, asked, target, isHttp) => {
      const request = isHttp ? { method: asked, target } : null
      const { verdict, policies } = explain(all, who, to, request)
      const matched = (action: number) => policies.some(one => one.action === action && one.matched)
      if (verdict.cause === "policy" || verdict.cause === "hidden-requests") {
        const rule = policies
          .filter(one => one.name === verdict.name)
          .map(one => one.rules[verdict.rule]?.failed)
        expect(rule).toContain("")
      }
      if (matched(ACTION_DENY)) expect(verdict.allowed).toBe(false)
      else if (matched(ACTION_ALLOW)) expect(verdict.allowed).toBe(true)
      else expect(["default", "not-allowed"]).toContain(verdict.cause)
      expect(verdict.audit !== null && verdict.audit.namespace !== "").toBe(matched(ACTION_AUDIT))
    }),
    { numRuns: 3_000 },
  )
})

// ---- paths as servers read them ----

function decodeOnce(text: string): string {
  return text.replace(/%([0-9a-f]{2})/gi, (_all, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  )
}

function resolve(text: string): string {
  const kept: string[] = []
  const segments = text.split("/").slice(1)
  for (const [i, segment] of segments.entries()) {
    if (segment === "..") kept.pop()
    else if (segment !== ".") kept.push(segment)
    if ((segment === "." || segment === "..") && i === segments.length - 1) kept.push("")
  }
  return `/${kept.join("/")}`
}

const merge = (text: string): string => text.replace(/\/+/g, "/")
const beforeQuery = (text: string): string => text.split("?", 1)[0] ?? ""

/** What servers of several kinds take a target for. */
const READERS: Readonly<Record<string, (target: string) => string>> = {
  "decodes, leaves the rest": target => decodeOnce(beforeQuery(target)),
  "resolves, leaves empty segments": target => resolve(decodeOnce(beforeQuery(target))),
  "merges and resolves, as nginx": target => resolve(merge(decodeOnce(beforeQuery(target)))),
  "resolves, then merges": target => merge(resolve(decodeOnce(beforeQuery(target)))),
  "resolves, then decodes": target => decodeOnce(resolve(beforeQuery(target))),
  "decodes twice": target => resolve(decodeOnce(decodeOnce(beforeQuery(target)))),
  "strips parameters, as servlets do": target =>
    resolve(merge(decodeOnce(beforeQuery(target).replace(/;[^/]*/g, "")))),
  "takes backslashes for slashes": target =>
    resolve(merge(decodeOnce(beforeQuery(target)).replaceAll("\\", "/"))),
  "strips dots and blanks behind segments, as Windows does": target =>
    resolve(decodeOnce(beforeQuery(target)))
      .split("/")
      .map(segment => segment.replace(/[. ]+$/, ""))
      .join("/"),
  "ends strings at NUL": target => resolve(decodeOnce(beforeQuery(target)).split("\0", 1)[0] ?? ""),
  "splits the query after decoding": target => resolve(beforeQuery(decodeOnce(target))),
  "cuts a fragment": target => resolve(decodeOnce(beforeQuery(target)).split("#", 1)[0] ?? ""),
  "drops a slash at the end": target => resolve(decodeOnce(beforeQuery(target))).replace(/\/+$/, ""),
  "is a reader of URLs": target => {
    try {
      return decodeOnce(new URL(target, "http://host").pathname)
    } catch {
      return "/"
    }
  },
}

const PIECES = [
  "/",
  "//",
  "/./",
  "/../",
  "..",
  ".",
  "admin",
  "public",
  "x",
  "%61dmin",
  "%2e",
  "%2F",
  "%5c",
  "\\",
  ";x",
  "%3B",
  "%00",
  "%2561dmin",
  "%",
  "?",
  "#",
  "%23",
  "%3F",
  "%20",
  "%c0%af",
  "\xc3\xa9",
] as const
const target = fc.array(fc.constantFrom(...PIECES), { maxLength: 9 }).map(pieces => `/${pieces.join("")}`)

function paths(action: number, defaultPolicy: number, ...list: string[]): PolicySet {
  return new PolicySet({
    defaultPolicy,
    clusterNetworks: [],
    policies: [
      {
        namespace: "shop",
        name: "paths",
        action,
        ports: [],
        allPorts: true,
        rules: [{ from: [], to: [{ methods: [], paths: list }] }],
      },
    ],
    probes: [],
    trustDomain: "cluster.local",
  })
}

const ANYBODY = { address: "10.0.0.1", spiffeId: "" }

test("no target is let through that any server would read as a denied path", () => {
  const set = paths(ACTION_DENY, 1, "/admin", "/public/admin/*").connection(ANYBODY, 80)
  let passed = 0
  fc.assert(
    fc.property(target, text => {
      if (!set.request("GET", text).allowed) return
      passed++
      for (const [reader, read] of Object.entries(READERS)) {
        const seen = read(text)
        const denied = seen === "/admin" || seen === "/public/admin" || seen.startsWith("/public/admin/")
        expect({ text, reader, seen, denied }).toEqual({ text, reader, seen, denied: false })
      }
    }),
    { numRuns: 30_000 },
  )
  expect(passed).toBeGreaterThan(1_000)
})

test("no target is let through that any server would read as a path beside those allowed", () => {
  const set = paths(ACTION_ALLOW, 1, "/public/*").connection(ANYBODY, 80)
  let passed = 0
  fc.assert(
    fc.property(target, tail => {
      const text = `/public${tail}`
      if (!set.request("GET", text).allowed) return
      passed++
      for (const [reader, read] of Object.entries(READERS)) {
        const seen = read(text)
        const allowed = seen === "/public" || seen.startsWith("/public/")
        expect({ text, reader, seen, allowed }).toEqual({ text, reader, seen, allowed: true })
      }
    }),
    { numRuns: 30_000 },
  )
  expect(passed).toBeGreaterThan(1_000)
})
