// The mesh of the moment, asked for once, whatever is shown.
import { keepPreviousData, useQuery } from "@tanstack/react-query"
import { createContext, useContext, useMemo } from "react"
import { api } from "./calls.ts"
import { useLive } from "./live.ts"
import { KINDS, type Mesh, meshOf } from "./mesh.ts"

/** The mesh, and what kept it from being asked. */
export interface MeshAnswer {
  readonly mesh: Mesh | null
  readonly error: unknown
}

/** Asks for it, again and again while the page is live; all of it at once, so that each moment is drawn once. */
export function useMeshAnswer(): MeshAnswer {
  const { windowMs, every } = useLive()
  const { data = null, error } = useQuery({
    queryKey: ["mesh", windowMs],
    queryFn: async ({ signal }) => {
      const [{ edges }, ...stats] = await Promise.all([
        api.edges({ target: { kind: "deployment" }, windowMs }, { signal }),
        ...KINDS.map(kind => api.stat({ target: { kind }, windowMs }, { signal })),
      ])
      const rows = stats.flatMap(one => one.rows)
      return meshOf(rows, edges, Date.now())
    },
    refetchInterval: every,
    placeholderData: keepPreviousData,
    // Figures differ each time: comparing a thousand calls would find that out, for half of a frame.
    structuralSharing: false,
  })
  return useMemo(() => ({ mesh: data, error }), [data, error])
}

/** The mesh for whatever stands within. */
export const MeshContext = createContext<MeshAnswer>({ mesh: null, error: null })

/** The mesh. */
export function useMesh(): MeshAnswer {
  return useContext(MeshContext)
}
