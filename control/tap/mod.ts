// The tap service: live requests of a selection of pods, asked of their proxies and told in one stream.
export { MAX_TAP_PROXIES } from "./relay.ts"
export { remoteRelay } from "./remote_relay.ts"
export { localRelay, serveTap, type TapOptions } from "./service.ts"
