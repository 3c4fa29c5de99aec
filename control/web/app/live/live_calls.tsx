// Live calls: requests as they pass, or summed up by kind; for who may see them, as conduit tap and top.
import { Code, ConnectError } from "@connectrpc/connect"
import { type FormEvent, useEffect, useMemo, useState, useSyncExternalStore } from "react"
import { TapHeaders, type TapState } from "../../../../protos/mod.ts"
import { selectorOf } from "../mesh/call_words.ts"
import { reasonOf } from "../mesh/calls.ts"
import { count, duration, percent, plain } from "../mesh/format.ts"
import { usePlace, useSetPlace } from "../mesh/live.ts"
import { useMesh } from "../mesh/mesh_answer.ts"
import { Commands, CopyButton, shellWord } from "../parts/commands.tsx"
import { PageHead } from "../parts/figures.tsx"
import { Name } from "../parts/name.tsx"
import { Empty } from "../parts/state.tsx"
import { type Column, Table } from "../parts/table.tsx"
import { CallDetail, titleOf } from "./call_detail.tsx"
import { type CallSum, KEPT_CALLS, KEPT_SUMS, type LiveCall, peerWords } from "./call_log.ts"
import { type Heard, Tap } from "./tap.ts"

/** Requests a second at most: more are no longer read by people. */
const MAX_RPS = 50

/** What the API server gives a token by; whoever may ask for it may see live calls. */
const TOKEN_COMMAND = "kubectl create token conduit-tapper -n conduit --audience api.conduit.io --duration 1h"

/** The page of live calls. */
export function LiveCallsPage() {
  const tap = useMemo(() => new Tap(), [])
  useEffect(() => () => tap.stop(), [tap])
  const heard = useSyncExternalStore(tap.subscribe, tap.now)
  const { to = "", method = "", path = "", failed, view = "calls" } = usePlace()
  const setPlace = useSetPlace()
  const [paused, setPaused] = useState(false)
  const [chosen, setChosen] = useState<LiveCall | null>(null)
  const pause = (next: boolean): void => {
    tap.paused = next
    setPaused(next)
  }
  const words = [shellWord(to || "shop/deploy/web")]
  if (method !== "") words.push("--method", shellWord(method))
  if (path !== "") words.push("--path", shellWord(path))
  if (failed) words.push("--status failed")
  return (
    <>
      <PageHead title="Live calls">
        Requests and raw connections as proxies see them now. Nothing is kept but the last {KEPT_CALLS}, in
        this page.
      </PageHead>
      <TapForm
        key={to}
        heard={heard}
        paused={paused}
        pause={pause}
        stop={() => tap.stop()}
        start={(request, token) => {
          pause(false)
          setChosen(null)
          void tap.listen(request, token)
        }}
      />
      {heard.error !== null && <NoTap error={heard.error} />}
      {heard.state !== null && <State state={heard.state} />}
      {(heard.listening || heard.calls.length > 0) && (
        <>
          <fieldset className="filters" aria-label="View">
            {[
              ["calls", "One by one"],
              ["top", "Summed up"],
            ].map(([id = "", label]) => (
              <button
                key={id}
                type="button"
                aria-pressed={view === id}
                className={view === id ? "primary" : ""}
                onClick={() => setPlace({ view: id === "calls" ? undefined : id })}
              >
                {label}
              </button>
            ))}
          </fieldset>
          {view === "top" ? <Sums heard={heard} /> : <Calls heard={heard} choose={setChosen} />}
        </>
      )}
      {chosen !== null && (
        <CallDetail
          call={heard.calls.find(({ id }) => id === chosen.id) ?? chosen}
          close={() => setChosen(null)}
        />
      )}
      <Commands lines={[`conduit tap ${words.join(" ")}`, `conduit top ${words[0]}`]} />
    </>
  )
}

type Ask = Parameters<Tap["listen"]>

