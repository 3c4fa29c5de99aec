// AuthorizationPolicy as people write it, and the sentence for each way to get one wrong.
import { expect, test } from "bun:test"
import { parse } from "yaml"
import { dottedField, portComplaints } from "./policy_reader.ts"
import { readAuthorizationPolicy } from "./read_policy.ts"

const GOOD = `
apiVersion: policy.conduit.io/v1alpha1
kind: AuthorizationPolicy
metadata: { name: voting-clients, namespace: emojivoto }
spec:
  target: { kind: Deployment, name: voting, ports: [grpc, 8080] }
  action: Allow
  rules:
    - from:
        - deployments: [emojivoto/web]
        - serviceAccounts: [emojivoto/web]
        - namespaces: [emojivoto]
        - identities: ["*"]
        - networks: [10.0.0.0/8]
      to:
        - methods: [POST]
          paths: ["/emojivoto.v1.VotingService/*"]
`

function complaints(text: string): string {
  return readAuthorizationPolicy(parse(text))
    .complaints.map(({ path, message }) => `${dottedField(path)} ${message}`)
    .join("\n")
}

test("the policy of the contract is understood", () => {
  const { policy, complaints: none } = readAuthorizationPolicy(parse(GOOD))
  expect(none).toEqual([])
  expect(policy).toMatchObject({
    namespace: "emojivoto",
    name: "voting-clients",
    target: { kind: "Deployment", name: "voting", ports: ["grpc", 8080] },
    action: "Allow",
    rules: [
      {
        from: [
          {
            kind: "deployment",
            namespace: "emojivoto",
            name: "web",
            field: "spec.rules[0].from[0].deployments[0]",
          },
          { kind: "serviceAccount", namespace: "emojivoto", name: "web" },
          { kind: "namespace", name: "emojivoto" },
          { kind: "identity", pattern: "*" },
          { kind: "network", network: "10.0.0.0/8" },
        ],
        to: [{ methods: ["POST"], paths: ["/emojivoto.v1.VotingService/*"] }],
      },
    ],
  })
})

test("an object of another mesh's group is neither a policy nor wrong", () => {
  const foreign = GOOD.replace("policy.conduit.io/v1alpha1", "security.istio.io/v1")
  expect(readAuthorizationPolicy(parse(foreign))).toEqual({ policy: null, complaints: [] })
})

/** What stands in the good policy, what a person wrote instead, the complaint. */
const WRONG: readonly (readonly [from: string, to: string, complaint: string])[] = [
  [
    "policy.conduit.io/v1alpha1",
    "policy.condiut.io/v1alpha1",
    "apiVersion must be policy.conduit.io/v1alpha1",
  ],
  ["v1alpha1", "v1", 'apiVersion must be policy.conduit.io/v1alpha1, not "policy.conduit.io/v1"'],
  ["  action: Allow", "  acton: Allow", 'spec.acton is not a field (did you mean "action"?)'],
  ["  action: Allow\n", "", "spec.action is missing; it must be one of Allow, Deny, Audit"],
  ["action: Allow", "action: allow", 'spec.action is "allow" (did you mean "Allow"?)'],
  ["action: Allow", "action: Permit", 'spec.action is "Permit"; it must be one of Allow, Deny, Audit'],
  ["kind: Deployment", "kind: Deploymnet", 'spec.target.kind is "Deploymnet" (did you mean "Deployment"?)'],
  ["kind: Deployment", "kind: Service", 'spec.target.kind is "Service"; it must be one of Deployment'],
  ["name: voting,", "nmae: voting,", 'spec.target.nmae is not a field (did you mean "name"?)'],
  ["name: voting,", "", "spec.target.name is missing"],
  ["name: voting,", "name: voting, namespace: x,", "spec.target.namespace is not a field: a policy targets"],
  [
    "kind: Deployment, name: voting",
    "kind: Namespace, name: x",
    'spec.target.name is "x", but a policy holds',
  ],
  ["[grpc, 8080]", "[]", "spec.target.ports is empty; leave it out for every port"],
  ["[grpc, 8080]", '["8080"]', "leave out the quotes"],
  ["[grpc, 8080]", "[0]", "spec.target.ports[0] must be a port from 1 to 65535"],
  ["[grpc, 8080]", "[70000]", "spec.target.ports[0] must be a port from 1 to 65535"],
  ["[grpc, 8080]", "8080", "spec.target.ports must be a list, not 8080"],
  ["    - from:", "    - form:", 'spec.rules[0].form is not a field (did you mean "from"?)'],
  [
    "        - deployments: [emojivoto/web]",
    "        - deployment: [emojivoto/web]",
    'did you mean "deployments"?',
  ],
  [
    "[emojivoto/web]\n        - service",
    "[web]\n        - service",
    "write emojivoto/web for the one in this",
  ],
  ["[emojivoto/web]\n        - service", "[a/b/c]\n        - service", "must be NAMESPACE/NAME"],
  [
    "[emojivoto/web]\n        - service",
    "[]\n        - service",
    "deployments is empty; it needs at least one",
  ],
  ["namespaces: [emojivoto]", "namespaces: [Emoji]", "must be the name of a namespace"],
  ['identities: ["*"]', "identities: [cluster.local/*]", "must be a SPIFFE id"],
  ['identities: ["*"]', 'identities: ["spiffe://cluster.local*"]', "must be a SPIFFE id"],
  ["networks: [10.0.0.0/8]", "networks: [10.0.0.0/40]", "networks[0] cannot be used"],
  ["networks: [10.0.0.0/8]", "networks: [web]", "is no network in CIDR notation"],
  [
    "        - networks: [10.0.0.0/8]",
    "        - {}",
    "from[4] names no client; each entry takes exactly one of",
  ],
  [
    "        - networks: [",
    "        - namespaces: [x]\n          networks: [",
    "has namespaces and networks",
  ],
  ["methods: [POST]", "methods: [post]", "must be in upper case: POST"],
  ["methods: [POST]", "methods: [PSOT]", 'which is no method (did you mean "POST"?)'],
  ["methods: [POST]", 'methods: ["GET, POST"]', "must be a method such as GET"],
  ["methods: [POST]", "methods: []", "to[0].methods is empty"],
  ["methods: [POST]", "verbs: [POST]", "to[0].verbs is not a field; there are methods, paths"],
  ['"/emojivoto.v1.VotingService/*"', '"emojivoto"', 'must begin with "/"'],
  ['"/emojivoto.v1.VotingService/*"', '"/*/vote"', "not at its end"],
  ['"/emojivoto.v1.VotingService/*"', '"/a/../b"', "write /b"],
]

