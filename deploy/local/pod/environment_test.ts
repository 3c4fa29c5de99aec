// Environments as Kubernetes composes them.
import { expect, test } from "bun:test"
import { environmentOf, expand, fieldValue, MissingSourceError, resourceValue } from "./environment.ts"

const pod = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "web-1", namespace: "shop", labels: { "app.io/name": "web" } },
  spec: { nodeName: "local" },
  status: { podIP: "10.244.0.9", podIPs: [{ ip: "10.244.0.9" }, { ip: "fd00::9" }] },
}

const sources = {
  pod,
  configMap: (name: string) => (name === "conf" ? { greeting: "hello" } : null),
  secret: (name: string) => (name === "secret" ? { password: "s3cret" } : null),
}

test("variables may refer to those before them; unknown ones and escaped ones stay", () => {
  const container = {
    name: "c",
    env: [
      { name: "A", value: "1" },
      { name: "B", value: "$(A)-$(C)-$$(A)-$A" },
      { name: "C", value: "$(B)!" },
    ],
  }
  expect(environmentOf(container, {}, sources)).toEqual({ A: "1", B: "1-$(C)-$(A)-$A", C: "1-$(C)-$(A)-$A!" })
})

test("values come from fields, ConfigMaps and Secrets, and a container's own win over both", () => {
  const container = {
    name: "c",
    envFrom: [{ prefix: "P_", configMapRef: { name: "conf" } }, { secretRef: { name: "secret" } }],
    env: [
      { name: "IP", valueFrom: { fieldRef: { fieldPath: "status.podIPs" } } },
      { name: "LABEL", valueFrom: { fieldRef: { fieldPath: "metadata.labels['app.io/name']" } } },
      { name: "password", value: "mine" },
      { name: "NONE", valueFrom: { configMapKeyRef: { name: "conf", key: "nope", optional: true } } },
    ],
  }
  expect(environmentOf(container, { PATH: "/bin" }, sources)).toEqual({
    PATH: "/bin",
    P_greeting: "hello",
    password: "mine",
    IP: "10.244.0.9,fd00::9",
    LABEL: "web",
  })
})

test("what does not exist is waited for by name, unless it is optional", () => {
  const from = (valueFrom: object) => () =>
    environmentOf({ name: "c", env: [{ name: "X", valueFrom }] }, {}, sources)
  expect(from({ secretKeyRef: { name: "nope", key: "k" } })).toThrow(
    new MissingSourceError('Secret "nope" does not exist'),
  )
  expect(from({ secretKeyRef: { name: "secret", key: "k" } })).toThrow('Secret "secret" has no key "k"')
  expect(from({ secretKeyRef: { name: "nope", key: "k", optional: true } })()).toEqual({})
  expect(() => fieldValue(pod, "spec.colour")).toThrow('"spec.colour" is not a field that pods offer')
})

test("resources read as whole units", () => {
  const container = { name: "c", resources: { limits: { memory: "1.5Mi", cpu: "250m" } } }
  expect(resourceValue(container, "limits.memory")).toBe("1572864")
  expect(resourceValue(container, "limits.cpu")).toBe("1")
  expect(resourceValue(container, "requests.cpu")).toBe("0")
})

test("an expansion leaves shells' own syntax alone", () => {
  expect(expand("$HOME `X` $(date) $$", { X: "1" })).toBe("$HOME `X` $(date) $")
})
