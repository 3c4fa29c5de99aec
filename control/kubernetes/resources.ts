// The kinds of objects that are read from the Kubernetes API, what each is for, and how little of it is asked for.
import { GATEWAY_GROUP } from "../../deploy/gateway/mod.ts"
import { PLUGIN_API_VERSION, PLUGIN_KIND, PLUGIN_PLURAL } from "../../deploy/plugin_object/mod.ts"
import { POLICY_API_VERSION, POLICY_KINDS } from "../../deploy/policy/mod.ts"

/** A kind of object. */
export interface Resource {
  /** Base paths, such as `/apis/apps/v1`: the newest version first, then those in which older definitions serve it. */
  readonly bases: readonly [string, ...string[]]
  /** Name in paths and in RBAC rules. */
  readonly plural: string
  readonly kind: string
  readonly apiVersion: string
  /**
   * `required`: nothing is answered before it is read. `useful`: without it something is missing. `optional`: its
   * CustomResourceDefinition may not be there, and may come.
   */
  readonly need: "required" | "useful" | "optional"
  /** Labels, annotations and owners are enough: the server leaves out the rest. */
  readonly metadataOnly: boolean
  /** Restricts the objects; empty for all. */
  readonly labelSelector: string
  /** Says what does not work without it: a clause that follows "without it". */
  readonly without: string
}

const OWNERS = "pods are not told apart by their workload, and policies and figures do not find them"

function core(plural: string, kind: string, rest: Partial<Resource> & Pick<Resource, "without">): Resource {
  return resource("v1", plural, kind, rest)
}

function resource(
  apiVersion: string,
  plural: string,
  kind: string,
  rest: Partial<Resource> & Pick<Resource, "without">,
): Resource {
  const base = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`
  return {
    bases: [base],
    plural,
    kind,
    apiVersion,
    need: "useful",
    metadataOnly: false,
    labelSelector: "",
    ...rest,
  }
}

/** A kind of the Gateway API, which each release serves in other versions. */
function gateway(
  versions: readonly [string, ...string[]],
  plural: string,
  kind: string,
  without: string,
): Resource {
  const [newest, ...older] = versions.map(version => `${GATEWAY_GROUP}/${version}`)
  return resource(newest ?? "", plural, kind, {
    need: "optional",
    bases: [`/apis/${newest}`, ...older.map(apiVersion => `/apis/${apiVersion}`)],
    without,
  })
}

/** Slices of Services with selectors say what their pods say already; only others' are asked for. */
const FOREIGN_SLICES = "endpointslice.kubernetes.io/managed-by!=endpointslice-controller.k8s.io"

/** Every kind that is watched. */
export const RESOURCES: readonly Resource[] = [
  core("services", "Service", {
    need: "required",
    without: "no Service is known, and traffic is not balanced",
  }),
  core("pods", "Pod", { need: "required", without: "no endpoint is known, and traffic is not balanced" }),
  resource("discovery.k8s.io/v1", "endpointslices", "EndpointSlice", {
    labelSelector: FOREIGN_SLICES,
    without: "Services without selector have no endpoints",
  }),
  core("namespaces", "Namespace", {
    metadataOnly: true,
    without: "settings of namespaces (opaque ports, default policies) are not honoured",
  }),
  core("nodes", "Node", { metadataOnly: true, without: "zones are not known" }),
  resource("apps/v1", "deployments", "Deployment", { metadataOnly: true, without: OWNERS }),
  resource("apps/v1", "replicasets", "ReplicaSet", { metadataOnly: true, without: OWNERS }),
  resource("apps/v1", "statefulsets", "StatefulSet", { metadataOnly: true, without: OWNERS }),
  resource("apps/v1", "daemonsets", "DaemonSet", { metadataOnly: true, without: OWNERS }),
  resource("batch/v1", "jobs", "Job", { metadataOnly: true, without: OWNERS }),
  resource("batch/v1", "cronjobs", "CronJob", { metadataOnly: true, without: OWNERS }),
  ...Object.entries(POLICY_KINDS).map(([kind, plural]) =>
    resource(POLICY_API_VERSION, plural, kind, { need: "optional", without: `no ${kind} is in force` }),
  ),
  resource(PLUGIN_API_VERSION, PLUGIN_PLURAL, PLUGIN_KIND, {
    need: "optional",
    without: "no plugin is called",
  }),
  gateway(["v1"], "httproutes", "HTTPRoute", "no HTTPRoute is in force"),
  gateway(["v1"], "grpcroutes", "GRPCRoute", "no GRPCRoute is in force"),
  gateway(["v1", "v1alpha3", "v1alpha2"], "tlsroutes", "TLSRoute", "no TLSRoute is in force"),
  gateway(["v1", "v1alpha2"], "tcproutes", "TCPRoute", "no TCPRoute is in force"),
  gateway(
    ["v1", "v1beta1"],
    "referencegrants",
    "ReferenceGrant",
    "routes reach no backend in a third namespace",
  ),
]
