// The public face of policy/: who may call the pod, watched and enforced.
export type { AccessObserver, AccessProtocol } from "./access_observer.ts"
export { OutboundPolicy, type OutboundPolicyOptions } from "./egress_policy.ts"
export { InboundPolicy, type InboundPolicyOptions } from "./inbound_policy.ts"
export { PolicyWatch, type PolicyWatchOptions } from "./policy_watch.ts"
