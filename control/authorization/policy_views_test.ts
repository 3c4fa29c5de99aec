// What people ask about identity and policy, answered from a cluster of manifests and proxies' reports.
import { describe, expect, test } from "bun:test"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { create } from "@bufbuild/protobuf"
import {
  CertificateState,
  EdgesRequestSchema,
  IdentitiesRequestSchema,
  LearnRequestSchema,
  PoliciesRequestSchema,
  PolicyChange,
  pluginPolicyV1,
  StatRequestSchema,
  telemetryV1,
  WhatIfRequestSchema,
} from "../../protos/mod.ts"
import { ClusterStore, readManifestFile } from "../cluster/mod.ts"
import { readSupply } from "../plugins/supplied_policies.ts"
import { POLICY_DEFAULTS } from "../policy/mod.ts"
import { identities } from "../proxies/mod.ts"
import { accountOf, spiffeIdOf } from "../resources/mod.ts"
import { localQueries, TelemetryStore } from "../telemetry/mod.ts"
import { edges, stat } from "../traffic/mod.ts"
import { learn } from "./learn.ts"
import { policies } from "./policies.ts"
import { whatIf } from "./what_if.ts"

const NOW = 1_750_000_060_000
const START = NOW - 60_000

function pod(deployment: string, ip: string, options: { account?: string; meshed?: boolean } = {}): object[] {
  const { account = deployment, meshed = true } = options
  const owner = (kind: string, name: string) => [{ apiVersion: "apps/v1", kind, name, controller: true }]
  return [
    {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: deployment, namespace: "shop" },
      spec: { template: {} },
    },
    {
      apiVersion: "v1",
      kind: "Pod",
      metadata: {
        name: `${deployment}-1`,
        namespace: "shop",
        labels: {
          "pod-template-hash": "a",
          ...(meshed ? { "conduit.io/control-plane-ns": "conduit" } : {}),
        },
        ownerReferences: owner("ReplicaSet", `${deployment}-a`),
      },
      spec: {
        serviceAccountName: account,
        containers: [
          { name: "app", ports: [{ name: "http", containerPort: 8080 }] },
          ...(meshed ? [{ name: "conduit-proxy" }] : []),
        ],
      },
      status: { podIP: ip, phase: "Running", conditions: [{ type: "Ready", status: "True" }] },
    },
  ]
}

function policy(name: string, spec: object): object {
  return {
    apiVersion: "policy.conduit.io/v1alpha1",
    kind: "AuthorizationPolicy",
    metadata: { name, namespace: "shop" },
    spec: { target: { kind: "Deployment", name: "cart", ports: ["http"] }, ...spec },
  }
}

const SHOP = [
  ...pod("web", "10.0.0.1"),
  ...pod("cart", "10.0.0.2"),
  ...pod("legacy", "10.0.0.3", { meshed: false }),
]

const ALLOW_WEB = policy("web", {
  action: "Allow",
  rules: [{ from: [{ deployments: ["shop/web"] }], to: [{ methods: ["GET"], paths: ["/items/*"] }] }],
})

function storeOf(objects: readonly object[]): ClusterStore {
  const text = JSON.stringify({ apiVersion: "v1", kind: "List", items: objects })
  const { objects: records, problems } = readManifestFile("shop.json", text)
  expect(problems).toEqual([])
  const store = new ClusterStore()
  store.apply([...records.values()].map(put => ({ put })))
  store.markSynced()
  return store
}

function identityOf(account: string): string {
  return `${account}.shop.serviceaccount.identity.conduit.cluster.local`
}

type Record_ = Readonly<Record<string, string>>

const FROM_WEB: Record_ = {
  client_id: identityOf("web"),
  client_ip: "10.0.0.1",
  port: "8080",
  protocol: "http1",
  method: "GET",
  path: "/items/{id}",
  example: "/items/7",
  verdict: "allow",
  policy: "default",
}
const FROM_LEGACY: Record_ = {
  ...FROM_WEB,
  client_id: "",
  client_ip: "10.0.0.3",
  path: "/health",
  example: "/health",
}

/** Queries of a minute in which cart's proxy counted records, by their requests. */
function counted(records: readonly (readonly [Record_, number])[]) {
  const telemetry = new TelemetryStore(START - 1)
  const stream = telemetry.openStream(
    create(telemetryV1.ReporterSchema, {
      namespace: "shop",
      pod: "cart-1",
      workloadKind: "deployment",
      workload: "cart",
      startedAtMs: BigInt(START),
    }),
  )
  if (stream === null) throw new Error("no room")
  const series = records.map(([labels], index) => ({
    id: index + 1,
    metric: "access_total",
    labels: { ...labels },
  }))
  for (let second = 0; second <= 60; second++) {
    const samples = records.map(([, total], index) => ({ seriesId: index + 1, value: (total * second) / 60 }))
    const report = { samples, ...(second === 0 ? { series } : {}) }
    stream.take(create(telemetryV1.ReportRequestSchema, report), START + second * 1000)
  }
  return localQueries(telemetry, () => NOW)
}

