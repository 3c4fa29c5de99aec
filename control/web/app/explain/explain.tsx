// What a call would meet, decision by decision; or why a request was refused, by the id that its caller was given.
import { useQuery } from "@connectrpc/connect-query"
import { keepPreviousData } from "@tanstack/react-query"
import { type FormEvent, useState } from "react"
import { ApiService, CallOutcome, type CallStep, type ExplainCallResponse } from "../../../../protos/mod.ts"
import { headersOf, partyOf } from "../mesh/call_words.ts"
import { percent, plain } from "../mesh/format.ts"
import { type PlaceSearch, useLive, usePlace, useSetPlace } from "../mesh/live.ts"
import { useMesh } from "../mesh/mesh_answer.ts"
import type { Level } from "../mesh/trouble.ts"
import { Commands, shellWord } from "../parts/commands.tsx"
import { PageHead } from "../parts/figures.tsx"
import { LevelMark } from "../parts/level.tsx"
import { Name } from "../parts/name.tsx"
import { Empty, Shown } from "../parts/state.tsx"
import { Refusals } from "./refusals.tsx"

/** Protocols that can be asked about, as the API names them. */
const PROTOCOLS = ["http1", "http2", "grpc", "tcp", "tls"] as const

/** What each step of a chain is about. */
const STEPS: Readonly<Record<string, string>> = {
  name: "Name",
  service: "Service",
  protocol: "Protocol",
  route: "Route",
  backends: "Backends",
  endpoints: "Endpoints",
  identity: "Identity",
  policy: "Policy",
}

const OUTCOMES: Readonly<Partial<Record<CallOutcome, { readonly level: Level; readonly word: string }>>> = {
  [CallOutcome.OK]: { level: "well", word: "goes on" },
  [CallOutcome.WARN]: { level: "degraded", word: "look at this" },
  [CallOutcome.FAIL]: { level: "failing", word: "ends here" },
}
const NOTHING_DECIDED = { level: "idle", word: "not met" } as const

/** The page of explanations. */
export function ExplainPage() {
  const { from = "", to = "", id = "" } = usePlace()
  return (
    <>
      <PageHead title="Explain">
        What a call would meet on its way, which object says so, and what would change it.
      </PageHead>
      <CallForm key={`${from} ${to}`} />
      {from !== "" && to !== "" ? (
        <Chain />
      ) : (
        id === "" && (
          <Empty title="Which call?">
            <p>
              Name who calls and who is called. No request is sent: the answer comes from what proxies are
              told.
            </p>
          </Empty>
        )
      )}
      <Refusals />
      <Commands lines={commandsOf(usePlace())} />
    </>
  )
}

/** The same for a terminal. */
function commandsOf({ from, to, path, method, headers, protocol, id }: PlaceSearch): string[] {
  const call = ["conduit explain", shellWord(from || "shop/deploy/web"), shellWord(to || "cart.shop:80")]
  if (path) call.push("--path", shellWord(path))
  if (method) call.push("--method", shellWord(method))
  if (protocol) call.push("--protocol", shellWord(protocol))
  const fields = headersOf(headers ?? "")
  if (typeof fields !== "string")
    for (const { name, value } of fields) call.push("--header", shellWord(`${name}: ${value}`))
  return [call.join(" "), `conduit explain --id ${shellWord(id || "ID")}`]
}

function CallForm() {
  const place = usePlace()
  const setPlace = useSetPlace()
  const { mesh } = useMesh()
  const [draft, setDraft] = useState({
    from: place.from ?? "",
    to: place.to ?? "",
    protocol: place.protocol ?? "",
    method: place.method ?? "",
    path: place.path ?? "",
    headers: place.headers ?? "",
  })
  const [wrong, setWrong] = useState("")
  const field = (name: keyof typeof draft) => ({
    value: draft[name],
    onChange: ({ target }: { target: { value: string } }) => setDraft({ ...draft, [name]: target.value }),
  })
  const ask = (event: FormEvent): void => {
    event.preventDefault()
    const { from, to, path, headers } = draft
    const fields = headersOf(headers)
    const complaint =
      partyOf(from) === null
        ? `From: "${from}" is neither a resource (shop/deploy/web) nor an address`
        : partyOf(to) === null
          ? `To: "${to}" is neither a name (cart.shop:80) nor a resource (shop/svc/cart)`
          : path !== "" && !path.startsWith("/")
            ? `Path: "${path}" does not begin with a slash`
            : typeof fields === "string"
              ? `Headers: "${fields}" is not of the form name: value`
              : ""
    setWrong(complaint)
    if (complaint === "") setPlace({ ...draft, from: from.trim(), to: to.trim(), id: undefined })
  }
  return (
    <form className="form" onSubmit={ask} aria-label="A call">
      <label className="wide-field">
        From
        <input type="text" list="explain-from" placeholder="shop/deploy/web" required {...field("from")} />
      </label>
      <datalist id="explain-from">
        {mesh?.workloads.map(({ key }) => (
          <option key={key} value={key} />
        ))}
      </datalist>
      <label className="wide-field">
        To
        <input type="text" list="explain-to" placeholder="cart.shop:80" required {...field("to")} />
      </label>
      <datalist id="explain-to">
        {mesh?.workloads.map(({ key, namespace, name }) => (
          <option key={key} value={`${name}.${namespace}`} />
        ))}
      </datalist>
      <label className="wide-field">
        Path
        <input type="text" placeholder="/" {...field("path")} />
      </label>
      <label>
        Method
        <input type="text" placeholder="GET" {...field("method")} />
      </label>
      <label>
        Protocol
        <select {...field("protocol")}>
          <option value="">detected</option>
          {PROTOCOLS.map(one => (
            <option key={one}>{one}</option>
          ))}
        </select>
      </label>
      <label className="half-field">
        Headers, one a line
        <textarea rows={draft.headers.split("\n").length} placeholder="x-canary: yes" {...field("headers")} />
      </label>
      <div className="form-end">
        <button type="submit" className="primary">
          Explain
        </button>
        {wrong !== "" && (
          <p className="problem" role="alert">
            {plain(wrong)}
          </p>
        )}
      </div>
    </form>
  )
}

