// What a call would meet, decision by decision, for people: each decision with the object that caused it and the nearest
// one that would change it.
export type { Outcome, Place, Step, StepName, Verdict } from "./chain.ts"
export { STEP_NAMES } from "./chain.ts"
export { type CallExplanation, explainCall } from "./explain_call.ts"
export type { CertificateView, Party, Question, Wire, World } from "./question.ts"