const TARGET = { kind: "deployment", namespace: "shop", name: "", labelSelector: "" }

describe("identities by name", () => {
  test("a service account's name may have dots", () => {
    expect(accountOf("a.b.shop.serviceaccount.identity.mesh.example.org")).toEqual({
      namespace: "shop",
      name: "a.b",
      trustDomain: "example.org",
    })
    expect(spiffeIdOf(identityOf("web"))).toBe("spiffe://cluster.local/ns/shop/sa/web")
    expect(spiffeIdOf("")).toBe("")
    expect(accountOf("web.example.org")).toBeNull()
  })
})

test("stat says what policies refused, where it is asked to", async () => {
  const queries = counted([
    [FROM_WEB, 600],
    [{ ...FROM_LEGACY, policy: "not-allowed", verdict: "deny" }, 60],
  ])
  const ask = async (refused: boolean) => {
    const request = create(StatRequestSchema, { target: TARGET, windowMs: 60_000, refused })
    const { rows = [] } = await stat(storeOf(SHOP), queries, request)
    return rows.map(({ resource, refusedRps }) => [resource?.name, refusedRps])
  }
  expect(await ask(true)).toEqual([
    ["cart", 1],
    ["legacy", 0],
    ["web", 0],
  ])
  expect((await ask(false)).map(([, rps]) => rps)).toEqual([0, 0, 0])
})

