// The face of deploy/redirect: what turns a pod's TCP towards its proxy.
export { formatPortList, type PortRange, parsePortList } from "./port_list.ts"
export { parseRedirectArgs, type RedirectOptions, redirectArgs, redirectRules } from "./redirect.ts"
