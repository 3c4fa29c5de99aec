// The custom resource definition and the reader must say the same: fields, choices, bounds.
import { expect, test } from "bun:test"
import {
  MAX_POLICY_RULES,
  MAX_POLICY_VALUES,
  POLICY_ACTIONS,
  POLICY_FIELDS,
  POLICY_GROUP,
  POLICY_KIND,
  TARGET_KINDS,
} from "../policy/mod.ts"
import { crds } from "./crds.ts"

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>
  readonly items?: Schema
  readonly enum?: readonly string[]
  readonly required?: readonly string[]
  readonly maxItems?: number
  readonly minItems?: number
  readonly type?: string
}

interface Definition {
  readonly group: string
  readonly names: { readonly kind: string }
  readonly versions: readonly {
    readonly name: string
    readonly subresources: object
    readonly schema: { readonly openAPIV3Schema: Schema }
  }[]
}

const [crd] = crds()
const spec = crd?.spec as Definition
const [version] = spec.versions
const schema: Schema = version?.schema.openAPIV3Schema ?? {}

function at(...path: string[]): Schema {
  let found = schema
  for (const step of path) {
    const next = step === "[]" ? found.items : found.properties?.[step]
    if (next === undefined) throw new Error(`the definition has no ${path.join(".")}`)
    found = next
  }
  return found
}

function fields(...path: string[]): string[] {
  return Object.keys(at(...path).properties ?? {}).sort()
}

test("group, version and kind are the reader's", () => {
  expect([spec.group, version?.name, spec.names.kind]).toEqual([POLICY_GROUP, "v1alpha1", POLICY_KIND])
})

test("every mapping has the fields that the reader knows, no more and no fewer", () => {
  expect(fields("spec")).toEqual([...POLICY_FIELDS.spec].sort())
  expect(fields("spec", "target")).toEqual([...POLICY_FIELDS.target].sort())
  expect(fields("spec", "rules", "[]")).toEqual([...POLICY_FIELDS.rule].sort())
  expect(fields("spec", "rules", "[]", "from", "[]")).toEqual([...POLICY_FIELDS.from].sort())
  expect(fields("spec", "rules", "[]", "to", "[]")).toEqual([...POLICY_FIELDS.to].sort())
})

test("choices and bounds are the reader's", () => {
  expect(at("spec", "target", "kind").enum).toEqual([...TARGET_KINDS])
  expect(at("spec", "action").enum).toEqual([...POLICY_ACTIONS])
  expect(at("spec", "rules").maxItems).toBe(MAX_POLICY_RULES)
  for (const list of ["from", "to"]) expect(at("spec", "rules", "[]", list).maxItems).toBe(MAX_POLICY_VALUES)
  for (const kind of POLICY_FIELDS.from) {
    expect(at("spec", "rules", "[]", "from", "[]", kind)).toMatchObject({
      minItems: 1,
      maxItems: MAX_POLICY_VALUES,
    })
  }
  expect(at("spec").required).toEqual(["target", "action", "rules"])
})

test("the schema is a structural one without rules in CEL", () => {
  const text = JSON.stringify(schema)
  expect(text).not.toContain("x-kubernetes-validations")
  expect(text).not.toContain("x-kubernetes-preserve-unknown-fields")
  expect(schema.type).toBe("object")
})

test("the status is a subresource, so that who writes policies does not write what became of them", () => {
  expect(version?.subresources).toEqual({ status: {} })
  expect(fields("status", "conditions", "[]")).toContain("observedGeneration")
})
