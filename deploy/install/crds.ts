// Our CustomResourceDefinitions: what the API server itself checks of our objects. The rest is checked where they are
// read, and said there with its field.
import {
  FAILURE_POLICIES,
  MAX_PLUGIN_COMMAND_WORDS,
  MAX_PLUGIN_ORDER,
  PLUGIN_API_VERSION,
  PLUGIN_HOOKS,
  PLUGIN_KIND,
  PLUGIN_MODES,
  PLUGIN_PLURAL,
} from "../plugin_object/mod.ts"
import {
  EGRESS_ACTIONS,
  EGRESS_FIELDS,
  EGRESS_KIND,
  LIMIT_KEYS,
  MAX_ASKED_HEADERS,
  MAX_LIMIT_REQUESTS,
  MAX_POLICY_RULES,
  MAX_POLICY_VALUES,
  MAX_RATE_LIMITS,
  POLICY_ACTIONS,
  POLICY_FIELDS,
  POLICY_GROUP,
  POLICY_KIND,
  POLICY_KINDS,
  type PolicyKind,
  RATE_LIMIT_FIELDS,
  RATE_LIMIT_KIND,
  TARGET_KINDS,
} from "../policy/mod.ts"
import type { InstallObject } from "./template.ts"

/** Values of one list: as many as the reader takes, and none of them empty. */
const BOUNDS = { type: "array", minItems: 1, maxItems: MAX_POLICY_VALUES } as const
const TEXTS = { ...BOUNDS, items: { type: "string", minLength: 1, maxLength: 4096 } }

/** Every definition, in the order of their names. */
export function crds(): InstallObject[] {
  const action = { name: "Action", type: "string", jsonPath: ".spec.action" }
  return [
    policy(POLICY_KIND, ["authzpolicy"], [action], "Says who may call a workload's ports.", {
      required: ["target", "action", "rules"],
      properties: policySpec(),
    }),
    policy(EGRESS_KIND, [], [action], "Says what a workload may call outside of the cluster.", {
      required: [...EGRESS_FIELDS.spec],
      properties: egressSpec(),
    }),
    policy(RATE_LIMIT_KIND, [], [], "Says how many requests a workload's ports take.", {
      required: [...RATE_LIMIT_FIELDS.spec],
      properties: rateLimitSpec(),
    }),
    definition({
      group: PLUGIN_API_VERSION.split("/")[0] ?? "",
      kind: PLUGIN_KIND,
      plural: PLUGIN_PLURAL,
      scope: "Cluster",
      shortNames: [],
      columns: [
        { name: "Order", type: "integer", jsonPath: ".spec.order" },
        condition("Ready", "Ready", "status"),
        condition("Problems", "Accepted", "message"),
        condition("State", "Ready", "message"),
      ],
      description: "Names a gRPC service that the control plane asks.",
      spec: { required: ["hooks"], properties: pluginSpec() },
    }),
  ]
}

/** A column that shows a field of a condition. */
function condition(name: string, type: string, field: "status" | "message"): object {
  return { name, type: "string", jsonPath: `.status.conditions[?(@.type=="${type}")].${field}` }
}

/** One of our policies, with what all of them have. */
function policy(
  kind: PolicyKind,
  shortNames: readonly string[],
  columns: readonly object[],
  description: string,
  spec: object,
): InstallObject {
  return definition({
    ...{
      group: POLICY_GROUP,
      kind,
      plural: POLICY_KINDS[kind],
      scope: "Namespaced",
      shortNames,
      description,
      spec,
    },
    columns: [
      { name: "Kind", type: "string", jsonPath: ".spec.target.kind" },
      { name: "Target", type: "string", jsonPath: ".spec.target.name" },
      ...columns,
      condition("Problems", "Accepted", "message"),
    ],
  })
}

