// `conduit` as a person or a program meets it: a process, its two outputs and its exit code, against a real API server
// on the loopback interface.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { fileURLToPath } from "node:url"
import { Code, ConnectError } from "@connectrpc/connect"
import { connectNodeAdapter } from "@connectrpc/connect-node"
import { ApiService, type StatRequest } from "../protos/mod.ts"

const MAIN = fileURLToPath(new URL("./main.ts", import.meta.url))
const BUSY = {
  resource: { namespace: "shop", kind: "deployment", name: "web" },
  meshedPods: 2,
  totalPods: 2,
  http: {
    success: 0.9876,
    rps: 12.34,
    latencyMs: { p50: 1.5, p95: 20, p99: 42.4 },
    responses: 740n,
    failures: 9n,
  },
  tcp: { open: 3n, readBytesPerSec: 2048, writeBytesPerSec: 10 },
}
const QUIET = {
  resource: { namespace: "shop", kind: "deployment", name: "worker" },
  meshedPods: 0,
  totalPods: 1,
}

let server: Server
let address = ""
let lastStat: StatRequest | null = null

beforeAll(async () => {
  const handler = connectNodeAdapter({
    routes: router => {
      router.service(ApiService, {
        version: () => ({ controlPlane: "9.9.9", proxies: [{ version: "9.9.8", pods: 1 }] }),
        stat: request => {
          lastStat = request
          if (request.target?.labelSelector === "!!")
            throw new ConnectError('"!!" is no label selector', Code.InvalidArgument)
          return {
            rows: [BUSY, QUIET].filter(row => ["", row.resource.name].includes(request.target?.name ?? "")),
          }
        },
        edges: () => ({
          edges: [
            {
              from: BUSY.resource,
              to: { ...BUSY.resource, name: "cart" },
              http: BUSY.http,
              reason: "no identity",
            },
          ],
        }),
        endpoints: request => ({
          services:
            request.service === "nothing"
              ? []
              : [
                  {
                    namespace: "shop",
                    service: "web",
                    port: 80,
                    portName: "http",
                    endpoints: [
                      {
                        ip: "10.0.0.7",
                        port: 8080,
                        namespace: "shop",
                        pod: "web-1",
                        workload: BUSY.resource,
                        meshed: true,
                      },
                    ],
                  },
                  { namespace: "shop", service: "idle", port: 81, endpoints: [] },
                ],
        }),
        async *proxyMetrics(request) {
          if (request.target?.name === "none") return
          yield { namespace: "shop", pod: "web-1", text: "request_total 5\n" }
          if (request.target?.name === "half")
            yield { namespace: "shop", pod: "web-2", error: "ECONNREFUSED" }
        },
      })
    },
  })
  server = createServer(handler)
  await new Promise<void>(resolve => server.listen(0, "127.0.0.1", resolve))
  address = `127.0.0.1:${(server.address() as AddressInfo).port}`
})

afterAll(() => {
  server.closeAllConnections()
  server.close()
})

interface Ended {
  readonly out: string
  readonly err: string
  readonly code: number
}

async function conduit(words: string, env: Record<string, string> = {}): Promise<Ended> {
  const child = Bun.spawn([process.execPath, MAIN, ...words.split(" ")], {
    env: { PATH: process.env.PATH ?? "", CONDUIT_API_ADDR: address, ...env },
    stdout: "pipe",
    stderr: "pipe",
  })
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  return { out, err, code }
}

test("stat shows a table, with a dash where no traffic was", async () => {
  const { out, err, code } = await conduit("stat deploy -n shop")
  expect(out).toBe(
    [
      "NAME     MESHED   SUCCESS    RPS     P50    P95    P99   TCP_CONN",
      "web         2/2    98.76%   12.3   1.5ms   20ms   42ms          3",
      "worker      0/1         -      -       -      -      -          -",
      "",
    ].join("\n"),
  )
  expect({ err, code }).toEqual({ err: "", code: 0 })
})

test("stat -o json is the contract's array, null where no traffic was", async () => {
  const { out } = await conduit("stat deploy -n shop -o json")
  expect(JSON.parse(out)).toEqual([
    {
      namespace: "shop",
      kind: "deployment",
      name: "web",
      meshed: { running: 2, total: 2 },
      success: 0.9876,
      rps: 12.34,
      latencyMs: { p50: 1.5, p95: 20, p99: 42.4 },
      tcp: { open: 3, readBytesPerSec: 2048, writeBytesPerSec: 10 },
    },
    {
      namespace: "shop",
      kind: "deployment",
      name: "worker",
      meshed: { running: 0, total: 1 },
      success: null,
      rps: null,
      latencyMs: { p50: null, p95: null, p99: null },
      tcp: { open: null, readBytesPerSec: null, writeBytesPerSec: null },
    },
  ])
})

test("stat passes on window, labels, namespace and the other end", async () => {
  await conduit("-n=shop stat deploy/web -t30s -l app=web --to deploy/cart --to-namespace back")
  expect(lastStat?.windowMs).toBe(30_000)
  expect(lastStat?.target).toMatchObject({
    namespace: "shop",
    kind: "deployment",
    name: "web",
    labelSelector: "app=web",
  })
  expect(lastStat?.to).toMatchObject({ namespace: "back", kind: "deployment", name: "cart" })
  expect(lastStat?.from).toBeUndefined()
})

test("a resource that does not exist is a failure, an empty list is not", async () => {
  expect(await conduit("stat deploy/nope")).toMatchObject({
    out: "",
    err: 'conduit: deploy/nope was not found in namespace "default" (-n chooses another, -A takes all)\n',
    code: 1,
  })
})