describe("what-if", () => {
  const ask = (
    objects: readonly object[],
    proposed: readonly object[],
    records: readonly (readonly [Record_, number])[],
  ) =>
    whatIf(
      storeOf(objects),
      counted(records),
      POLICY_DEFAULTS,
      create(WhatIfRequestSchema, {
        files: [
          {
            name: "new.json",
            content: JSON.stringify({ apiVersion: "v1", kind: "List", items: proposed }),
          },
        ],
        windowMs: 60_000,
      }),
    )

  test("what passes now and would not is told with its rate, its caller and the clause that fails", async () => {
    const { rows = [] } = await ask(
      SHOP,
      [ALLOW_WEB],
      [
        [FROM_WEB, 600],
        [{ ...FROM_WEB, method: "PUT" }, 60],
        [FROM_LEGACY, 120],
      ],
    )
    expect(
      rows.map(row => [row.change, row.from?.name, row.method, row.path, Math.round(row.rps ?? 0)]),
    ).toEqual([
      [PolicyChange.DENIED, "legacy", "GET", "/health", 2],
      [PolicyChange.DENIED, "web", "PUT", "/items/{id}", 1],
      [PolicyChange.UNCHANGED, "web", "GET", "/items/{id}", 10],
    ])
    expect(rows[0]?.after).toEqual({
      allowed: false,
      policy: "shop/web",
      reason: "shop/web has no rule for this caller",
    })
    expect(rows[1]?.after?.reason).toBe("shop/web has no rule for this method")
    expect(rows[2]?.before?.reason).toBe("default policy all-unauthenticated")
    expect(rows[2]?.after).toEqual({ allowed: true, policy: "shop/web", reason: "spec.rules[0] allows it" })
  })

  test("what is refused now and would pass is newly allowed", async () => {
    const both = policy("web", { action: "Allow", rules: [{ from: [{ deployments: ["shop/web"] }] }] })
    const { rows = [] } = await ask(
      [...SHOP, ALLOW_WEB],
      [both],
      [[{ ...FROM_WEB, method: "PUT", verdict: "deny" }, 60]],
    )
    expect(rows.map(row => row.change)).toEqual([PolicyChange.ALLOWED])
  })

  describe("of plugins in mode Audit", () => {
    const { Decision } = pluginPolicyV1
    type Said = pluginPolicyV1.AuthorizeResponse["decision"]
    const asks: string[] = []
    const said =
      (decision: Said) =>
      async (plugin: string, { path = "" }: { readonly path?: string }) => {
        asks.push(`${plugin} ${path}`)
        return create(pluginPolicyV1.AuthorizeResponseSchema, { decision, reason: "it is night" })
      }
    const tried = async (
      objects: readonly object[],
      decision: Said,
      plugins: readonly string[],
      files: object[] = [],
    ) => {
      asks.length = 0
      const spec = { target: { kind: "Namespace" }, action: "Deny", rules: [{ to: [{ methods: ["GET"] }] }] }
      const supply = create(pluginPolicyV1.SupplyResponseSchema, {
        policies: [{ namespace: "shop", name: "night", spec, reason: "it is night" }],
      })
      const supplied = (name: string) =>
        name === "hours"
          ? { inForce: false, policies: readSupply("hours", supply), asked: false }
          : name === "gate"
            ? { inForce: false, policies: [], asked: true }
            : null
      const request = create(WhatIfRequestSchema, {
        ...{ plugins: [...plugins], windowMs: 60_000 },
        files: files.map(file => ({ name: "new.json", content: JSON.stringify(file) })),
      })
      const { rows = [], notes } = await whatIf(
        ...[storeOf(objects), counted([[FROM_WEB, 600]]), POLICY_DEFAULTS, request],
        { supplied, ask: said(decision) },
      )
      return {
        rows: rows.map(row => [row.change, row.from?.name, row.after?.policy, row.after?.reason]),
        notes,
      }
    }
    const GATE = {
      ...{ apiVersion: "conduit.io/v1alpha1", kind: "Plugin", metadata: { name: "gate" } },
      spec: { address: "gate:9090", hooks: [{ name: "Authorize", mode: "Audit" }] },
    }
    const ASK = policy("ask", { action: "Ask", plugin: "gate", rules: [{ to: [{ methods: ["GET"] }] }] })

    test("what they supply is tried as if it were in force, and no other's", async () => {
      const { rows } = await tried(SHOP, Decision.DEFER, ["hours"])
      expect(rows).toEqual([[PolicyChange.DENIED, "web", "shop/hours:night", "spec.rules[0] denies it"]])
      expect(tried(SHOP, Decision.DEFER, ["ours"])).rejects.toThrow(
        'there is no plugin "ours" with the hook Policy',
      )
    })

    test("they are asked about what policies have them asked, and what they say is shown", async () => {
      const { rows } = await tried([...SHOP, GATE, ASK], Decision.DENY, ["gate"])
      expect(rows).toEqual([[PolicyChange.DENIED, "web", "shop/ask", "plugin gate: it is night"]])
      expect(asks).toEqual([`gate ${FROM_WEB.example}`])
      expect((await tried([...SHOP, GATE, ASK], Decision.DEFER, ["gate"])).rows[0]?.[0]).toBe(
        PolicyChange.UNCHANGED,
      )
    })

    test("a policy of a file that has a plugin asked is tried with that plugin's answers", async () => {
      const { rows } = await tried([...SHOP, GATE], Decision.DENY, [], [ASK])
      expect(rows.map(([change]) => change)).toEqual([PolicyChange.DENIED])
      await tried([...SHOP, GATE, ASK], Decision.DENY, ["hours"])
      // It is in force: the answer is the same before and after.
      expect(asks).toEqual([])
    })
  })

  test("a Namespace's default policy in the file is tried too", async () => {
    const closed = {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: {
        name: "shop",
        annotations: { "config.conduit.io/default-inbound-policy": "all-authenticated" },
      },
    }
    const elsewhere = policy("other", {
      target: { kind: "Deployment", name: "web" },
      action: "Deny",
      rules: [{ to: [{ methods: ["PUT"] }] }],
    })
    const { rows = [] } = await ask(
      SHOP,
      [closed, elsewhere],
      [
        [FROM_WEB, 60],
        [FROM_LEGACY, 60],
      ],
    )
    expect(rows.map(row => [row.from?.name, row.change])).toEqual([
      ["legacy", PolicyChange.DENIED],
      ["web", PolicyChange.UNCHANGED],
    ])
    expect(rows[0]?.after?.reason).toBe("default policy all-authenticated")
  })

  test("a route of many paths that rules tell apart is marked as approximate", async () => {
    const one = policy("one", { action: "Deny", rules: [{ to: [{ paths: ["/items/8"] }] }] })
    const { rows = [] } = await ask(SHOP, [one], [[FROM_WEB, 60]])
    expect(rows[0]).toMatchObject({ change: PolicyChange.UNCHANGED, approximate: true })
    const whole = await ask(SHOP, [ALLOW_WEB], [[FROM_WEB, 60]])
    expect(whole.rows?.[0]).toMatchObject({ approximate: false })
  })

  test("what proxies could not tell apart is not judged, and is said", async () => {
    const answer = await ask(SHOP, [ALLOW_WEB], [[{ other: "true", verdict: "allow" }, 120]])
    expect(answer).toMatchObject({ rows: [], unjudged: 120n, policies: ["shop/web"] })
  })

  test("a connection into which nobody looks is not allowed by rules about requests", async () => {
    const tcp = { ...FROM_WEB, protocol: "tcp", method: "", path: "", example: "" }
    const { rows = [] } = await ask(SHOP, [ALLOW_WEB], [[tcp, 60]])
    expect(rows[0]).toMatchObject({
      change: PolicyChange.DENIED,
      after: { reason: "shop/web has rules about requests only" },
    })
  })

  test.each([
    [{ acton: "Allow", rules: [{}] }, "spec.acton is not a field"],
    [{ action: "Allow", rules: [] }, "spec.rules is empty"],
    [
      { action: "Allow", rules: [{ from: [{ networks: ["10.0.0.0/64"] }] }] },
      "spec.rules[0].from[0].networks[0]",
    ],
    [
      {
        action: "Allow",
        target: { kind: "Deployment", name: "cart", ports: ["htp"] },
        rules: [{ from: [{ identities: ["*"] }] }],
      },
      'spec.target.ports[0] of AuthorizationPolicy "bad"',
    ],
  ])("a bad file is told by place and field, and nothing is judged: %j", async (spec, said) => {
    const answer = await ask(SHOP, [policy("bad", spec)], [[FROM_WEB, 60]])
    expect(answer.rows).toBeUndefined()
    expect(answer.problems?.map(problem => problem.message).join("\n")).toContain(said)
    expect(answer.problems?.[0]?.where).toMatch(/^new\.json, document 1, line \d+$/)
    expect(answer.problems?.[0]?.message).not.toContain("last good state")
  })

  test("files without a policy are refused", async () => {
    await expect(ask(SHOP, SHOP, [])).rejects.toThrow("hold no AuthorizationPolicy")
  })
})

