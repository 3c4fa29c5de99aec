// Who may call whom, as the API tells it: of policies that are there, of some that are proposed, of traffic.
export { authorization } from "./authorization.ts"
export { learn } from "./learn.ts"
export { policies } from "./policies.ts"
export { type TriedPlugins, whatIf } from "./what_if.ts"
