// Which time is shown: the window of figures, and whether they go on being asked for. Both stand in the URL, so that a
// link shows the same.
import { useNavigate, useSearch } from "@tanstack/react-router"

/** Windows to choose from, seconds. */
export const WINDOWS = [10, 30, 60, 300, 900, 3600] as const
/** The window where the URL names none, seconds. */
export const USUAL_WINDOW = 60
/** Ranges of charts to choose from. */
export const RANGES = [
  { seconds: 600, words: "10 min" },
  { seconds: 3600, words: "1 h" },
  { seconds: 21_600, words: "6 h" },
  { seconds: 86_400, words: "24 h" },
] as const
/** The range where the URL names none, seconds. */
export const USUAL_RANGE = 3600
/** Figures are asked for this often, milliseconds; proxies report once a second. */
export const LIVE_MS = 2000
/** What changes slowly and costs a question to each proxy is asked for this often, milliseconds. */
export const SLOW_MS = 30_000

/** What every place of the page has in its URL. */
export interface PlaceSearch {
  /** Window of figures, seconds; absent for the usual one. */
  readonly w?: number
  /** Figures stand still. */
  readonly paused?: true
  /** Only this namespace. */
  readonly ns?: string
  /** Only what bears these letters. */
  readonly q?: string
  /** Column that a table is sorted by; with `-` before it downwards. */
  readonly sort?: string
  /** Namespaces that are collapsed in the graph, separated by commas. */
  readonly collapsed?: string
  /** Ids and names that forms are filled with. */
  readonly id?: string
  /** Range of charts, seconds; absent for the usual one. */
  readonly range?: number
  /** Who calls and who is called, as `conduit explain` takes them; `to` is of the other forms, too. */
  readonly from?: string
  readonly to?: string
  readonly method?: string
  readonly path?: string
  /** Header fields, one a line: `name: value`. */
  readonly headers?: string
  readonly protocol?: string
  /** Only what failed. */
  readonly failed?: true
  /** Which of a page's views. */
  readonly view?: string
}

/** Reads what an URL says; what it cannot mean is left out. */
export function readSearch(raw: Record<string, unknown>): PlaceSearch {
  const text = (name: string): Record<string, string> => {
    const value = raw[name]
    return typeof value === "string" || typeof value === "number" ? { [name]: String(value) } : {}
  }
  const w = Number(raw.w)
  return {
    ...(Number.isInteger(w) && w >= 1 && w <= 3600 && w !== USUAL_WINDOW ? { w } : {}),
    ...(raw.paused === true ? { paused: true } : {}),
    ...text("ns"),
    ...text("q"),
    ...text("sort"),
    ...text("collapsed"),
    ...text("id"),
    ...(RANGES.some(({ seconds }) => seconds === Number(raw.range)) && Number(raw.range) !== USUAL_RANGE
      ? { range: Number(raw.range) }
      : {}),
    ...text("from"),
    ...text("to"),
    ...text("method"),
    ...text("path"),
    ...text("headers"),
    ...text("protocol"),
    ...(raw.failed === true ? { failed: true } : {}),
    ...text("view"),
  }
}

/** The time that is shown. */
export interface Live {
  readonly windowMs: number
  readonly live: boolean
  /** For queries: how often, or never. */
  readonly every: number | false
  /** The same for what changes slowly. */
  readonly slowly: number | false
}

/** The time that the URL names. */
export function useLive(): Live {
  const { w = USUAL_WINDOW, paused } = usePlace()
  const live = paused !== true
  return { windowMs: w * 1000, live, every: live ? LIVE_MS : false, slowly: live ? SLOW_MS : false }
}

/** What the URL says. */
export function usePlace(): PlaceSearch {
  return useSearch({ strict: false }) as PlaceSearch
}

/** Changes what the URL says, and stays in its place. */
export function useSetPlace(): (
  change: { [Name in keyof PlaceSearch]?: PlaceSearch[Name] | undefined },
) => void {
  const navigate = useNavigate()
  return change =>
    void navigate({
      to: ".",
      search: ((before: PlaceSearch) => cleaned({ ...before, ...change })) as never,
      replace: true,
    })
}

function cleaned(search: object): object {
  return Object.fromEntries(
    Object.entries(search).filter(([, value]) => value !== undefined && value !== "" && value !== false),
  )
}
