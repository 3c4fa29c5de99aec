// How the calls of the public API are served, whatever they are: errors, deadlines, pages, field masks, health, reflection.
export { explainBadJson } from "./bad_json.ts"
export { keepsDeadlines } from "./deadline.ts"
export { apiError, detailedErrors, invalid } from "./error_detail.ts"
export { health } from "./health.ts"
export { cutsLists } from "./lists.ts"
export { otherPaths } from "./other_paths.ts"
export { reflection } from "./reflection.ts"
export { StandingStreams } from "./standing_streams.ts"