test("-A adds the namespace", async () => {
  expect((await conduit("stat deploy -A")).out.split("\n")[0]).toStartWith("NAMESPACE   NAME ")
})

test("edges are the contract's rows", async () => {
  expect(JSON.parse((await conduit("edges -o json")).out)).toEqual([
    {
      from: { namespace: "shop", kind: "deployment", name: "web" },
      to: { namespace: "shop", kind: "deployment", name: "cart" },
      clientId: null,
      serverId: null,
      secured: false,
      rps: 12.34,
      success: 0.9876,
    },
  ])
  expect((await conduit("edges")).out.split("\n")[1]).toBe(
    "web    shop      cart   shop    no         98.76%   12.3",
  )
})

test("endpoints name the pod behind each address, and Services with nothing behind them", async () => {
  const { out } = await conduit("endpoints -n shop")
  expect(out.split("\n")[1]).toBe("shop        web       80/http   10.0.0.7:8080   web-1   deploy/web   yes")
  expect(out.split("\n")[2]).toBe("shop        idle      81        -               -       -            -")
  expect(await conduit("endpoints nothing")).toMatchObject({ out: "", code: 1 })
  expect(JSON.parse((await conduit("endpoints -n shop -o json")).out)[0].endpoints[0]).toMatchObject({
    ip: "10.0.0.7",
    zone: null,
  })
})

test("metrics are raw text under the pod's name; a proxy that does not answer is told and fails", async () => {
  expect(await conduit("metrics deploy/web")).toEqual({
    out: "# pod shop/web-1\nrequest_total 5\n\n",
    err: "",
    code: 0,
  })
  const half = await conduit("metrics deploy/half")
  expect(half.code).toBe(1)
  expect(half.err).toContain("no metrics of shop/web-2: ECONNREFUSED")
  expect((await conduit("metrics deploy/none")).err).toContain("no meshed pod of deploy/none")
})

test("version knows client, control plane and proxies, and the client alone without a mesh", async () => {
  expect((await conduit("version -o json")).out).toContain('"controlPlane": "9.9.9"')
  expect((await conduit("version")).out).toContain("proxies        9.9.8 (1 pod)")
  expect((await conduit("version --client", { CONDUIT_API_ADDR: "127.0.0.1:1" })).code).toBe(0)
})

test("a control plane that is not there is one sentence and exit code 1", async () => {
  const { out, err, code } = await conduit("stat deploy", { CONDUIT_API_ADDR: "127.0.0.1:1" })
  expect({ out, code }).toEqual({ out: "", code: 1 })
  expect(err).toMatch(
    /^conduit: cannot reach 127\.0\.0\.1:1: no control plane answers at [^\n]+ECONNREFUSED[^\n]*\n$/,
  )
})

test("wrong usage of every kind is one sentence without a stack, nothing on standard output, exit code 2", async () => {
  const wrong: readonly (readonly [string, string])[] = [
    ["stta", 'unknown command "stta" (did you mean "stat"?)'],
    ["stat deploy --namespac shop", 'did you mean "--namespace"?'],
    ["stat deplyo", 'did you mean "deploy"?'],
    ["stat", "RESOURCE is missing"],
    ["stat deploy -t 3x", "write a duration"],
    ["stat deploy -o xml", "one of table, wide, json, yaml"],
    ["stat deploy -l !!", '"!!" is no label selector'],
    ["stat deploy --from deploy/a --to deploy/b", "cannot be used together"],
    ["completion tcsh", "choose bash, zsh, fish"],
    ["version now", '"now" is one argument too many'],
  ]
  for (const [words, said] of wrong) {
    const { out, err, code } = await conduit(words)
    expect({ words, out, code }).toEqual({ words, out: "", code: 2 })
    expect(err).toContain(said)
    expect(err.trimEnd().split("\n")).toHaveLength(1)
    expect(err).not.toMatch(/\n\s+at /)
  }
})

test("help stands on standard output for the program and for each command", async () => {
  for (const words of ["--help", "help", "stat --help", "stat deploy -h", "help stat"]) {
    const { out, err, code } = await conduit(words)
    expect({ words, err, code }).toEqual({ words, err: "", code: 0 })
    expect(out).toContain("Usage\n  conduit ")
    expect(out).not.toContain("\u001b")
  }
})

test("bash completes a command line with the words that conduit itself gives", async () => {
  const { out } = await conduit("completion bash")
  const script = `conduit() { "${process.execPath}" "${MAIN}" "$@"; }
${out}
COMP_WORDS=(conduit stat -n shop de); COMP_CWORD=4
_conduit; echo "\${COMPREPLY[@]}"
COMP_WORDS=(conduit ""); COMP_CWORD=1
_conduit; echo "\${COMPREPLY[0]}"`
  const bash = Bun.spawn(["bash", "--norc", "-c", script], { stdout: "pipe", stderr: "pipe" })
  expect(await bash.stdout.text()).toBe("deploy\ninstall\n")
  expect(await bash.stderr.text()).toBe("")
})

test("a reader that leaves early is no error", async () => {
  const child = Bun.spawn(["sh", "-c", `${process.execPath} ${MAIN} stat --help | true; echo done`], {
    stderr: "pipe",
  })
  expect(await child.stdout.text()).toBe("done\n")
  expect(await child.stderr.text()).toBe("")
})

test("watching ends with 130 on Ctrl-C", async () => {
  const child = Bun.spawn([process.execPath, MAIN, "stat", "deploy", "-n", "shop", "-w"], {
    env: { PATH: process.env.PATH ?? "", CONDUIT_API_ADDR: address },
    stdout: "pipe",
    stderr: "pipe",
  })
  const reader = child.stdout.getReader()
  await reader.read()
  child.kill("SIGINT")
  expect(await child.exited).toBe(130)
})