describe("learn", () => {
  const ask = (records: readonly (readonly [Record_, number])[]) =>
    learn(
      storeOf(SHOP),
      counted(records),
      create(LearnRequestSchema, { target: TARGET, windowMs: 60_000 }),
      NOW,
    )

  test("each caller is allowed what it asked, by Deployment and route", async () => {
    const {
      policies: learnt,
      unproven,
      seenMs,
    } = await ask([
      [{ ...FROM_WEB, path: "/a", example: "/a" }, 60],
      [FROM_WEB, 120],
      [{ ...FROM_WEB, client_ip: "10.9.9.9", method: "PUT" }, 180],
    ])
    expect(learnt).toEqual([
      {
        target: { namespace: "shop", kind: "deployment", name: "cart" },
        port: 8080,
        portName: "http",
        rules: [
          {
            source: "deployments",
            caller: "shop/web",
            count: 360n,
            routes: [
              { method: "GET", path: "/a", pattern: "/a", count: 60n },
              { method: "GET", path: "/items/{id}", pattern: "/items/*", count: 120n },
              { method: "PUT", path: "/items/{id}", pattern: "/items/*", count: 180n },
            ],
          },
        ],
      },
    ])
    expect({ unproven, seenMs }).toEqual({ unproven: [], seenMs: 60_000 })
  })

  test("who proved nothing is told, what was refused is not learnt, probes are nobody's", async () => {
    const answer = await ask([
      [FROM_LEGACY, 60],
      [{ ...FROM_LEGACY, client_ip: "192.0.2.1" }, 60],
      [{ ...FROM_WEB, verdict: "deny", policy: "not-allowed" }, 120],
      [{ ...FROM_LEGACY, client_ip: "10.0.0.254", policy: "probe" }, 60],
    ])
    expect(answer.policies).toEqual([])
    expect(answer.denied).toBe(120n)
    expect(answer.unproven?.map(caller => [caller.from?.name, caller.clientIp, caller.reason])).toEqual([
      ["legacy", "10.0.0.3", "its pod is not meshed"],
      [undefined, "192.0.2.1", "no pod has its address"],
    ])
  })

  test("connections into which nobody looks need a rule without requests", async () => {
    const { policies: learnt } = await ask([
      [FROM_WEB, 60],
      [{ ...FROM_WEB, protocol: "tcp", method: "", path: "", example: "" }, 60],
    ])
    expect(learnt?.[0]?.rules?.[0]).toMatchObject({ routes: [], count: 120n })
  })
})