for (const [from, to, expected] of WRONG) {
  test(`${JSON.stringify(to)} for ${JSON.stringify(from)}: ${expected}`, () => {
    expect(GOOD).toContain(from)
    expect(complaints(GOOD.replace(from, to))).toContain(expected)
  })
}

test("a policy without rules, or with an empty one, is refused", () => {
  const head = GOOD.slice(0, GOOD.indexOf("  rules:"))
  expect(complaints(head)).toBe("spec.rules is missing; a policy needs at least one rule")
  expect(complaints(`${head}  rules: []`)).toBe("spec.rules is empty; a policy needs at least one rule")
  expect(complaints(`${head}  rules: [{}]`)).toBe("spec.rules[0] is empty; it needs from, to, or both")
  expect(complaints(`${head}  rules: [{ from: [] }]`)).toContain("spec.rules[0].from is empty")
})

test("every complaint is told, not the first only", () => {
  expect(complaints(GOOD.replace("Allow", "Alow").replace("[POST]", "[post]")).split("\n")).toHaveLength(2)
})

test("a port that the target does not declare is named, with the one that was meant", () => {
  const { policy } = readAuthorizationPolicy(parse(GOOD.replace("[grpc, 8080]", "[grcp, 9090, http]")))
  if (policy === null) throw new Error("not understood")
  const declared = [
    { name: "grpc", port: 8080 },
    { name: "http", port: 80 },
  ]
  const found = portComplaints(policy, declared).map(({ path, message }) => `${dottedField(path)} ${message}`)
  const has = 'but Deployment "voting" declares grpc (8080), http (80)'
  expect(found).toEqual([
    `spec.target.ports[0] is "grcp", ${has} (did you mean "grpc"?)`,
    `spec.target.ports[1] is 9090, ${has}`,
  ])
})

test("action Ask names a plugin and the header fields that it is told; other actions name none", () => {
  const ask = (more: string) => GOOD.replace("action: Allow", `action: Ask\n${more}`)
  const read = readAuthorizationPolicy(parse(ask("  plugin: hours\n  headers: [x-tenant, x-tenant]")))
  expect(read).toMatchObject({ complaints: [], policy: { ask: { plugin: "hours", headers: ["x-tenant"] } } })
  expect(readAuthorizationPolicy(parse(GOOD)).policy?.ask).toBeNull()
  expect(complaints(ask(""))).toBe("spec.plugin is missing")
  expect(complaints(ask("  plugin: hours\n  headers: [X-Tenant]"))).toContain(
    "in lower case, such as x-tenant",
  )
  expect(complaints(GOOD.replace("action: Allow", "action: Deny\n  plugin: hours"))).toBe(
    "spec.plugin counts with action Ask only",
  )
})