function Chain() {
  const { from = "", to = "", method = "", path = "", protocol = "", headers = "" } = usePlace()
  const { slowly } = useLive()
  const fields = headersOf(headers)
  const [caller, called] = [partyOf(from), partyOf(to)]
  const answer = useQuery(
    ApiService.method.explainCall,
    {
      ...(caller === null ? {} : { from: caller }),
      ...(called === null ? {} : { to: called }),
      ...{ method: method.toUpperCase(), path, protocol },
      headers: typeof fields === "string" ? [] : [...fields],
    },
    { refetchInterval: slowly, placeholderData: keepPreviousData },
  )
  // Of another question the last answer says nothing.
  const of = answer.isPlaceholderData ? { data: undefined, error: answer.error } : answer
  return (
    <section aria-label="The chain of decisions">
      <Shown of={of} what="decisions">
        {found => <Steps from={from} to={to} answer={found} />}
      </Shown>
    </section>
  )
}

function Steps({ from, to, answer }: { from: string; to: string; answer: ExplainCallResponse }) {
  const { steps, verdict, fromPod } = answer
  const answered = verdict?.answered ?? 0
  const level: Level = answered === 1 ? "well" : answered > 0 ? "degraded" : "failing"
  return (
    <>
      <header className={`headline ${level}`}>
        <LevelMark level={level} word={false} />
        <div>
          <h2 className="verdict">
            {answered === 1
              ? "The call is answered"
              : answered > 0
                ? `${percent(answered)} of such calls are answered`
                : "The call is not answered"}
          </h2>
          <p>{plain(verdict?.summary ?? "")}</p>
          {verdict !== undefined && verdict.status > 0 && (
            <p className="quiet">
              Otherwise the caller sees status {verdict.status}
              {verdict.error !== "" && (
                <>
                  , <code>conduit-proxy-error: {plain(verdict.error)}</code>
                </>
              )}
            </p>
          )}
        </div>
      </header>
      <ol className="chain">
        <li className="chain-end">
          <span className="chain-mark" />
          <p>
            <strong>
              <Name>{from}</Name>
            </strong>{" "}
            {fromPod !== "" && (
              <span className="quiet">
                pod <Name>{fromPod}</Name>
              </span>
            )}
          </p>
        </li>
        {steps.map(step => (
          <Step key={step.name} step={step} />
        ))}
        <li className={`chain-end ${level}`}>
          <span className="chain-mark" />
          <p>
            <strong>
              <Name>{to}</Name>
            </strong>{" "}
            <span className="quiet">{answered > 0 ? "answers" : "is not reached"}</span>
          </p>
        </li>
      </ol>
    </>
  )
}

function Step({ step }: { readonly step: CallStep }) {
  const { name, outcome, decision, reason, object, details, notes, change } = step
  const { level, word } = OUTCOMES[outcome] ?? NOTHING_DECIDED
  return (
    <li className={level}>
      <span className="chain-mark">
        <LevelMark level={level} word={false} />
      </span>
      <div className="chain-step">
        <h3>
          {STEPS[name] ?? plain(name)} <span className={`tag outcome ${level}`}>{word}</span>
        </h3>
        <p className="decision">{plain(decision)}</p>
        {reason !== "" && <p className="quiet">{plain(reason)}</p>}
        {object !== undefined && (
          <p className="place">
            <span className="tag">{plain(object.kind)}</span>{" "}
            <Name>{object.namespace === "" ? object.name : `${object.namespace}/${object.name}`}</Name>
            {object.field !== "" && <code> {plain(object.field)}</code>}
          </p>
        )}
        {details.length > 0 && (
          <ul className="details">
            {details.map(line => (
              <li key={line}>{plain(line)}</li>
            ))}
          </ul>
        )}
        {notes.length > 0 && (
          <ul className="details">
            {notes.map(({ text, object: of }) => (
              <li key={text}>
                {plain(text)}
                {of !== undefined && (
                  <>
                    {": "}
                    <span className="tag">{plain(of.kind)}</span>{" "}
                    <Name>{of.namespace === "" ? of.name : `${of.namespace}/${of.name}`}</Name>
                    {of.field !== "" && <code> {plain(of.field)}</code>}
                  </>
                )}
              </li>
            ))}
          </ul>
        )}
        {change !== "" && (
          <p className="change">
            <strong>To change it:</strong> {plain(change)}
          </p>
        )}
      </div>
    </li>
  )
}
