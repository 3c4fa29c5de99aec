// One live request in detail; the browser's own dialog keeps the focus within, and gives it back.

import { useEffect, useRef } from "react"
import type { TapRequestBegun } from "../../../../protos/mod.ts"
import { duration } from "../mesh/format.ts"
import { CopyButton, shellWord } from "../parts/commands.tsx"
import { Name } from "../parts/name.tsx"
import { type LiveCall, peerWords } from "./call_log.ts"

/** What stands for a value that is told to nobody. */
const REDACTED = "[redacted]"

/** The request as curl sends it; fields whose values are not told are left out. */
export function curlOf({ method, scheme, authority, path, headers }: TapRequestBegun): string {
  const words = ["curl", "-X", shellWord(method), shellWord(`${scheme || "http"}://${authority}${path}`)]
  for (const { name, value } of headers)
    if (value !== REDACTED && !name.startsWith(":")) words.push("-H", shellWord(`${name}: ${value}`))
  return words.join(" ")
}

/** The dialog. */
export function CallDetail({ call, close }: { readonly call: LiveCall; readonly close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => {
    dialog.current?.showModal()
  }, [])
  const { begun, ended } = call
  const end = (peer: TapRequestBegun["client"]): string =>
    [peerWords(peer), peer?.pod, peer?.address].filter(Boolean).join(", ")
  const facts: [string, string][] = [
    ["From", end(begun.client)],
    ["Identity", begun.client?.identity || "none was proved"],
    ["To", end(begun.server)],
    ["Seen by", begun.inbound ? "the proxy before the server" : "the proxy behind the client"],
    ["mTLS", begun.tls === "true" ? "yes" : begun.tls],
    ["Authority", begun.authority],
    ["Service", begun.service],
    ["Route", begun.route],
    ["Begun", new Date(begun.timeMs).toLocaleString()],
    ["Status", ended === null ? "it runs still" : String(ended.status || "none")],
    ["gRPC", ended?.grpcStatus === undefined ? "" : String(ended.grpcStatus)],
    ["Took", duration(ended?.afterMs)],
    ["Body", ended === null ? "" : `${ended.responseBytes} bytes of response`],
    ["Error", ended?.error ?? ""],
    ["Refusal", ended?.errorId ?? ""],
    [
      "Headers",
      begun.headers.map(({ name, value }) => (value === REDACTED ? name : `${name}: ${value}`)).join(", "),
    ],
  ]
  return (
    <dialog ref={dialog} className="palette detail" aria-label="One request" onClose={close}>
      <h2>
        <Name>{`${begun.method} ${begun.path}`}</Name>
      </h2>
      <dl className="facts">
        {facts
          .filter(([, value]) => value !== "")
          .map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>
                <Name>{value}</Name>
              </dd>
            </div>
          ))}
      </dl>
      <div className="form-end">
        <CopyButton text={curlOf(begun)} what="as curl" words="Copy as curl" />
        <button type="button" onClick={close}>
          Close
        </button>
      </div>
    </dialog>
  )
}