function TapForm({
  heard: { listening },
  paused,
  pause,
  start,
  stop,
}: {
  readonly heard: Heard
  readonly paused: boolean
  readonly pause: (paused: boolean) => void
  readonly start: (...ask: Ask) => void
  readonly stop: () => void
}) {
  const place = usePlace()
  const setPlace = useSetPlace()
  const { mesh } = useMesh()
  const [to, setTo] = useState(place.to ?? "")
  const [token, setToken] = useState("")
  const [wrong, setWrong] = useState("")
  const { method = "", path = "", failed = false } = place
  const ask = (event: FormEvent): void => {
    event.preventDefault()
    const target = selectorOf(to)
    setWrong(target === null ? `"${to}" is no resource: write shop/deploy/web, or ns/shop` : "")
    if (target === null) return
    setPlace({ to: to.trim() })
    const headers = TapHeaders.NAMES
    start(
      {
        target,
        method: method.toUpperCase(),
        pathPrefix: path,
        failuresOnly: failed,
        maxRps: MAX_RPS,
        headers,
        connections: true,
      },
      token.trim(),
    )
  }
  return (
    <form className="form" onSubmit={ask} aria-label="Which calls">
      <label className="wide-field">
        Of
        <input
          type="text"
          list="tap-of"
          required
          placeholder="shop/deploy/web"
          value={to}
          onChange={({ target }) => setTo(target.value)}
        />
      </label>
      <datalist id="tap-of">
        {mesh?.workloads.map(({ key }) => (
          <option key={key} value={key} />
        ))}
      </datalist>
      <label className="wide-field">
        Path begins with
        <input
          type="text"
          placeholder="/"
          value={path}
          onChange={({ target }) => setPlace({ path: target.value })}
        />
      </label>
      <label>
        Method
        <input
          type="text"
          placeholder="any"
          value={method}
          onChange={({ target }) => setPlace({ method: target.value })}
        />
      </label>
      <label className="check">
        <input
          type="checkbox"
          checked={failed}
          onChange={({ target }) => setPlace({ failed: target.checked ? true : undefined })}
        />
        Failed
      </label>
      <label className="full-field">
        Token of who may see them; none in a local mesh. It stays in this page until that is closed.
        <input
          type="password"
          autoComplete="off"
          placeholder={TOKEN_COMMAND}
          value={token}
          onChange={({ target }) => setToken(target.value)}
        />
      </label>
      <div className="form-end">
        <button type="submit" className="primary">
          {listening ? "Listen anew" : "Listen"}
        </button>
        {listening && (
          <>
            <button type="button" aria-pressed={paused} onClick={() => pause(!paused)}>
              {paused ? "Go on" : "Pause"}
            </button>
            <button type="button" onClick={stop}>
              Stop
            </button>
          </>
        )}
        {wrong !== "" && (
          <p className="problem" role="alert">
            {plain(wrong)}
          </p>
        )}
      </div>
    </form>
  )
}

/** Why nothing is heard, and what gives the right. */
function NoTap({ error }: { readonly error: unknown }) {
  const { code } = ConnectError.from(error)
  const forbidden = code === Code.Unauthenticated || code === Code.PermissionDenied
  return (
    <div className="state failed" role="alert">
      <h2>{forbidden ? "You may not see live calls" : "Live calls cannot be heard"}</h2>
      <p>{plain(reasonOf(error))}</p>
      {forbidden && (
        <>
          <p className="quiet">
            Requests need a right of their own, the same as for conduit tap: a token of conduit-tapper, which
            the API server gives to whom the Role of that name is bound. An administrator binds it by the
            first line; the second line gives the token to put into the field above.
          </p>
          <Commands
            lines={[
              "kubectl create rolebinding tappers -n conduit --role conduit-tapper --user NAME",
              TOKEN_COMMAND,
            ]}
          />
        </>
      )}
    </div>
  )
}

function State({ state }: { readonly state: TapState }) {
  const { proxies, unmeshed, leftOut, limited, dropped, failures } = state
  const missing = [
    ...(unmeshed > 0 ? [`${count(unmeshed, "pod")} without proxy`] : []),
    ...(leftOut > 0 ? [`${count(leftOut, "proxy", "proxies")} too many, not asked`] : []),
    ...(limited > 0n ? [`${count(Number(limited), "request")} beyond ${MAX_RPS} a second left out`] : []),
    ...(dropped > 0n ? [`${count(Number(dropped), "request")} dropped, read too slowly`] : []),
  ]
  return (
    <p className="quiet" role="status">
      {count(proxies, "proxy", "proxies")} heard{missing.map(one => `; ${one}`)}
      {failures.map(one => (
        <span key={one} className="problem">
          {plain(one)}
        </span>
      ))}
    </p>
  )
}