/** One of our kinds. */
function definition(of: {
  readonly group: string
  readonly kind: string
  readonly plural: string
  readonly scope: "Namespaced" | "Cluster"
  readonly shortNames: readonly string[]
  readonly columns: readonly object[]
  readonly description: string
  readonly spec: object
}): InstallObject {
  const { group, kind, plural, scope, shortNames, columns, description, spec } = of
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${plural}.${group}`, labels: { "app.kubernetes.io/part-of": "conduit" } },
    spec: {
      group,
      scope,
      names: {
        kind,
        listKind: `${kind}List`,
        plural,
        singular: kind.toLowerCase(),
        ...(shortNames.length === 0 ? {} : { shortNames: [...shortNames] }),
        categories: ["conduit"],
      },
      versions: [
        {
          name: "v1alpha1",
          served: true,
          storage: true,
          subresources: { status: {} },
          additionalPrinterColumns: [
            ...columns,
            { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" },
          ],
          schema: {
            openAPIV3Schema: {
              type: "object",
              required: ["spec"],
              description,
              properties: { spec: { type: "object", ...spec }, status: statusSchema() },
            },
          },
        },
      ],
    },
  }
}

/** Fields of which each holds texts. */
function lists(names: readonly string[]): object {
  return Object.fromEntries(names.map(name => [name, TEXTS]))
}

function target(ports: boolean): object {
  return {
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
      ...(ports
        ? {
            ports: {
              ...BOUNDS,
              items: { "x-kubernetes-int-or-string": true },
              description: "Numbers or names of container ports; without it every port.",
            },
          }
        : {}),
    },
  }
}

function policySpec(): object {
  return {
    target: target(true),
    action: {
      type: "string",
      enum: [...POLICY_ACTIONS],
      description: "Deny beats Allow; Audit counts, logs and lets through; Ask has a plugin decide.",
    },
    plugin: {
      type: "string",
      pattern: "^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$",
      description: "Of action Ask: the Plugin, with the hook Authorize, that is asked about each request.",
    },
    headers: {
      ...TEXTS,
      maxItems: MAX_ASKED_HEADERS,
      description: "Of action Ask: header fields that the plugin is told, in lower case.",
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
  }
}

function egressSpec(): object {
  return {
    target: target(false),
    action: {
      type: "string",
      enum: [...EGRESS_ACTIONS],
      description:
        "Deny beats Allow; once an Allow holds, what none allows is denied; Audit counts, logs and lets through.",
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
          hosts: { ...TEXTS, description: 'Names, "*.example.com" for all below that one.' },
          networks: { ...TEXTS, description: "Addresses, as CIDR." },
          ports: { ...BOUNDS, items: { type: "integer", minimum: 1, maximum: 65_535 } },
        },
      },
    },
  }
}

function rateLimitSpec(): object {
  const requests = { type: "integer", minimum: 1, maximum: MAX_LIMIT_REQUESTS }
  return {
    target: target(true),
    limits: {
      type: "array",
      minItems: 1,
      maxItems: MAX_RATE_LIMITS,
      description: "Each proxy counts for its own pod; a request must be within every limit.",
      items: {
        type: "object",
        required: ["requests"],
        properties: {
          name: { type: "string", pattern: "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$" },
          requests: { ...requests, description: "Requests in a period." },
          per: { type: "string", pattern: "^[0-9]{1,5}(s|m|h)$", description: "The period; 1s without it." },
          burst: {
            ...requests,
            description: "Requests that may come at once; as many as requests without it.",
          },
          by: {
            type: "string",
            enum: [...LIMIT_KEYS],
            description:
              "What is counted apart: nothing (Total, the default), each client (Identity; by address where it has none), each value of a header field.",
          },
          header: { type: "string", minLength: 1, maxLength: 256, description: "Of by: Header." },
        },
      },
    },
  }
}

function pluginSpec(): object {
  const deadline = {
    type: "string",
    pattern: "^([0-9]{1,5}(m|s|ms)){1,3}$",
    description: "That a call may take, such as 500ms, which it is without it.",
  }
  const failurePolicy = {
    type: "string",
    enum: [...FAILURE_POLICIES],
    description:
      "What becomes of what it was to decide where it does not answer: Ignore (the default) goes on without it.",
  }
  const name = { type: "string", pattern: "^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$" }
  return {
    service: {
      type: "object",
      required: ["namespace", "name", "port"],
      description:
        "Port of a Service; meshed pods are called over mutual TLS. One of service, address and command.",
      properties: { namespace: name, name, port: { type: "integer", minimum: 1, maximum: 65_535 } },
    },
    address: {
      type: "string",
      maxLength: 262,
      description: "host:port; in plaintext unless tls names who signs its certificate.",
    },
    command: {
      type: "array",
      minItems: 1,
      maxItems: MAX_PLUGIN_COMMAND_WORDS,
      items: { type: "string", minLength: 1, maxLength: 4096 },
      description: "A program that a local mesh runs; a cluster runs none.",
    },
    hooks: {
      type: "array",
      minItems: 1,
      maxItems: PLUGIN_HOOKS.length,
      items: {
        type: "object",
        required: ["name"],
        properties: {
          name: { type: "string", enum: [...PLUGIN_HOOKS] },
          mode: {
            type: "string",
            enum: [...PLUGIN_MODES],
            description:
              "Audit asks it and counts what it would refuse; conduit policy what-if shows it. Enforce is the default.",
          },
          deadline,
          failurePolicy,
          namespaces: {
            ...TEXTS,
            description:
              "Of the hook Policy with failurePolicy Fail: namespaces whose pods take nothing until it has answered once.",
          },
        },
      },
    },
    order: {
      type: "integer",
      minimum: -MAX_PLUGIN_ORDER,
      maximum: MAX_PLUGIN_ORDER,
      description: "Plugins with a lower order are asked first; 0 without it.",
    },
    deadline,
    failurePolicy,
    tls: {
      type: "object",
      required: ["caBundle"],
      description: "Of address.",
      properties: {
        caBundle: { type: "string", format: "byte", description: "PEM certificates in base64." },
        serverName: {
          ...name,
          description: "That the certificate must bear; the host of the address without it.",
        },
      },
    },
    configuration: {
      type: "object",
      "x-kubernetes-preserve-unknown-fields": true,
      description: "Passed on as it is; the plugin says by a JSON Schema what fits.",
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
