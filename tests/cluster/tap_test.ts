// Who may tap, as a real API server decides it: the API with its own rights, tokens that people have made, and RBAC as it
// is installed.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { create, type MessageInitShape } from "@bufbuild/protobuf"
import { Code, ConnectError } from "@connectrpc/connect"
import { createConnectTransport } from "@connectrpc/connect-node"
import type { RunningControlPlane } from "../../control/run.ts"
import { serveWeb } from "../../control/web/mod.ts"
import { installYaml, readValues } from "../../deploy/install/mod.ts"
import { createTapClient, TapHeaders, TapRequestSchema } from "../../protos/mod.ts"
import { Cluster } from "./mod.ts"
import { accountKubeconfig, runService } from "./run_service.ts"

let cluster: Cluster
let folder = ""
let api: RunningControlPlane

beforeAll(async () => {
  cluster = await Cluster.up({ parts: "api" })
  folder = mkdtempSync(join(tmpdir(), "conduit-tap-"))
  const filling = { namespace: "conduit", version: "1.0.0", values: readValues([]) }
  await cluster.kubectl(["apply", "--server-side", "-f", "-"], { input: installYaml(filling) })
  await cluster.kubectl(["create", "serviceaccount", "team"])
  // Nobody is asked for figures, or taps, here: what is tested is who would be let in.
  const env = { CONDUIT_TELEMETRY_ADDR: "127.0.0.1:1" }
  api = await runService("api", await accountKubeconfig(cluster, "conduit-api", folder), [], env)
}, 30 * 60_000)

afterAll(async () => {
  api?.stop()
  await cluster?.[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
})

/** What becomes of a tap, as through a port-forward; FailedPrecondition is what comes behind the door. */
async function tap(
  token: string,
  request: MessageInitShape<typeof TapRequestSchema>,
  port = api.ports.get("api"),
): Promise<string> {
  const baseUrl = `http://127.0.0.1:${port}`
  const client = createTapClient(createConnectTransport({ baseUrl, httpVersion: "2" }))
  const headers: Record<string, string> = token === "" ? {} : { authorization: `Bearer ${token}` }
  try {
    for await (const _ of client.tap(create(TapRequestSchema, request), { headers })) break
    return "told"
  } catch (error) {
    const { code, rawMessage } = ConnectError.from(error)
    return code === Code.FailedPrecondition ? "let in" : `${Code[code]}: ${rawMessage}`
  }
}

const DEPLOYMENT = { target: { kind: "deployment", namespace: "shop", name: "web" } }

/** A token, made by the API server for a user. */
async function tokenOf(account: string, namespace: string, kubeconfig?: string) {
  const audience = "--audience=api.conduit.io"
  const words = ["create", "token", account, "-n", namespace, audience]
  return await cluster.tryKubectl(words, kubeconfig === undefined ? {} : { kubeconfig })
}

test("a way to the API is not enough; a token of the account that taps is, but for values of header fields", async () => {
  expect(await tap("", DEPLOYMENT)).toStartWith("Unauthenticated")
  const { stdout } = await tokenOf("conduit-tapper", "conduit")
  expect(await tap(stdout.trim(), DEPLOYMENT)).toBe("let in")
  expect(await tap(stdout.trim(), { target: { kind: "namespace", name: "shop" } })).toBe("let in")
  const values = { ...DEPLOYMENT, headers: TapHeaders.VALUES }
  expect(await tap(stdout.trim(), values)).toContain("resources: [deployments/tapheaders]")
  const more = await tokenOf("conduit-header-tapper", "conduit")
  expect(await tap(more.stdout.trim(), values)).toBe("let in")
}, 60_000)

test("the dashboard's live calls are shown by the right of who looks, and by none of its own", async () => {
  const files = join(folder, "web")
  mkdirSync(files)
  writeFileSync(join(files, "index.html"), "<!doctype html>")
  const apiAddress = `127.0.0.1:${api.ports.get("api")}`
  const transport = createConnectTransport({ baseUrl: `http://${apiAddress}`, httpVersion: "2" })
  const web = await serveWeb({
    ...{ files, apiAddress, viewers: "forwarded", hosts: new Set<string>(), host: "127.0.0.1", port: 0 },
    transport: () => transport,
  })
  try {
    expect(await tap("", DEPLOYMENT, web.port)).toStartWith("Unauthenticated")
    expect(await tap("made up", DEPLOYMENT, web.port)).toStartWith("Unauthenticated")
    const team = await tokenOf("team", "default")
    expect(await tap(team.stdout.trim(), DEPLOYMENT, web.port)).toStartWith("PermissionDenied")
    const tapper = await tokenOf("conduit-tapper", "conduit")
    expect(await tap(tapper.stdout.trim(), DEPLOYMENT, web.port)).toBe("let in")
  } finally {
    web.close()
  }
}, 60_000)

test("who may have such a token made is RBAC's to say", async () => {
  const jo = await cluster.kubeconfigOf({ user: "jo" })
  expect((await tokenOf("conduit-tapper", "conduit", jo)).stderr).toContain(
    'cannot create resource "serviceaccounts/token"',
  )
  await cluster.kubectl([
    "create",
    "rolebinding",
    "jo",
    "-n",
    "conduit",
    "--role=conduit-tapper",
    "--user=jo",
  ])
  let made = await tokenOf("conduit-tapper", "conduit", jo)
  for (let n = 0; n < 50 && made.code !== 0; n++) made = await tokenOf("conduit-tapper", "conduit", jo)
  expect(await tap(made.stdout.trim(), DEPLOYMENT)).toBe("let in")
  expect((await tokenOf("conduit-header-tapper", "conduit", jo)).code).toBe(1)
  expect((await tokenOf("conduit-api", "conduit", jo)).code).toBe(1)
}, 60_000)

test("an account of a team taps what the rule that the refusal names lets it tap, and no more", async () => {
  const team = (await tokenOf("team", "default")).stdout.trim()
  // Of another namespace, since verdicts are remembered for ten seconds.
  const refusal = await tap(team, { target: { kind: "deployment", namespace: "bank" } })
  expect(refusal).toContain("service account default/team")
  const [, rule] = /rule apiGroups: (.+), resources: (.+), verbs: (.+)$/.exec(refusal) ?? []
  expect(rule).toBe("[tap.conduit.io]")
  await cluster.kubectl(["create", "namespace", "shop"])
  const list = (kind: string, rest: object) => ({
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind,
    metadata: { name: "team", namespace: "shop" },
    ...rest,
  })
  const items = [
    list("Role", {
      rules: [{ apiGroups: ["tap.conduit.io"], resources: ["deployments/tap"], verbs: ["watch"] }],
    }),
    list("RoleBinding", {
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "team" },
      subjects: [{ kind: "ServiceAccount", name: "team", namespace: "default" }],
    }),
  ]
  await cluster.kubectl(["apply", "-f", "-"], {
    input: JSON.stringify({ apiVersion: "v1", kind: "List", items }),
  })
  let answer = await tap(team, DEPLOYMENT)
  for (let n = 0; n < 60 && answer !== "let in"; n++) {
    await Bun.sleep(500)
    answer = await tap(team, DEPLOYMENT)
  }
  expect(answer).toBe("let in")
  expect(await tap(team, { target: { kind: "deployment", namespace: "bank" } })).toStartWith(
    "PermissionDenied",
  )
  expect(await tap(team, { target: { kind: "pod", namespace: "shop" } })).toStartWith("PermissionDenied")
}, 60_000)
