// The objects of an installation: the same for the same values, restricted, with rights for what the control plane reads;
// the committed chart is what the description gives.
import { describe, expect, test } from "bun:test"
import { readdirSync, readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import { parseAllDocuments } from "yaml"
import project from "../../package.json" with { type: "json" }
import { chartFiles } from "./chart.ts"
import { COMPONENTS, installObjects, installYaml } from "./objects.ts"
import type { InstallObject } from "./template.ts"
import { parseSet, readValues, ValuesError } from "./values.ts"

function valuesOf(...sets: string[]) {
  return readValues(sets.map(set => ({ values: parseSet(set), from: "--set" })))
}

function fillingOf(...sets: string[]) {
  return { namespace: "mesh", version: "1.2.3", values: valuesOf(...sets) }
}

function printed(...sets: string[]): string {
  return installYaml(fillingOf(...sets))
}

function find(objects: readonly InstallObject[], kind: string, name: string): InstallObject | undefined {
  return objects.find(object => object.kind === kind && object.metadata.name === name)
}

const MANY = [
  "ha=true,networkPolicies=true,priorityClassName=high",
  "image.registry=registry.example/mesh,image.version=9",
  "nodeSelector={},policy.clusterNetworks=10.0.0.0/8\\,fd00::/8",
  "podAnnotations.example\\.com/team=a",
]

describe("what is printed", () => {
  test.each([["defaults", []] as const, ["many settings", MANY] as const])(
    "is, read as YAML, the objects themselves (%s)",
    (_, sets) => {
      const documents = parseAllDocuments(printed(...sets))
      const objects = documents.map(document => {
        if ("errors" in document) expect(document.errors).toEqual([])
        return document.toJS()
      })
      expect(objects).toEqual(installObjects(fillingOf(...sets)))
    },
  )

  test("is the same whatever the order of the settings", () => {
    expect(printed(...MANY.toReversed())).toBe(printed(...MANY))
  })

  test("gives the reason of each right before it", () => {
    const text = printed()
    expect(text).toContain("rules:\n  # Services, their pods and slices: where traffic goes.\n  - apiGroups:")
  })

  test("has the namespace first, then definitions, and each of these alone when asked for", () => {
    const kinds = (part: "all" | "crds" | "without-crds") =>
      installObjects(fillingOf(), part).map(({ kind }) => kind)
    expect(kinds("all").slice(0, 3)).toEqual(["Namespace", "CustomResourceDefinition", "ServiceAccount"])
    expect(new Set(kinds("crds"))).toEqual(new Set(["CustomResourceDefinition"]))
    expect(kinds("without-crds")).not.toContain("CustomResourceDefinition")
  })
})

test("every pod meets the restricted Pod Security Standard", () => {
  for (const { name } of COMPONENTS) {
    const deployment = find(installObjects(fillingOf()), "Deployment", `conduit-${name}`)
    expect(deployment).toMatchObject({
      spec: {
        template: {
          spec: {
            securityContext: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
            containers: [
              {
                securityContext: {
                  allowPrivilegeEscalation: false,
                  readOnlyRootFilesystem: true,
                  capabilities: { drop: ["ALL"] },
                },
              },
            ],
          },
        },
      },
    })
  }
})

test("no right is on secrets, none is on everything, and what may be changed is one object only", () => {
  const changed: string[] = []
  for (const object of installObjects(fillingOf())) {
    if (object.kind !== "ClusterRole") continue
    const rules = object.rules as {
      apiGroups: string[]
      resources: string[]
      resourceNames?: string[]
      verbs: string[]
    }[]
    for (const { apiGroups, resources, resourceNames = [], verbs } of rules) {
      expect([...resources, ...apiGroups, ...verbs]).not.toContain("*")
      expect(resources).not.toContain("secrets")
      if (verbs.every(verb => ["get", "list", "watch"].includes(verb))) continue
      expect(resourceNames).toHaveLength(1)
      changed.push(`${verbs} ${resources} ${resourceNames}`)
    }
  }
  expect(changed).toEqual(["get,patch mutatingwebhookconfigurations conduit-mesh-injector"])
})

describe("the webhook", () => {
  const find = (...sets: string[]) =>
    installObjects(fillingOf(...sets)).find(({ kind }) => kind === "MutatingWebhookConfiguration")
  const only = (...sets: string[]) => (find(...sets) as unknown as { webhooks: object[] }).webhooks[0]

  test("never keeps the cluster from starting pods, and never looks at Kubernetes' own or at its own", () => {
    expect(only()).toMatchObject({
      failurePolicy: "Ignore",
      timeoutSeconds: 10,
      sideEffects: "None",
      namespaceSelector: {
        matchExpressions: [
          { operator: "NotIn", values: ["kube-system", "kube-public", "kube-node-lease", "mesh"] },
        ],
      },
      objectSelector: {
        matchExpressions: [{ key: "conduit.io/control-plane-component", operator: "DoesNotExist" }, {}],
      },
    })
  })

  test("says nothing of certificates, which are the injector's to say", () => {
    expect(JSON.stringify(only())).not.toContain("caBundle")
  })

  test("takes a failure policy and labels of namespaces, and can be left out with all that belongs to it", () => {
    expect(only("injector.failurePolicy=Fail,injector.namespaceLabels.mesh=yes")).toMatchObject({
      failurePolicy: "Fail",
      namespaceSelector: { matchLabels: { mesh: "yes" } },
    })
    const without = installObjects(fillingOf("injector.enabled=false"))
    expect(without.filter(({ metadata }) => metadata.name.includes("injector"))).toEqual([])
    expect(find("injector.enabled=false")).toBeUndefined()
  })
})

test("--ha makes three of what can be several, with budgets; telemetry stays one", () => {
  const objects = installObjects(fillingOf("ha=true"))
  expect(find(objects, "Deployment", "conduit-destination")).toMatchObject({ spec: { replicas: 3 } })
  expect(find(objects, "Deployment", "conduit-telemetry")).toMatchObject({ spec: { replicas: 1 } })
  expect(find(objects, "PodDisruptionBudget", "conduit-policy")).toBeDefined()
  expect(find(objects, "PodDisruptionBudget", "conduit-telemetry")).toBeUndefined()
  expect(find(installObjects(fillingOf()), "PodDisruptionBudget", "conduit-policy")).toBeUndefined()
})

test("the issuer's key is in its Secret and nowhere else", () => {
  const pem = (what: string): string => `-----BEGIN ${what}-----`
  const values = readValues([
    {
      from: "f",
      values: {
        identityTrustAnchorsPEM: pem("ANCHOR"),
        identity: { issuer: { crtPEM: pem("CERT"), keyPEM: pem("KEY") } },
      },
    },
  ])
  const holders = installObjects({ ...fillingOf(), values }).filter(object =>
    JSON.stringify(object).includes("BEGIN KEY"),
  )
  expect(holders.map(({ kind }) => kind)).toEqual(["Secret"])
})

test.each([
  ["ha=yes", "--set: ha must be true or false"],
  ["h=1", 'there is no value h (did you mean "ha"?)'],
  ["image=x", "--set: image must be a mapping"],
  ["image.pullPolicy=Sometimes", "image.pullPolicy must be one of Always, IfNotPresent, Never"],
  ["identityTrustAnchorsPEM=secret", "identityTrustAnchorsPEM must be PEM"],
  ["ha", "write NAME=VALUE"],
])("--set %s is refused with a sentence", (set, sentence) => {
  let message = ""
  try {
    valuesOf(set)
  } catch (error) {
    if (!(error instanceof ValuesError)) throw error
    message = error.message
  }
  expect(message).toContain(sentence)
  expect(message).not.toContain("secret")
})

test("the committed chart is what the description gives; npm run generate writes it", () => {
  const folder = join(import.meta.dir, "chart")
  const there = (readdirSync(folder, { recursive: true }) as string[]).filter(path =>
    statSync(join(folder, path)).isFile(),
  )
  const files = chartFiles(project.version)
  expect(there.sort()).toEqual([...files.keys()].sort())
  for (const [path, text] of files) expect(readFileSync(join(folder, path), "utf8")).toBe(text)
})
