// One live request in detail; the browser's own dialog keeps the focus within, and gives it back.
import { Link } from "@tanstack/react-router"
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

/** A request by method and path; a connection by its protocol, and the name that it asks for or whom it reaches. */
export function titleOf({ method, path, server }: TapRequestBegun): string {
  return `${method} ${path || peerWords(server)}`
}

/** The dialog. */
export function CallDetail({ call, close }: { readonly call: LiveCall; readonly close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => {
    dialog.current?.showModal()
  }, [])
  const { begun, ended, clientBytes } = call
  const isRequest = clientBytes === null
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
    ["Status", ended === null ? "it runs still" : isRequest ? String(ended.status || "none") : "closed"],
    ["gRPC", ended?.grpcStatus === undefined ? "" : String(ended.grpcStatus)],
    ["Took", duration(ended?.afterMs)],
    ["Body", ended === null || !isRequest ? "" : `${ended.responseBytes} bytes of response`],
    [
      "Bytes",
      ended === null || isRequest ? "" : `${clientBytes} of the client, ${ended.responseBytes} of the server`,
    ],
    ["Error", ended?.error ?? ""],
    [
      "Headers",
      begun.headers.map(({ name, value }) => (value === REDACTED ? name : `${name}: ${value}`)).join(", "),
    ],
  ]
  return (
    <dialog
      ref={dialog}
      className="palette detail"
      aria-label={isRequest ? "One request" : "One connection"}
      onClose={close}
    >
      <h2>
        <Name>{titleOf(begun)}</Name>
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
        {isRequest && <CopyButton text={curlOf(begun)} what="as curl" words="Copy as curl" />}
        {ended !== null && ended.errorId !== "" && (
          <Link to="/explain" search={{ id: ended.errorId }}>
            Why it was refused
          </Link>
        )}
        <button type="button" onClick={() => dialog.current?.close()}>
          Close
        </button>
      </div>
    </dialog>
  )
}
