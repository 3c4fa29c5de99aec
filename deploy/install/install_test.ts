// The objects of an installation: the same for the same values, restricted, with rights for what the control plane reads;
// the committed chart is what the description gives.
import { describe, expect, test } from "bun:test"
import { readdirSync, readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import { parseAllDocuments } from "yaml"
import project from "../../package.json" with { type: "json" }
import { makeAuthority } from "../identity/mod.ts"
import { withAuthority } from "./authority.ts"
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
    const definition = "CustomResourceDefinition"
    expect(kinds("all").slice(0, 6)).toEqual([
      ...["Namespace", definition, definition, definition, definition, "ServiceAccount"],
    ])
    expect(new Set(kinds("crds"))).toEqual(new Set(["CustomResourceDefinition"]))
    expect(kinds("without-crds")).not.toContain("CustomResourceDefinition")
  })
})

test("every pod meets the restricted Pod Security Standard, and takes no settings from names of Services", () => {
  for (const { name } of COMPONENTS) {
    const deployment = find(installObjects(fillingOf()), "Deployment", `conduit-${name}`)
    expect(deployment).toMatchObject({
      spec: {
        template: {
          spec: {
            enableServiceLinks: false,
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

/** Rules of roles, by whether anybody is bound to them. */
function rulesOf(bound: boolean) {
  const objects = installObjects(fillingOf())
  const roles = objects.flatMap(({ kind, roleRef }) =>
    kind.endsWith("Binding") ? [(roleRef as { name: string }).name] : [],
  )
  return objects
    .filter(({ kind, metadata }) => kind.endsWith("Role") && roles.includes(metadata.name) === bound)
    .flatMap(({ rules }) => rules as Readonly<Record<string, string[]>>[])
}

/** What is more than read. */
const WRITTEN: Readonly<Record<string, string[]>> = {
  tokenreviews: ["create"],
  subjectaccessreviews: ["create"],
  "authorizationpolicies/status": ["patch"],
  "egresspolicies/status": ["patch"],
  "ratelimitpolicies/status": ["patch"],
  "plugins/status": ["patch"],
  "httproutes/status": ["patch"],
  "grpcroutes/status": ["patch"],
  "tlsroutes/status": ["patch"],
  "tcproutes/status": ["patch"],
}

test("no right of the control plane is on secrets or on everything, and little is written", () => {
  expect(rulesOf(true).length).toBeGreaterThan(5)
  for (const { verbs = [], resources = [], resourceNames = [], apiGroups = [] } of rulesOf(true)) {
    expect([...resources, ...apiGroups, ...verbs]).not.toContain("*")
    expect(resources).not.toContain("secrets")
    if (verbs.every(verb => ["get", "list", "watch"].includes(verb))) continue
    for (const resource of resources) {
      if (resource === "mutatingwebhookconfigurations")
        expect([verbs, resourceNames]).toEqual([["get", "patch"], ["conduit-mesh-injector"]])
      else expect(verbs).toEqual(WRITTEN[resource] ?? [])
    }
  }
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
          {
            operator: "NotIn",
            values: ["kube-system", "kube-public", "kube-node-lease", "mesh", "mesh-cni"],
          },
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

test("roles for who looks at the mesh are bound to nobody, and reach no secret, no exec, and two ConfigMaps only", () => {
  const rules = rulesOf(false)
  expect(rules.length).toBe(7)
  for (const { resources = [], resourceNames, nonResourceURLs } of rules) {
    if (nonResourceURLs !== undefined) expect(nonResourceURLs).toEqual(["/conduit.api.v1.ApiService/*"])
    else if (resources[0] === "configmaps")
      expect(resourceNames).toEqual(["conduit-identity-trust-roots", "conduit-config"])
    // Tokens of the accounts that tap, and of no others.
    else if (resources[0] === "serviceaccounts/token")
      expect(["conduit-tapper", "conduit-header-tapper"]).toContain(resourceNames?.join() ?? "")
    else expect(["pods", "pods/portforward", "deployments"]).toContain(resources.join())
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

test("figures are kept with the pod, or in a claim of the size and class that are asked for", () => {
  const volumeOf = (objects: ReturnType<typeof installObjects>) => {
    const { spec } = find(objects, "Deployment", "conduit-telemetry") as never as {
      spec: { template: { spec: { volumes: { name: string }[]; containers: { env: unknown[] }[] } } }
    }
    return spec.template.spec.volumes.find(({ name }) => name === "history")
  }
  const plain = installObjects(fillingOf())
  expect(volumeOf(plain)).toEqual({ name: "history", emptyDir: { sizeLimit: "1Gi" } } as never)
  expect(find(plain, "PersistentVolumeClaim", "conduit-telemetry-history")).toBeUndefined()
  const kept = installObjects(fillingOf("telemetry.persistence.enabled=true,telemetry.persistence.size=8Gi"))
  const claim = { claimName: "conduit-telemetry-history" }
  expect(volumeOf(kept)).toEqual({ name: "history", persistentVolumeClaim: claim } as never)
  expect(find(kept, "PersistentVolumeClaim", "conduit-telemetry-history")).toMatchObject({
    spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "8Gi" } } },
  })
  expect(JSON.stringify(kept)).not.toContain("storageClassName")
  const asked = JSON.stringify(installObjects(fillingOf("telemetry.prometheusUrl=http://prometheus:9090")))
  expect(asked).toContain('"CONDUIT_PROMETHEUS_URL","value":"http://prometheus:9090"')
})

describe("the authority", () => {
  const NOW = Date.parse("2026-01-01T00:00:00Z")

  async function authority(nowMs = NOW) {
    const made = await makeAuthority({ trustDomain: "cluster.local", controlNamespace: "mesh", nowMs })
    return {
      identityTrustAnchorsPEM: made.anchor,
      identity: { issuer: { crtPEM: made.issuer, keyPEM: made.issuerKey } },
    }
  }

  test("is made where none is given, differs each time, and is good", async () => {
    const [first, second] = await Promise.all([
      withAuthority(valuesOf(), "mesh", NOW),
      withAuthority(valuesOf(), "mesh", NOW),
    ])
    expect(first.identityTrustAnchorsPEM).not.toBe(second.identityTrustAnchorsPEM)
    expect(await withAuthority(first, "mesh", NOW)).toBe(first)
  })

  test("has its key in one Secret and nowhere else, and its anchors in one ConfigMap", async () => {
    const given = await authority()
    const values = readValues([{ from: "f", values: given }])
    const objects = installObjects({ ...fillingOf(), values })
    const key = given.identity.issuer.keyPEM
    const middle = key.split("\n")[1] ?? ""
    const holding = (what: string) =>
      objects.filter(object => JSON.stringify(object).includes(what)).map(({ kind }) => kind)
    expect(holding(Buffer.from(key).toString("base64"))).toEqual(["Secret"])
    expect(holding(middle)).toEqual([])
    expect(find(objects, "ConfigMap", "conduit-identity-trust-roots")).toMatchObject({
      data: { "ca-bundle.crt": given.identityTrustAnchorsPEM },
    })
  })

  test("is mounted into identity alone; every other component has anchors, and a token of our audience if it is a member", () => {
    const values = readValues([{ from: "f", values: {} }])
    for (const { name } of COMPONENTS) {
      const deployment = find(installObjects({ ...fillingOf(), values }), "Deployment", `conduit-${name}`)
      const { volumes } = (deployment as unknown as { spec: { template: { spec: { volumes: object[] } } } })
        .spec.template.spec
      const text = JSON.stringify(volumes)
      expect({ name, secret: text.includes("conduit-identity-issuer") }).toEqual({
        name,
        secret: name === "identity",
      })
      // API servers call the injector, and could not check an identity of the mesh.
      if (name !== "injector") expect(text).toContain('"audience":"identity.conduit.io"')
      expect(text).toContain("conduit-identity-trust-roots")
    }
  })

  test("that is given is refused when its parts do not belong together, without a byte of the key", async () => {
    const [one, other] = await Promise.all([authority(), authority()])
    const foreignAnchor = readValues([
      { from: "f", values: { ...one, identityTrustAnchorsPEM: other.identityTrustAnchorsPEM } },
    ])
    expect(withAuthority(foreignAnchor, "mesh", NOW)).rejects.toThrow(
      "identity.issuer.crtPEM chains to none of the trust anchors (of identityTrustAnchorsPEM)",
    )
    const { crtPEM } = one.identity.issuer
    const { keyPEM } = other.identity.issuer
    const foreignKey = readValues([
      { from: "f", values: { ...one, identity: { issuer: { crtPEM, keyPEM } } } },
    ])
    expect(withAuthority(foreignKey, "mesh", NOW)).rejects.toThrow(
      /^identity\.issuer\.keyPEM does not belong to the certificate in identity\.issuer\.crtPEM$/,
    )
  })

  test("of a running mesh is kept as it is, also when it has expired; given anew it is refused", async () => {
    const running = readValues([{ from: "f", values: await authority(NOW - 400 * 24 * 3_600_000) }])
    expect(await withAuthority(running, "mesh", NOW, running)).toBe(running)
    expect(withAuthority(running, "mesh", NOW)).rejects.toThrow("expired on")
  })

  test("of another's Secret needs the anchors only, and no Secret is printed", async () => {
    const { identityTrustAnchorsPEM } = await authority()
    const external = { identityExternalIssuer: true, identityTrustAnchorsPEM }
    const values = await withAuthority(readValues([{ from: "f", values: external }]), "mesh", NOW)
    expect(installObjects({ ...fillingOf(), values }).some(({ kind }) => kind === "Secret")).toBe(false)
    expect(() => valuesOf("identityExternalIssuer=true")).toThrow("needs identityTrustAnchorsPEM")
  })
})

test.each([
  ["ha=yes", "--set: ha must be true or false"],
  ["h=1", 'there is no value h (did you mean "ha"?)'],
  ["image=x", "--set: image must be a mapping"],
  ["image.pullPolicy=Sometimes", "image.pullPolicy must be one of Always, IfNotPresent, Never"],
  ["identityIssuanceLifetime=1s", "identityIssuanceLifetime must be a duration such as 24h, of 10 s to"],
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
