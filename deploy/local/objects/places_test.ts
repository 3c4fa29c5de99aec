// From an object's field to its line in the manifests that people wrote.
import { expect, test } from "bun:test"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { placesIn } from "./places.ts"

const SHOP = `apiVersion: v1
kind: Service
metadata:
  name: cart
  namespace: shop
  annotations:
    config.conduit.io/opaque-ports: "80"
spec:
  ports:
    - port: 80
    - port: 90
---
apiVersion: v1
kind: List
items:
  - apiVersion: v1
    kind: Service
    metadata: { name: web }
    spec:
      selector: { app: web }
---
not: [yaml
`

test("a field leads to its line, in lists and in any namespace where the file names none; what is not there leads nowhere", () => {
  const folder = mkdtempSync(join(tmpdir(), "conduit-places-"))
  try {
    const file = join(folder, "shop.yaml")
    writeFileSync(file, SHOP)
    const find = placesIn([folder])
    const line = (name: string, namespace: string, field: string) =>
      find({ kind: "Service", namespace, name, field })
    expect(line("cart", "shop", "spec.ports[1]")).toEqual({ file, line: 11 })
    expect(line("cart", "shop", 'metadata.annotations["config.conduit.io/opaque-ports"]')?.line).toBe(7)
    expect(line("cart", "shop", "spec.ports[1].targetPort")?.line).toBe(11)
    expect(line("cart", "shop", "")?.line).toBe(1)
    expect(line("web", "anywhere", "spec.selector")?.line).toBe(20)
    expect(line("cart", "desk", "")).toBeNull()
    expect(
      placesIn([join(folder, "gone.yaml")])({ kind: "Service", namespace: "shop", name: "cart", field: "" }),
    ).toBeNull()
  } finally {
    rmSync(folder, { recursive: true })
  }
})
