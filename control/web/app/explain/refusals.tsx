// Why a request was refused, by the id that conduit-proxy-error bears.
import { useQuery } from "@connectrpc/connect-query"
import { useState } from "react"
import { ApiService, type RefusalStory } from "../../../../protos/mod.ts"
import { count, moment, plain } from "../mesh/format.ts"
import { usePlace, useSetPlace } from "../mesh/live.ts"
import { Name } from "../parts/name.tsx"
import { Empty, Shown } from "../parts/state.tsx"

/** Asks for an id, and tells what stood behind it. */
export function Refusals() {
  const { id = "" } = usePlace()
  const setPlace = useSetPlace()
  const [draft, setDraft] = useState(id)
  // People copy the whole field.
  const asked = draft
    .trim()
    .replace(/^.*\bid=/, "")
    .toLowerCase()
  return (
    <section>
      <h2>A refused request</h2>
      <form
        className="form"
        aria-label="A refusal"
        onSubmit={event => {
          event.preventDefault()
          setPlace({ id: asked, from: undefined, to: undefined })
        }}
      >
        <label className="full-field">
          Id, or the field conduit-proxy-error
          <input
            type="text"
            required
            placeholder="denied; id=7h2k9m4x"
            value={draft}
            onChange={({ target }) => setDraft(target.value)}
          />
        </label>
        <div className="form-end">
          <button type="submit">Find it</button>
        </div>
      </form>
      {id !== "" && <Found id={id} />}
    </section>
  )
}

function Found({ id }: { readonly id: string }) {
  const answer = useQuery(ApiService.method.explain, { id })
  return (
    <Shown of={answer} what="refusal">
      {({ refusals, proxies, kept, unanswered }) =>
        refusals.length === 0 ? (
          <Empty title="No proxy knows it">
            <p>
              {count(proxies, "proxy answers", "proxies answer")} and know no refusal <Name>{id}</Name>: each
              keeps its latest {kept}, until it ends. The log of the proxy that refused has it still.
            </p>
            {unanswered.map(one => (
              <p key={one} className="problem">
                {plain(one)}
              </p>
            ))}
          </Empty>
        ) : (
          refusals.map(story => <Story key={`${story.pod} ${story.id}`} story={story} />)
        )
      }
    </Shown>
  )
}

function Story({ story }: { readonly story: RefusalStory }) {
  const { namespace, pod, direction, reason, status, method, authority, path, detail } = story
  const who = story.from
  const facts: [string, string][] = [
    ["When", moment(story.timeMs)],
    ["By", `the proxy of pod ${namespace}/${pod}, ${direction}`],
    ["From", `${who === undefined ? "" : `${who.kind} ${who.namespace}/${who.name}, `}${story.clientIp}`],
    ["Identity", story.clientId === "" ? "none was proved" : story.clientId],
    ["To", `${story.destination}${story.endpoint === "" ? "" : `, endpoint ${story.endpoint}`}`],
    ["What", method === "" ? "a connection" : `${method} ${authority}${path}`],
    ["Policy", story.policy === "" ? story.defaultPolicy : `${story.policy}, rule ${story.rule}`],
    ["Detail", detail],
  ]
  return (
    <div className="notice failing">
      <p>
        <strong>{status === 0 ? "The connection was closed" : `Status ${status}`}</strong>: {plain(reason)}
      </p>
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
    </div>
  )
}