test("policies are listed with what each decided, beside the default and what none allows", async () => {
  const look = policy("look", { action: "Audit", rules: [{ from: [{ deployments: ["shop/web"] }] }] })
  const nowhere = policy("nowhere", {
    target: { kind: "Deployment", name: "crat" },
    action: "Deny",
    rules: [{ from: [{ identities: ["*"] }] }],
  })
  const queries = counted([
    [{ ...FROM_WEB, policy: "shop/web", verdict: "audit", audit: "shop/look" }, 600],
    [{ ...FROM_LEGACY, policy: "not-allowed", verdict: "deny" }, 60],
    [{ ...FROM_LEGACY, port: "9000" }, 120],
  ])
  const request = create(PoliciesRequestSchema, { target: TARGET, windowMs: 60_000 })
  const { workloads = [], unused } = await policies(
    storeOf([...SHOP, ALLOW_WEB, look, nowhere]),
    queries,
    POLICY_DEFAULTS,
    request,
  )
  expect(workloads.map(row => row.resource?.name)).toEqual(["cart", "legacy", "web"])
  const [cart, , web] = workloads
  expect(cart?.policies?.map(one => [one.name, one.action, one.ports, one.decided])).toEqual([
    ["look", "Audit", [8080], { allowedRps: 0, deniedRps: 0, auditedRps: 10 }],
    ["web", "Allow", [8080], { allowedRps: 10, deniedRps: 0, auditedRps: 0 }],
  ])
  expect(cart?.ports).toEqual([{ port: 8080, name: "http", defaultInForce: false }])
  expect(cart?.notAllowed).toEqual({ allowedRps: 0, deniedRps: 1, auditedRps: 0 })
  expect(cart?.byDefault).toEqual({ allowedRps: 2, deniedRps: 0, auditedRps: 0 })
  expect(web).toMatchObject({ defaultPolicy: "all-unauthenticated", policies: [] })
  expect(web?.ports).toEqual([{ port: 8080, name: "http", defaultInForce: true }])
  expect(unused).toMatchObject([{ name: "nowhere", problems: [expect.stringContaining('"crat"')] }])
})

test("a caller without a proxy is an edge that the called side saw, and a reason", async () => {
  const { edges: rows = [] } = await edges(
    storeOf(SHOP),
    counted([
      [FROM_LEGACY, 120],
      [FROM_WEB, 60],
      [{ ...FROM_LEGACY, policy: "probe" }, 60],
    ]),
    create(EdgesRequestSchema, { target: TARGET, windowMs: 60_000 }),
  )
  expect(rows).toMatchObject([
    {
      from: { name: "legacy" },
      to: { name: "cart" },
      secured: false,
      reason: "the caller is not meshed",
      calledRps: 2,
    },
  ])
})

test("a certificate is told with its state; a proxy without one, and one that does not answer, with the reason", async () => {
  const answers: (object | number)[] = []
  const admin = createServer((_request, response) => {
    const answer = answers.shift() ?? 500
    if (typeof answer === "number") response.writeHead(answer).end()
    else response.end(JSON.stringify(answer))
  })
  await new Promise<void>(resolve => admin.listen(0, "127.0.0.1", resolve))
  const { port } = admin.address() as AddressInfo
  const certificate = (from: number, to: number) => ({
    identity: identityOf("web"),
    spiffeId: "spiffe://cluster.local/ns/shop/sa/web",
    serialNumber: "0a",
    issuer: "CN=identity",
    notBefore: new Date(NOW + from * 3_600_000).toISOString(),
    notAfter: new Date(NOW + to * 3_600_000).toISOString(),
  })
  const cases: [object | number, CertificateState][] = [
    [certificate(-1, 23), CertificateState.VALID],
    [certificate(-23, 1), CertificateState.EXPIRING],
    [certificate(-25, -1), CertificateState.EXPIRED],
    [certificate(1, 25), CertificateState.NOT_YET_VALID],
    [{}, CertificateState.NONE],
    [404, CertificateState.NONE],
    [500, CertificateState.UNKNOWN],
  ]
  try {
    for (const [answer, state] of cases) {
      answers.push(answer)
      const request = create(IdentitiesRequestSchema, { target: { ...TARGET, name: "web" } })
      const signal = new AbortController().signal
      const options = { adminPort: port }
      const store = storeOf([...pod("web", "127.0.0.1")])
      for await (const row of identities(store, request, signal, () => NOW, options)) {
        expect([row.pod, row.workload?.name, row.state]).toEqual(["web-1", "web", state])
        expect(row.error === "" || row.error === undefined).toBe(
          state !== CertificateState.NONE && state !== CertificateState.UNKNOWN,
        )
      }
    }
  } finally {
    admin.close()
  }
})
