// `conduit identity`: the certificates that proxies use, and when they end.
import { CertificateState, type IdentitiesResponse } from "../../protos/mod.ts"
import { command } from "../command_line/command.ts"
import { withApi } from "../connect.ts"
import { Failure } from "../failure.ts"
import { GLOBAL_FLAGS } from "../flags.ts"
import { ago, type Column, FORMATS, formatOf, render, say, writeOut } from "../output.ts"
import { KIND_WORDS, queryOf, resourcesOrDeployments, resourcesText, SELECTOR_FLAG } from "../resource.ts"

/** A row of `conduit identity -o json`; null where the proxy has no certificate. */
export interface IdentityLine {
  readonly namespace: string
  readonly pod: string
  readonly workload: { readonly kind: string; readonly name: string } | null
  /** `valid`, `expiring`, `expired`, `not-yet-valid`, `none` or `unknown`. */
  readonly state: string
  readonly identity: string | null
  readonly spiffeId: string | null
  readonly issuer: string | null
  readonly serialNumber: string | null
  /** RFC 3339. */
  readonly notBefore: string | null
  /** RFC 3339. */
  readonly notAfter: string | null
  /** Why there is no certificate, or why the proxy could not be asked. */
  readonly error: string | null
}

const STATES: Readonly<Record<CertificateState, string>> = {
  [CertificateState.UNSPECIFIED]: "unknown",
  [CertificateState.VALID]: "valid",
  [CertificateState.EXPIRING]: "expiring",
  [CertificateState.EXPIRED]: "expired",
  [CertificateState.NOT_YET_VALID]: "not-yet-valid",
  [CertificateState.NONE]: "none",
  [CertificateState.UNKNOWN]: "unknown",
}

function identityLine(answer: IdentitiesResponse): IdentityLine {
  const { namespace, pod, workload, state, notBeforeMs, notAfterMs } = answer
  const text = (value: string): string | null => (value === "" ? null : value)
  const time = (ms: number): string | null => (ms === 0 ? null : new Date(ms).toISOString())
  return {
    namespace,
    pod,
    workload: workload === undefined ? null : { kind: workload.kind, name: workload.name },
    state: STATES[state] ?? "unknown",
    identity: text(answer.identity),
    spiffeId: text(answer.spiffeId),
    issuer: text(answer.issuer),
    serialNumber: text(answer.serialNumber),
    notBefore: time(notBeforeMs),
    notAfter: time(notAfterMs),
    error: text(answer.error),
  }
}

function columnsAt(nowMs: number): readonly Column<IdentityLine>[] {
  return [
    { title: "NAMESPACE", cell: row => row.namespace },
    { title: "POD", cell: row => row.pod },
    { title: "STATE", cell: row => row.state },
    { title: "ENDS", cell: row => (row.notAfter === null ? null : endOf(row.notAfter, nowMs)) },
    { title: "IDENTITY", cell: row => row.identity ?? row.error },
    { title: "NOT_AFTER", cell: row => row.notAfter, wide: true },
    { title: "SERIAL", cell: row => row.serialNumber, wide: true },
    { title: "ISSUER", cell: row => row.issuer, wide: true },
    { title: "SPIFFE_ID", cell: row => row.spiffeId, wide: true },
  ]
}

/** `in 23h`, `3m ago`. */
function endOf(notAfter: string, nowMs: number): string {
  const left = Date.parse(notAfter) - nowMs
  return left >= 0 ? `in ${ago(left)}` : `${ago(-left)} ago`
}

/** What each state that needs somebody says on standard error. */
const WARNINGS: Readonly<Record<string, string>> = {
  expiring: "is near its end and was not renewed: can its proxy reach conduit-identity?",
  expired: "is expired: its pod can neither call nor be called over mutual TLS",
  "not-yet-valid": "is not valid yet: do the clocks of its node and of conduit-identity agree?",
}

/** `conduit identity [RESOURCE]`. */
export const identity = command({
  meta: { name: "identity", description: "Certificates in use, asked of each proxy, and when they end" },
  args: {
    ...GLOBAL_FLAGS,
    resource: {
      type: "positional",
      valueHint: "RESOURCE",
      description: "deploy, deploy/web or pod/NAME (default: deploy)",
      required: false,
    },
    ...SELECTOR_FLAG,
  },
  variadic: true,
  offers: { resource: KIND_WORDS, output: FORMATS },
  examples: [
    { line: "conduit identity -A", why: "every certificate of the mesh" },
    { line: "conduit identity deploy/web -n shop -o wide", why: "serial number, issuer and end of web's" },
  ],
  async run({ args }) {
    const format = formatOf(args.output)
    const targets = resourcesOrDeployments(args._)
    const rows: IdentityLine[] = []
    await withApi(args, async (api, namespace) => {
      for (const target of targets) {
        const request = { target: queryOf(target, namespace, args.selector) }
        for await (const answer of api.identities(request)) rows.push(identityLine(answer))
      }
    })
    if (rows.length === 0) {
      const what = resourcesText(targets)
      throw new Failure(`no meshed pod of ${what}`)
    }
    writeOut(await render(format, rows, columnsAt(Date.now()), row => row))
    for (const { namespace, pod, state } of rows) {
      const warning = WARNINGS[state]
      if (warning !== undefined) say(`conduit: the certificate of ${namespace}/${pod} ${warning}`)
    }
  },
})
