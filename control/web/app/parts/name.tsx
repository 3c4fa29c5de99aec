// Names from the cluster: text that stands for itself, whatever it holds.
import { Link } from "@tanstack/react-router"
import type { Resource } from "../../../../protos/mod.ts"
import { headAndTail, plain } from "../mesh/format.ts"
import type { Workload } from "../mesh/mesh.ts"

/** A name that may not have the room that it needs. */
const LONG_NAME = 20

/** A name, apart from the direction of the text around it; where there is no room for all of it its middle is left out. */
export function Name({ children }: { readonly children: string }) {
  const shown = plain(children)
  if (shown.length <= LONG_NAME) return <bdi className="name">{shown}</bdi>
  const [head, tail] = headAndTail(shown)
  return (
    <bdi className="name long" title={shown}>
      <span>{head}</span>
      <span>{tail}</span>
    </bdi>
  )
}

/** A workload as a link to its page. */
export function WorkloadLink({
  workload,
  full = false,
}: {
  readonly workload: Workload
  readonly full?: boolean
}) {
  const { namespace, kind, name } = workload
  return (
    <Link to="/deployments/$namespace/$kind/$name" params={{ namespace, kind, name }} className="workload">
      {full && (
        <span className="quiet">
          <Name>{namespace}</Name>/
        </span>
      )}
      <Name>{name}</Name>
      {kind !== "deployment" && <span className="tag">{kind}</span>}
    </Link>
  )
}

/** A workload's name as a link to its page, where only its name is known; in a table that says its namespace. */
export function PlaceLink({ of }: { readonly of: Resource | undefined }) {
  if (of === undefined) return null
  const { namespace, kind, name } = of
  return (
    <Link to="/deployments/$namespace/$kind/$name" params={{ namespace, kind, name }} className="workload">
      <Name>{name}</Name>
    </Link>
  )
}

/** An end of a call: a workload as a link, or what is none by its name. */
export function EndName({ workload, name }: { readonly workload: Workload | null; readonly name: string }) {
  if (workload !== null) return <WorkloadLink workload={workload} full />
  const [namespace = "", kind = "", ...rest] = name.split("/")
  return (
    <span>
      <span className="quiet">
        <Name>{namespace}</Name>/
      </span>
      <Name>{rest.join("/")}</Name> <span className="tag">{kind}</span>
    </span>
  )
}
