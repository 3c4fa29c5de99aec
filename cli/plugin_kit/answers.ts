// Whether the answers of a plugin's hooks are such as the control plane takes: the rules that the comments of
// protos/conduit/plugin/v1 state.
import { createFileRegistry, type DescMessage, fromBinary } from "@bufbuild/protobuf"
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt"
import { isIP } from "node:net"
import { readPodPatch } from "../../deploy/plugin_object/mod.ts"
import { POLICY_API_VERSION, POLICY_KIND, readAuthorizationPolicy } from "../../deploy/policy/mod.ts"
import { type pluginDestinationV1, pluginHooksV1, pluginPolicyV1 } from "../../protos/mod.ts"

/** Policies of one answer. */
const MAX_POLICIES = 1000
/** Endpoints that an amendment adds. */
const MAX_ADDED = 1000
/** Endpoints that an amendment changes. */
const MAX_CHANGED = 5000
const MAX_WEIGHT = 10_000
const ZONE = /^[\w.-]{0,253}$/
const MAX_CACHE_MS = 300_000
const MAX_REASON_BYTES = 1024
const MAX_LINES = 50
const MAX_DESCRIPTOR_BYTES = 1024 * 1024
/** Services that a plugin mounts. */
const MAX_SERVICES = 32
/** RFC 1123. */
const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/

/** Policies that are supplied. */
export function judgePolicies({ policies }: pluginPolicyV1.SupplyResponse): string[] {
  const wrong: string[] = []
  if (policies.length > MAX_POLICIES)
    wrong.push(`${policies.length} policies, more than ${MAX_POLICIES}: name several workloads in one`)
  const seen = new Set<string>()
  for (const [index, { namespace, name, spec, reason }] of policies.slice(0, MAX_POLICIES).entries()) {
    const at = `policies[${index}]`
    if (!DNS_LABEL.test(namespace))
      wrong.push(`${at}.namespace ${quoted(namespace)} is no DNS label (RFC 1123)`)
    if (!DNS_LABEL.test(name)) wrong.push(`${at}.name ${quoted(name)} is no DNS label (RFC 1123)`)
    const key = `${namespace}/${name}`
    if (seen.has(key))
      wrong.push(`${at} is called ${key}, as an earlier one: names are unique in their namespace`)
    seen.add(key)
    if (reason === "") wrong.push(`${at}.reason is empty: conduit explain would show nobody why`)
    const { complaints } = readAuthorizationPolicy({
      apiVersion: POLICY_API_VERSION,
      kind: POLICY_KIND,
      metadata: { namespace: namespace || "default", name: DNS_LABEL.test(name) ? name : "policy" },
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
    if (add.length > MAX_ADDED) wrong.push(`${at}.add has ${add.length} endpoints, more than ${MAX_ADDED}`)
    if (change.length > MAX_CHANGED)
      wrong.push(`${at}.change has ${change.length} endpoints, more than ${MAX_CHANGED}`)
    for (const [list, endpoints] of [
      ["add", add],
      ["change", change],
    ] as const) {
      for (const [place, { address, port, weight, zone }] of endpoints.entries()) {
        const where = `${at}.${list}[${place}]`
        if (!ZONE.test(zone ?? ""))
          wrong.push(`${where}.zone must be at most 253 letters, digits, ".", "-" and "_"`)
        if (isIP(address) === 0)
          wrong.push(`${where}.address ${quoted(address)} is no IP address: resolve names in the plugin`)
        if (!isPort(port)) wrong.push(`${where}.port must be from 1 to 65535, not ${port}`)
        if ((weight ?? 0) > MAX_WEIGHT)
          wrong.push(`${where}.weight must be from 0 to ${MAX_WEIGHT}, not ${weight}`)
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
  if (Buffer.byteLength(reason) > MAX_REASON_BYTES)
    wrong.push(`reason is longer than ${MAX_REASON_BYTES} bytes`)
  if (cacheMs > MAX_CACHE_MS) wrong.push(`cache_ms must be at most ${MAX_CACHE_MS}, not ${cacheMs}`)
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
  const wrong = lines.length > MAX_LINES ? [`${lines.length} lines, more than ${MAX_LINES}`] : []
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
export function judgeServices({ descriptors, services, panels }: pluginHooksV1.ServicesResponse): string[] {
  if (descriptors.length > MAX_DESCRIPTOR_BYTES)
    return [`descriptors has ${descriptors.length} bytes, more than ${MAX_DESCRIPTOR_BYTES}`]
  let registry: ReturnType<typeof createFileRegistry>
  try {
    registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, descriptors))
  } catch (error) {
    return [
      `descriptors is no FileDescriptorSet with all imports (buf build --as-file-descriptor-set -o): ${(error as Error).message}`,
    ]
  }
  const wrong: string[] = []
  if (services.length > MAX_SERVICES)
    wrong.push(`services has ${services.length} names, more than ${MAX_SERVICES}`)
  for (const name of services) {
    if (/^(conduit|grpc|google)\./.test(name))
      wrong.push(`services names ${name}: packages of conduit., grpc. and google. are not a plugin's`)
    else if (registry.getService(name) === undefined)
      wrong.push(`services names ${name}, which is not in descriptors`)
  }
  for (const [index, { title, service, method, rows, columns }] of panels.entries()) {
    const at = `panels[${index}]`
    if (title === "") wrong.push(`${at}.title is empty`)
    const found = registry.getService(service)?.methods.find(one => one.name === method)
    if (!services.includes(service) || found === undefined) {
      wrong.push(`${at} calls ${service}/${method}, which services and descriptors do not have`)
      continue
    }
    if (found.methodKind !== "unary") wrong.push(`${at} calls ${method}, which is a stream`)
    const item = rowOf(found.output, rows)
    if (item === null)
      wrong.push(`${at}.rows ${quoted(rows)} is no repeated message of ${found.output.typeName}`)
    for (const { field } of item === null ? [] : columns) {
      if (!item?.fields.some(one => one.name === field))
        wrong.push(`${at} has a column of the field ${quoted(field)}, which ${item?.typeName} does not have`)
    }
  }
  return wrong
}

function rowOf(output: DescMessage, rows: string): DescMessage | null {
  const field = output.fields.find(one => one.name === rows)
  return field?.fieldKind === "list" && field.listKind === "message" ? field.message : null
}

function values(of: Readonly<Record<string, number>>): number[] {
  return Object.values(of)
}

function isPort(port: number): boolean {
  return port >= 1 && port <= 65_535
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 80))
}
