// Which Services ask for faults, in the words that people read.
import { expect, test } from "bun:test"
import { ClusterStore, readManifestFile } from "../cluster/mod.ts"
import { injectedFaults } from "./injected_faults.ts"

function service(name: string, annotations: Record<string, string>): string {
  const metadata = JSON.stringify({ name, namespace: "shop", annotations })
  return `apiVersion: v1\nkind: Service\nmetadata: ${metadata}\nspec: { ports: [{ port: 80 }] }\n`
}

test("each is told with what its callers meet, and others are not", () => {
  const delay = { "fault.conduit.io/delay": "2s", "fault.conduit.io/delay-percent": "25" }
  const { objects } = readManifestFile(
    "m.yaml",
    [
      service("web", {}),
      service("slow", delay),
      service("both", { ...delay, "fault.conduit.io/abort": "503" }),
      service("off", { ...delay, "fault.conduit.io/delay-percent": "0" }),
    ].join("---\n"),
  )
  const store = new ClusterStore()
  store.apply([...objects.values()].map(put => ({ put })))
  const why = ", since its annotations fault.conduit.io/* ask for it"
  expect(injectedFaults(store, "").map(({ service: { name }, message }) => [name, message])).toEqual([
    ["both", `25 % of requests are delayed by 2000 ms, 100 % of requests are answered 503${why}`],
    ["slow", `25 % of requests are delayed by 2000 ms${why}`],
  ])
  expect(injectedFaults(store, "elsewhere")).toEqual([])
})
