// Whether the answers of a plugin's hooks are such as the control plane takes: the rules that the comments of
// protos/conduit/plugin/v1 state.
import { isIP } from "node:net"
import {
  isDnsLabel,
  isPort,
  isZone,
  MAX_ADDED_ENDPOINTS,
  MAX_ASK_CACHE_MS,
  MAX_ASK_REASON_BYTES,
  MAX_CHANGED_ENDPOINTS,
  MAX_CHECK_LINES,
  MAX_ENDPOINT_WEIGHT,
  MAX_SUPPLIED_POLICIES,
  readOwnServices,
  readPodPatch,
} from "../../deploy/plugin_object/mod.ts"
import { POLICY_API_VERSION, POLICY_KIND, readAuthorizationPolicy } from "../../deploy/policy/mod.ts"
import { type pluginDestinationV1, pluginHooksV1, pluginPolicyV1 } from "../../protos/mod.ts"

/** Policies that are supplied. */
export function judgePolicies({ policies }: pluginPolicyV1.SupplyResponse): string[] {
  const wrong: string[] = []
  if (policies.length > MAX_SUPPLIED_POLICIES)
    wrong.push(
      `${policies.length} policies, more than ${MAX_SUPPLIED_POLICIES}: name several workloads in one`,
    )
  const seen = new Set<string>()
  for (const [index, { namespace, name, spec, reason }] of policies
    .slice(0, MAX_SUPPLIED_POLICIES)
    .entries()) {
    const at = `policies[${index}]`
    if (!isDnsLabel(namespace)) wrong.push(`${at}.namespace ${quoted(namespace)} is no DNS label (RFC 1123)`)
    if (!isDnsLabel(name)) wrong.push(`${at}.name ${quoted(name)} is no DNS label (RFC 1123)`)
    const key = `${namespace}/${name}`
    if (seen.has(key))
      wrong.push(`${at} is called ${key}, as an earlier one: names are unique in their namespace`)
    seen.add(key)
    if (reason === "") wrong.push(`${at}.reason is empty: conduit explain would show nobody why`)
    const { complaints } = readAuthorizationPolicy({
      apiVersion: POLICY_API_VERSION,
      kind: POLICY_KIND,
      metadata: { namespace: namespace || "default", name: isDnsLabel(name) ? name : "policy" },
      spec: spec ?? {},
    })
    for (const { path, message } of complaints) wrong.push(`${at}.${path.join(".")} ${message}`)
  }
  return wrong
}

/** Amendments of endpoints. */
export function judgeAmendments({ amendments }: pluginDestinationV1.AmendResponse): string[] {
  const wrong: string[] = []
  for (const [index, { ref, add, change }] of amendments.entries()) {
    const at = `amendments[${index}]`
    if (ref === undefined || ref.namespace === "" || ref.name === "" || !isPort(ref.port))
      wrong.push(`${at}.ref must name a Service with its namespace and a port from 1 to 65535`)
    if (add.length > MAX_ADDED_ENDPOINTS)
      wrong.push(`${at}.add has ${add.length} endpoints, more than ${MAX_ADDED_ENDPOINTS}`)
    if (change.length > MAX_CHANGED_ENDPOINTS)
      wrong.push(`${at}.change has ${change.length} endpoints, more than ${MAX_CHANGED_ENDPOINTS}`)
    for (const [list, endpoints] of [
      ["add", add],
      ["change", change],
    ] as const) {
      for (const [place, { address, port, weight, zone }] of endpoints.entries()) {
        const where = `${at}.${list}[${place}]`
        if (!isZone(zone ?? ""))
          wrong.push(`${where}.zone must be at most 253 letters, digits, ".", "-" and "_"`)
        if (isIP(address) === 0)
          wrong.push(`${where}.address ${quoted(address)} is no IP address: resolve names in the plugin`)
        if (!isPort(port)) wrong.push(`${where}.port must be from 1 to 65535, not ${port}`)
        if ((weight ?? 0) > MAX_ENDPOINT_WEIGHT)
          wrong.push(`${where}.weight must be from 0 to ${MAX_ENDPOINT_WEIGHT}, not ${weight}`)
      }
    }
  }
  return wrong
}

/** A decision. */
export function judgeDecision(answer: pluginPolicyV1.AuthorizeResponse): string[] {
  const { decision, reason, cacheMs } = answer
  const wrong: string[] = []
  if (!values(pluginPolicyV1.Decision).includes(decision))
    wrong.push(`decision ${decision} is none that the API knows`)
  else if (decision === pluginPolicyV1.Decision.UNSPECIFIED)
    wrong.push("decision is not set: say ALLOW, DENY, or DEFER to leave it to the other policies")
  if (decision === pluginPolicyV1.Decision.DENY && reason === "")
    wrong.push("reason is empty: a caller that is refused is to be told why")
  if (Buffer.byteLength(reason) > MAX_ASK_REASON_BYTES)
    wrong.push(`reason is longer than ${MAX_ASK_REASON_BYTES} bytes`)
  if (cacheMs > MAX_ASK_CACHE_MS) wrong.push(`cache_ms must be at most ${MAX_ASK_CACHE_MS}, not ${cacheMs}`)
  return wrong
}

/** Whether a certificate is signed. */
export function judgeReview({ allowed, reason }: pluginHooksV1.ReviewResponse): string[] {
  return allowed || reason !== ""
    ? []
    : ["reason is empty: the proxy's log is to say why it has no certificate"]
}

/** A patch of a pod. @param pod the one that was sent */
export function judgePatch(
  { patchJson, denied }: pluginHooksV1.MutateResponse,
  pod: { readonly metadata: { readonly labels: object; readonly annotations: object } },
): string[] {
  if (denied !== "" && patchJson !== "")
    return ["patch_json and denied are both set: a pod that is refused is not changed"]
  try {
    readPodPatch(patchJson, pod.metadata)
    return []
  } catch (error) {
    return [(error as Error).message]
  }
}

/** Lines of `conduit check`. */
export function judgeLines({ lines }: pluginHooksV1.CheckResponse): string[] {
  const { CheckStatus } = pluginHooksV1
  const wrong = lines.length > MAX_CHECK_LINES ? [`${lines.length} lines, more than ${MAX_CHECK_LINES}`] : []
  for (const [index, { description, status, message }] of lines.entries()) {
    const at = `lines[${index}]`
    if (description === "") wrong.push(`${at}.description is empty`)
    if (status === CheckStatus.UNSPECIFIED || !values(CheckStatus).includes(status))
      wrong.push(`${at}.status must be OK, WARNING or ERROR`)
    else if (status !== CheckStatus.OK && message === "")
      wrong.push(`${at}.message is empty: say what is wrong and what to do`)
  }
  return wrong
}

/** Services of the plugin's own, and panels. */
export function judgeServices(answer: pluginHooksV1.ServicesResponse): string[] {
  const unknown = answer.panels.flatMap(({ kind }, index) =>
    values(pluginHooksV1.PanelKind).includes(kind)
      ? []
      : [`panels[${index}].kind ${kind} is none that the API knows`],
  )
  return [...readOwnServices(answer).complaints, ...unknown]
}

function values(of: Readonly<Record<string, number>>): number[] {
  return Object.values(of)
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 80))
}
