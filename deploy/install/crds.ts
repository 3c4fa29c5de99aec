// Our CustomResourceDefinitions: what the API server itself checks of our objects. The rest is checked where they are
// read, and said there with its field.
import {
  MAX_POLICY_RULES,
  MAX_POLICY_VALUES,
  POLICY_ACTIONS,
  POLICY_FIELDS,
  POLICY_GROUP,
  POLICY_KIND,
  TARGET_KINDS,
} from "../policy/mod.ts"
import type { InstallObject } from "./template.ts"

/** Values of one list: as many as the reader takes, and none of them empty. */
const BOUNDS = { type: "array", minItems: 1, maxItems: MAX_POLICY_VALUES } as const
const TEXTS = { ...BOUNDS, items: { type: "string", minLength: 1, maxLength: 4096 } }

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
            subresources: { status: {} },
            additionalPrinterColumns: [
              { name: "Kind", type: "string", jsonPath: ".spec.target.kind" },
              { name: "Target", type: "string", jsonPath: ".spec.target.name" },
              { name: "Action", type: "string", jsonPath: ".spec.action" },
              {
                name: "Problems",
                type: "string",
                jsonPath: '.status.conditions[?(@.type=="Accepted")].message',
              },
              { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" },
            ],
            schema: { openAPIV3Schema: policySchema() },
          },
        ],
      },
    },
  ]
}

/** Fields of which each holds texts. */
function lists(names: readonly string[]): object {
  return Object.fromEntries(names.map(name => [name, TEXTS]))
}

function policySchema(): object {
  return {
    type: "object",
    required: ["spec"],
    description: "Says who may call a workload's ports.",
    properties: {
      spec: {
        type: "object",
        required: [...POLICY_FIELDS.spec],
        properties: {
          target: {
            type: "object",
            required: ["kind"],
            description: "What the policy holds for, in its own namespace; kind Namespace covers all of it.",
            properties: {
              kind: { type: "string", enum: [...TARGET_KINDS] },
              name: {
                type: "string",
                pattern: "^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$",
                description: "Of a Namespace it may be left out.",
              },
              ports: {
                ...BOUNDS,
                items: { "x-kubernetes-int-or-string": true },
                description: "Numbers or names of container ports; without it every port.",
              },
            },
          },
          action: {
            type: "string",
            enum: [...POLICY_ACTIONS],
            description: "Deny beats Allow; Audit counts, logs and lets through.",
          },
          rules: {
            type: "array",
            minItems: 1,
            maxItems: MAX_POLICY_RULES,
            description: "The policy matches what any rule matches.",
            items: {
              type: "object",
              minProperties: 1,
              properties: {
                from: {
                  ...BOUNDS,
                  description: "Any of these clients; without it anybody. Each entry has exactly one field.",
                  items: {
                    type: "object",
                    minProperties: 1,
                    maxProperties: 1,
                    properties: lists(POLICY_FIELDS.from),
                  },
                },
                to: {
                  ...BOUNDS,
                  description:
                    "Any of these requests; without it any. Never matches what is not HTTP, except that a Deny then refuses the connection.",
                  items: { type: "object", minProperties: 1, properties: lists(POLICY_FIELDS.to) },
                },
              },
            },
          },
        },
      },
      status: statusSchema(),
    },
  }
}

/** Conditions as everywhere in Kubernetes; each type has one writer. */
function statusSchema(): object {
  const text = { type: "string" }
  return {
    type: "object",
    properties: {
      conditions: {
        type: "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        items: {
          type: "object",
          required: ["type", "status"],
          properties: {
            type: text,
            status: text,
            reason: text,
            message: text,
            lastTransitionTime: { type: "string", format: "date-time" },
            observedGeneration: { type: "integer" },
          },
        },
      },
    },
  }
}
