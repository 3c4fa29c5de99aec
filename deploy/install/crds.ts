// Our CustomResourceDefinitions: what the API server itself checks of our objects. The rest is checked where they are
// read, and said there with its field.
import {
  MAX_POLICY_RULES,
  MAX_POLICY_VALUES,
  POLICY_ACTIONS,
  POLICY_GROUP,
  POLICY_KIND,
  TARGET_KINDS,
} from "../policy/mod.ts"
import type { InstallObject } from "./template.ts"

const TEXT = { type: "string", minLength: 1, maxLength: 4096 }
const TEXTS = { type: "array", minItems: 1, maxItems: MAX_POLICY_VALUES, items: TEXT }

/** Every definition, in the order of their names. */
export function crds(): InstallObject[] {
  return [
    {
      apiVersion: "apiextensions.k8s.io/v1",
      kind: "CustomResourceDefinition",
      metadata: {
        name: `authorizationpolicies.${POLICY_GROUP}`,
        labels: { "app.kubernetes.io/part-of": "conduit" },
      },
      spec: {
        group: POLICY_GROUP,
        scope: "Namespaced",
        names: {
          kind: POLICY_KIND,
          listKind: `${POLICY_KIND}List`,
          plural: "authorizationpolicies",
          singular: "authorizationpolicy",
          shortNames: ["authzpolicy"],
          categories: ["conduit"],
        },
        versions: [
          {
            name: "v1alpha1",
            served: true,
            storage: true,
            additionalPrinterColumns: [
              { name: "Kind", type: "string", jsonPath: ".spec.target.kind" },
              { name: "Target", type: "string", jsonPath: ".spec.target.name" },
              { name: "Action", type: "string", jsonPath: ".spec.action" },
              { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" },
            ],
            schema: { openAPIV3Schema: policySchema() },
          },
        ],
      },
    },
  ]
}

function policySchema(): object {
  const fields = (names: readonly string[]): object => ({
    type: "object",
    properties: Object.fromEntries(names.map(name => [name, TEXTS])),
  })
  return {
    type: "object",
    required: ["spec"],
    description: "Says who may call a workload's ports.",
    properties: {
      spec: {
        type: "object",
        required: ["target", "action", "rules"],
        properties: {
          target: {
            type: "object",
            required: ["kind"],
            description: "What the policy holds for, in its own namespace; kind Namespace covers all of it.",
            properties: {
              kind: { type: "string", enum: [...TARGET_KINDS] },
              name: { type: "string", maxLength: 253 },
              ports: {
                type: "array",
                minItems: 1,
                maxItems: MAX_POLICY_VALUES,
                items: { "x-kubernetes-int-or-string": true },
                description: "Numbers or names of container ports; without it every port.",
              },
            },
          },
          action: { type: "string", enum: [...POLICY_ACTIONS] },
          rules: {
            type: "array",
            minItems: 1,
            maxItems: MAX_POLICY_RULES,
            items: {
              type: "object",
              properties: {
                from: {
                  type: "array",
                  maxItems: MAX_POLICY_VALUES,
                  description: "Clients; without it anybody.",
                  items: fields(["deployments", "serviceAccounts", "namespaces", "identities", "networks"]),
                },
                to: {
                  type: "array",
                  maxItems: MAX_POLICY_VALUES,
                  description: "Requests; without it anything.",
                  items: fields(["methods", "paths"]),
                },
              },
            },
          },
        },
      },
      status: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
    },
  }
}
