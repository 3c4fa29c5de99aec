// The destination service of `destination_bench.ts`, in a process of its own: a simulated cluster, read from the objects
// that an API server would give, served over mutual TLS as in a cluster.
//
// stdin:  `change NAMESPACE POD` turns the pod's readiness over; `figures` asks for them
// stdout: JSON, a line each: {port} when it serves, then {cpuMicros, anonymousBytes, residentBytes, updates, open, watches}
import { readFileSync } from "node:fs"
import { createSecureContext } from "node:tls"
import { type ClusterChange, ClusterStore, readObject } from "../../control/cluster/mod.ts"
import { serveDestination } from "../../control/destination/mod.ts"
import { clusterObjects, NAMES, podObject, type SimulatedCluster } from "./simulated_cluster.ts"

/** What the parent passes, as JSON in the only argument. */
export interface ServerOptions {
  readonly cluster: SimulatedCluster
  /** PEM files; null for plaintext. */
  readonly tls: { readonly cert: string; readonly key: string; readonly ca: string } | null
}

if (import.meta.main) {
  const { cluster, tls } = JSON.parse(process.argv[2] ?? "{}") as ServerOptions
  const store = new ClusterStore()
  store.apply(changesOf(clusterObjects(cluster)))
  store.markSynced()
  const context =
    tls === null
      ? null
      : createSecureContext({
          cert: readFileSync(tls.cert),
          key: readFileSync(tls.key),
          ca: readFileSync(tls.ca),
          minVersion: "TLSv1.3",
        })
  const server = await serveDestination(store, {
    host: "127.0.0.1",
    port: 0,
    names: NAMES,
    ...(context === null
      ? {}
      : {
          tls: {
            context: () => context,
            names: NAMES,
            client: "required",
            plaintext: "refused",
            onRefused: (_reason, detail) => console.error(detail),
          },
        }),
  })
  console.log(JSON.stringify({ port: server.port }))
  const notReady = new Set<string>()
  for await (const line of console) {
    const [verb, namespace = "", name = ""] = line.split(" ")
    if (verb === "change") {
      const key = `${namespace}/${name}`
      const ready = notReady.delete(key)
      if (!ready) notReady.add(key)
      store.apply(changesOf([podObject(cluster, namespace, name, ready)]))
    } else {
      const { updates, open, watches, refused, dropped } = server.counts
      const used = process.cpuUsage()
      console.log(
        JSON.stringify({
          cpuMicros: used.user + used.system,
          residentBytes: process.memoryUsage.rss(),
          updates,
          open,
          watches,
          refused,
          dropped,
        }),
      )
    }
  }
}

function* changesOf(objects: Iterable<object>): Generator<ClusterChange> {
  for (const object of objects) {
    const { object: put } = readObject(object)
    if (put !== null) yield { put }
  }
}
