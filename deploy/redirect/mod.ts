// The face of deploy/redirect: what turns a pod's TCP towards its proxy.
export {
  applyRedirect,
  type Family,
  type Iptables,
  type IptablesCommand,
  iptablesInPath,
  isRedirected,
} from "./apply.ts"
export { formatPortList, type PortRange, parsePortList } from "./port_list.ts"
export { parseRedirectArgs, type RedirectOptions, redirectArgs, redirectRules } from "./redirect.ts"
