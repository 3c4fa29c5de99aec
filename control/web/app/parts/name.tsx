// Names from the cluster: text that stands for itself, whatever it holds.
import { Link } from "@tanstack/react-router"
import { plain } from "../mesh/format.ts"
import type { Workload } from "../mesh/mesh.ts"

/** A name that may not have the room that it needs. */
const LONG_NAME = 32

/** A name, apart from the direction of the text around it. */
export function Name({ children }: { readonly children: string }) {
  const shown = plain(children)
  return (
    <bdi className="name" title={shown.length > LONG_NAME ? shown : undefined}>
      {shown}
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
