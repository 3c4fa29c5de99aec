// package.json and package-lock.json: what makes `npm ci` work on every machine, and gives it the same packages.
import { expect, test } from "bun:test"
import manifest from "../../package.json" with { type: "json" }
import lock from "../../package-lock.json" with { type: "json" }

interface Locked {
  readonly version?: string
  readonly resolved?: string
  readonly os?: readonly string[]
  readonly optionalDependencies?: Readonly<Record<string, string>>
}
const PACKAGES: Readonly<Record<string, Locked>> = lock.packages

test("every dependency is named at an exact version", () => {
  const all = { ...manifest.dependencies, ...manifest.devDependencies }
  expect(Object.entries(all).filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([])
})

test("the lock names no registry", () => {
  expect(Object.entries(PACKAGES).filter(([, one]) => one.resolved !== undefined)).toEqual([])
})

test("the lock has every platform's package, or npm ci would refuse it where the registry lacks one", () => {
  const missing = Object.entries(PACKAGES).flatMap(([path, one]) =>
    Object.keys(one.optionalDependencies ?? {}).filter(
      name =>
        ![`${path}/node_modules/${name}`, `node_modules/${name}`].some(
          at => PACKAGES[at]?.version !== undefined,
        ),
    ),
  )
  expect(missing).toEqual([])
})