function Calls({
  heard: { calls, listening },
  choose,
}: {
  readonly heard: Heard
  readonly choose: (call: LiveCall) => void
}) {
  const columns: readonly Column<LiveCall>[] = [
    {
      ...{ id: "what", title: "Request" },
      cell: call => (
        <button type="button" className="row-button" onClick={() => choose(call)}>
          <Name>{titleOf(call.begun)}</Name>
        </button>
      ),
    },
    {
      ...{ id: "from", title: "From", minor: true },
      cell: ({ begun }) => <Name>{peerWords(begun.client)}</Name>,
    },
    {
      ...{ id: "to", title: "To", minor: true },
      cell: ({ begun }) => <Name>{peerWords(begun.server)}</Name>,
    },
    {
      ...{ id: "status", title: "Status", right: true },
      cell: ({ ended }) =>
        ended === null ? (
          <span className="quiet">runs</span>
        ) : (
          <span className={`share ${ended.failed ? "failing" : "well"}`}>
            {ended.failed ? "✗ " : ""}
            {ended.status || plain(ended.error) || "closed"}
          </span>
        ),
    },
    { ...{ id: "took", title: "Took", right: true }, cell: ({ ended }) => duration(ended?.afterMs) },
    {
      ...{ id: "tls", title: "mTLS", minor: "mid" },
      cell: ({ begun }) => (begun.tls === "true" ? "yes" : plain(begun.tls)),
    },
    {
      ...{ id: "when", title: "When", minor: "mid", right: true },
      cell: ({ begun }) => new Date(begun.timeMs).toLocaleTimeString(),
    },
  ]
  return (
    <Table
      caption="Live calls"
      columns={columns}
      rows={calls}
      rowKey={({ id }) => id}
      empty={<Nothing listening={listening} />}
    />
  )
}

function Nothing({ listening }: { readonly listening: boolean }) {
  return (
    <Empty title={listening ? "Nothing has passed yet" : "Nothing was heard"}>
      <p>A request that passes the filters is shown here as it begins.</p>
    </Empty>
  )
}

const SUMS: readonly Column<CallSum>[] = [
  {
    ...{ id: "what", title: "Request" },
    cell: row => <Name>{`${row.method} ${row.path}`}</Name>,
    by: row => `${row.path} ${row.method}`,
  },
  {
    ...{ id: "from", title: "From", minor: true },
    cell: row => <Name>{row.from}</Name>,
    by: row => row.from,
  },
  { ...{ id: "to", title: "To", minor: true }, cell: row => <Name>{row.to}</Name>, by: row => row.to },
  { ...{ id: "count", title: "Count", right: true }, cell: row => row.count, by: row => row.count },
  {
    ...{ id: "success", title: "Success", right: true },
    cell: row => (
      <span className={`share ${row.failed > 0 ? "failing" : "well"}`}>
        {percent(1 - row.failed / row.count)}
      </span>
    ),
    by: row => 1 - row.failed / row.count,
  },
  {
    ...{ id: "best", title: "Best", right: true, minor: true },
    cell: row => duration(row.best),
    by: row => row.best,
  },
  { ...{ id: "worst", title: "Worst", right: true }, cell: row => duration(row.worst), by: row => row.worst },
  {
    ...{ id: "last", title: "Last", right: true, minor: true },
    cell: row => duration(row.last),
    by: row => row.last,
  },
]

function Sums({ heard: { sums, listening } }: { readonly heard: Heard }) {
  return (
    <>
      <Table
        caption="Calls by kind"
        columns={SUMS}
        rows={sums}
        rowKey={({ key }) => key}
        sortedBy="-count"
        sortable
        empty={<Nothing listening={listening} />}
      />
      {sums.length === KEPT_SUMS && (
        <p className="quiet">Only the first {KEPT_SUMS} kinds are summed up: filter by path to see others.</p>
      )}
      <CopyButton text={JSON.stringify(sums, null, 2)} what="as JSON" words="Copy as JSON" />
    </>
  )
}
