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
  "cni.enabled=true",
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

test("no right is on secrets, none writes, and none is on everything", () => {
  for (const object of installObjects(fillingOf())) {
    if (object.kind !== "ClusterRole") continue
    for (const rule of object.rules as { apiGroups: string[]; resources: string[]; verbs: string[] }[]) {
      expect(rule.verbs).toEqual(["list", "watch"])
      expect([...rule.resources, ...rule.apiGroups]).not.toContain("*")
      expect(rule.resources).not.toContain("secrets")
    }
  }
})

test("the CNI plugin's installer is there when asked for, in a namespace of its own, and may read pods only", () => {
  expect(printed()).not.toContain("conduit-cni")
  const objects = installObjects(fillingOf("cni.enabled=true,cni.binDir=/usr/libexec/cni"))
  const own = objects.filter(object => JSON.stringify(object.metadata).includes("-cni"))
  expect(own.map(({ kind, metadata }) => `${kind} ${metadata.namespace ?? ""}/${metadata.name}`)).toEqual([
    "Namespace /mesh-cni",
    "ServiceAccount mesh-cni/conduit-cni",
    "ClusterRole /conduit-mesh-cni",
    "ClusterRoleBinding /conduit-mesh-cni",
    "DaemonSet mesh-cni/conduit-cni",
  ])
  const [namespace, , role, binding, daemon] = own
  expect(namespace?.metadata.labels?.["pod-security.kubernetes.io/enforce"]).toBe("privileged")
  expect(role?.rules).toEqual([
    { apiGroups: [""], resources: ["pods"], verbs: ["get"] },
    { apiGroups: [""], resources: ["pods"], verbs: ["list", "watch"] },
  ])
  expect(binding?.subjects).toEqual([{ kind: "ServiceAccount", name: "conduit-cni", namespace: "mesh-cni" }])
  expect(daemon).toMatchObject({
    spec: {
      template: {
        spec: {
          hostNetwork: true,
          containers: [
            {
              image: "conduit/cni:1.2.3",
              securityContext: {
                allowPrivilegeEscalation: false,
                capabilities: { drop: ["ALL"], add: ["DAC_OVERRIDE", "NET_ADMIN", "NET_RAW", "SYS_ADMIN"] },
              },
            },
          ],
        },
      },
    },
  })
  expect(JSON.stringify(daemon)).toContain('"path":"/usr/libexec/cni"')
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
  ["cni.binDir=opt/cni", "cni.binDir must be an absolute path"],
  ["cni.confDir=/etc/../x", "cni.confDir must be an absolute path"],
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
