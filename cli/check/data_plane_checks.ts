// Checks of the data plane: pods with a proxy, and pods that should have one.
import { complaintAbout, INJECT_ANNOTATION, SETTING_PREFIX } from "../../deploy/inject/mod.ts"
import { CertificateState } from "../../protos/mod.ts"
import { count, type Finding, failure, lines, notYet, warning, well } from "./check.ts"
import {
  type ClusterWorld,
  hasProxy,
  isAlive,
  isStuck,
  type KubePod,
  type Metadata,
  nameOf,
} from "./cluster_world.ts"
import { told } from "./control_plane_checks.ts"
import type { World } from "./world.ts"

const DEFAULT_POLICY = "default-inbound-policy"

/** Pods with a proxy are ready. */
export async function proxiesReady(world: World): Promise<Finding> {
  const pods = (await world.meshedPods()).filter(({ over }) => !over)
  if (pods.length === 0) {
    return warning(
      `no pod ${world.namespace === "" ? "" : `of namespace "${world.namespace}" `}has a proxy`,
      "conduit inject FILE | kubectl apply -f - puts it into a workload; -A looks in every namespace",
    )
  }
  const lacking = pods.filter(({ ready }) => !ready)
  if (lacking.length === 0) return well(count(pods.length, "pod"))
  return notYet(
    lines(lacking.map(told)),
    "kubectl describe pod and kubectl logs POD -c conduit-proxy say more (conduit dev logs in a local mesh)",
  )
}

/** Proxies are of the version that the control plane is. */
export async function proxiesUpToDate(world: World): Promise<Finding> {
  const pods = (await world.meshedPods()).filter(({ over, proxyVersion }) => !over && proxyVersion !== "")
  const wanted = await world.ask(api => api.version({}))
  const todo =
    "kubectl rollout restart of their workloads, after conduit inject where manifests were injected by hand"
  const others = pods.filter(({ proxyVersion }) => proxyVersion !== wanted.controlPlane)
  if (others.length > 0) {
    const found = others.map(
      ({ namespace, name, proxyVersion }) => `pod ${namespace}/${name}: ${proxyVersion}`,
    )
    return warning(
      `the control plane is ${wanted.controlPlane}, and these proxies are not:\n${lines(found)}`,
      todo,
    )
  }
  const reporting = wanted.proxies.filter(({ version }) => version !== wanted.controlPlane)
  if (pods.length > 0 || reporting.length === 0) return well(wanted.controlPlane)
  const found = reporting.map(({ version, pods: number }) => `${count(number, "pod")}: ${version}`)
  return warning(`the control plane is ${wanted.controlPlane}:\n${lines(found)}`, todo)
}

/** Certificates of proxies are valid and were renewed in time. */
export async function proxiesCertified(world: World): Promise<Finding> {
  const wrong: string[] = []
  let seen = 0
  let broken = false
  const pods = (await world.meshedPods()).filter(({ over }) => !over)
  if (pods.length === 0) return well("no pod has a proxy")
  await world.ask(async api => {
    const target = { namespace: world.namespace, kind: "pod", name: "" }
    for await (const { namespace, pod, state, error, notAfterMs } of api.identities({ target })) {
      seen++
      if (state === CertificateState.VALID) continue
      const end = notAfterMs === 0 ? "" : ` (ends ${new Date(notAfterMs).toISOString()})`
      broken ||= state !== CertificateState.EXPIRING && state !== CertificateState.UNKNOWN
      wrong.push(`pod ${namespace}/${pod}: ${error || WORDS[state] || "unknown"}${end}`)
    }
  })
  if (wrong.length === 0) return well(count(seen, "certificate"))
  const todo =
    "conduit identity -A shows all of them; kubectl logs POD -c conduit-proxy says why one was not renewed"
  return broken ? failure(lines(wrong), todo) : warning(lines(wrong), todo)
}

const WORDS: Readonly<Partial<Record<CertificateState, string>>> = {
  [CertificateState.EXPIRING]: "its certificate is near its end and was not renewed",
  [CertificateState.EXPIRED]: "its certificate has ended",
  [CertificateState.NOT_YET_VALID]: "its certificate is not valid yet: clocks differ",
  [CertificateState.NONE]: "it has no certificate",
}

/** Default policies that annotations name exist. */
export async function defaultPoliciesValid(world: ClusterWorld): Promise<Finding> {
  const [pods, namespaces] = await Promise.all([world.dataPlane(), optingNamespaces(world)])
  const annotated = [
    ...pods.map(pod => ({ what: `pod ${nameOf(pod)}`, metadata: pod.metadata })),
    ...namespaces.map(metadata => ({ what: `namespace ${metadata.name}`, metadata })),
  ]
  const wrong = annotated.flatMap(({ what, metadata }) => {
    const value = metadata.annotations?.[`${SETTING_PREFIX}${DEFAULT_POLICY}`]
    const complaint = value === undefined ? null : complaintAbout(DEFAULT_POLICY, value)
    return complaint === null ? [] : [`${what}: ${complaint}`]
  })
  if (wrong.length === 0) return well()
  return failure(lines(wrong), "correct the annotation: until then the installation's default policy holds")
}

/** Pods of namespaces that opt in have a proxy. */
export async function nobodyLeftOut(world: ClusterWorld): Promise<Finding> {
  const namespaces = (await optingNamespaces(world))
    .filter(({ annotations }) => annotations?.[INJECT_ANNOTATION] === "enabled")
    .map(({ name }) => name)
  const pods = (
    await Promise.all(
      namespaces.map(name => world.list<KubePod>(`/api/v1/namespaces/${encodeURIComponent(name)}/pods`)),
    )
  ).flat()
  const without = pods.filter(
    pod =>
      isAlive(pod) &&
      !hasProxy(pod) &&
      pod.spec?.hostNetwork !== true &&
      pod.metadata.annotations?.[INJECT_ANNOTATION] !== "disabled",
  )
  if (without.length === 0) return well(count(namespaces.length, "namespace"))
  return warning(
    `pods of namespaces with ${INJECT_ANNOTATION}: enabled have no proxy:\n${lines(without.map(nameOf))}`,
    "they were made before the injector ran, or by a manifest that was not injected: kubectl rollout restart of their workloads",
  )
}

/** No Job waits for its proxy to end. */
export async function noJobStuck(world: ClusterWorld): Promise<Finding> {
  const stuck = (await world.dataPlane()).filter(
    pod =>
      isAlive(pod) &&
      isStuck(pod) &&
      pod.metadata.ownerReferences?.some(({ kind }) => kind === "Job") === true,
  )
  if (stuck.length === 0) return well()
  return warning(
    `these Jobs are done, and their proxies go on:\n${lines(stuck.map(nameOf))}`,
    "inject them with native sidecars (config.conduit.io/native-sidecar: true), or let them POST to 127.0.0.1:4191/shutdown at their end",
  )
}

/** Metadata of the namespaces that are looked at. */
async function optingNamespaces(world: ClusterWorld): Promise<readonly Metadata[]> {
  if (world.namespace === "")
    return (await world.list<{ metadata: Metadata }>("/api/v1/namespaces")).map(({ metadata }) => metadata)
  const one = await world.get<{ metadata: Metadata }>(
    `/api/v1/namespaces/${encodeURIComponent(world.namespace)}`,
  )
  return one === null ? [] : [one.metadata]
}
