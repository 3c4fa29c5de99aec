// Tells authors what became of their objects: in the objects' status, and in the log.
export { cut, timed, type WantedCondition } from "./condition.ts"
export { type KeptConditions, keepConditions } from "./keep.ts"
export type { ConditionKind, StatusObject } from "./writer.ts"
