// Every check, in the order in which they are made: one row each, read top to bottom. A check that others need stands
// before them. CHECKS.md says of each what its failure means and what to do.
import {
  apiClock,
  apiReached,
  apiVersion,
  endpointsAlike,
  objectsUnderstood,
  opaquePortsAgree,
  policiesSound,
  noFaultsInjected,
  pluginsReady,
  routesSound,
} from "./api_checks.ts"
import type { Check, Moment } from "./check.ts"
import {
  crdsServed,
  deploymentsReady,
  namespaceThere,
  objectsThere,
  podsReady,
  settingsReadable,
  versionInstalled,
  webhookServed,
} from "./control_plane_checks.ts"
import {
  defaultPoliciesValid,
  nobodyLeftOut,
  noJobStuck,
  proxiesCertified,
  proxiesReady,
  proxiesUpToDate,
} from "./data_plane_checks.ts"
import { anchorsHold, authorityLasts, issuerChains, issuerHolds } from "./identity_checks.ts"
import {
  apiAnswers,
  clocksAgree,
  gatewayApiServed,
  kubeconfigUsable,
  mayInstall,
  nothingInTheWay,
  podsAdmitted,
  versionSupported,
} from "./kubernetes_checks.ts"
import { ON_MACHINE, runnerAnswers } from "./local.ts"

const ALWAYS: readonly Moment[] = ["pre", "installed", "proxy"]
const AROUND: readonly Moment[] = ["pre", "installed"]
const BEFORE: readonly Moment[] = ["pre"]
const AFTER: readonly Moment[] = ["installed"]
const RUNNING: readonly Moment[] = ["installed", "proxy"]
const PROXY: readonly Moment[] = ["proxy"]

const KUBERNETES = "Kubernetes"
const INSTALL = "Before an installation"
const PLANE = "Control plane"
const API = "API of the control plane"
const IDENTITY = "Identity"
const MESH = "Mesh"
const DATA = "Data plane"

/** Checks that are alike but for these three columns; the columns of a check are id, what is well, function, needs. */
function like<Place extends Check["place"]>(
  section: string,
  place: Place,
  at: readonly Moment[],
  ...rows: (readonly [id: string, about: string, run: RunIn<Place>, needs?: string])[]
): Check[] {
  return rows.map(([id, about, run, needs]) => {
    const described = { id, section, about, at, needs: needs === undefined ? [] : [needs] }
    return { ...described, place, run } as unknown as Check
  })
}

type RunIn<Place extends Check["place"]> = Extract<Check, { readonly place: Place }>["run"]

/** Where the certificates are told of differs: a cluster has them as objects, a local mesh in its control plane. */
function identity(place: "cluster" | "local", needs: string): Check[] {
  return like(
    IDENTITY,
    place,
    AFTER,
    ["identity-anchors", "trust anchors are valid", anchorsHold, needs],
    ["identity-issuer", "the issuer is valid", issuerHolds, "identity-anchors"],
    ["identity-chain", "the issuer chains to a trust anchor", issuerChains, "identity-issuer"],
    ["identity-expiry", "none of them ends within 60 days", authorityLasts, "identity-issuer"],
  )
}

/** Every check. */
export const CHECKS: readonly Check[] = [
  ...like(
    KUBERNETES,
    "cluster",
    ALWAYS,
    ["kubeconfig", "the kubeconfig can be used", kubeconfigUsable],
    ["kubernetes-api", "the API server answers", apiAnswers, "kubeconfig"],
  ),
  ...like(
    KUBERNETES,
    "cluster",
    AROUND,
    ["kubernetes-version", "the version of Kubernetes is supported", versionSupported, "kubernetes-api"],
    ["kubernetes-clocks", "clocks agree", clocksAgree, "kubernetes-api"],
    ["gateway-api", "routes of the Gateway API can be read", gatewayApiServed, "kubernetes-api"],
  ),
  ...like(
    INSTALL,
    "cluster",
    BEFORE,
    ["install-rights", "you may create what conduit install makes", mayInstall, "kubernetes-api"],
    ["install-leftovers", "no control plane is in the way", nothingInTheWay, "kubernetes-api"],
    ["install-pod-security", "namespaces admit the redirect of traffic", podsAdmitted, "kubernetes-api"],
  ),
  ...ON_MACHINE,
  ...like("Local mesh", "local", RUNNING, ["local-mesh", "a mesh runs on this machine", runnerAnswers]),
  ...like(
    PLANE,
    "cluster",
    AFTER,
    ["control-plane-namespace", "its namespace exists", namespaceThere, "kubernetes-api"],
    ["control-plane-settings", "its settings can be read", settingsReadable, "control-plane-namespace"],
    ["control-plane-crds", "its custom resources are served", crdsServed, "control-plane-settings"],
    ["control-plane-objects", "its objects are all there", objectsThere, "control-plane-settings"],
    ["control-plane-version", "it is of this version", versionInstalled, "control-plane-settings"],
    ["control-plane-pods", "its pods are ready", deploymentsReady, "control-plane-settings"],
    ["injector-webhook", "the injector's webhook can be called", webhookServed, "control-plane-settings"],
  ),
  ...like(PLANE, "local", AFTER, ["control-plane-pods", "its pods are ready", podsReady, "local-mesh"]),
  ...identity("cluster", "control-plane-settings"),
  ...like(API, "cluster", AFTER, ["api-answers", "it answers", apiReached, "control-plane-pods"]),
  ...like(API, "cluster", PROXY, ["api-answers", "it answers", apiReached, "kubernetes-api"]),
  ...like(API, "local", RUNNING, ["api-answers", "it answers", apiReached, "local-mesh"]),
  ...like(
    API,
    "any",
    AFTER,
    ["api-version", "it is of this version", apiVersion, "api-answers"],
    ["api-clock", "its clock agrees with this machine's", apiClock, "api-answers"],
  ),
  ...identity("local", "api-answers"),
  ...like(MESH, "any", AFTER, [
    "mesh-objects",
    "every object is understood",
    objectsUnderstood,
    "api-answers",
  ]),
  ...like(
    MESH,
    "any",
    RUNNING,
    ["mesh-policies", "policies name what is there", policiesSound, "api-answers"],
    ["mesh-routes", "routes are accepted, and their backends are there", routesSound, "api-answers"],
    ["mesh-faults", "no faults are injected", noFaultsInjected, "api-answers"],
    ["mesh-plugins", "plugins answer", pluginsReady, "api-answers"],
    ["mesh-opaque-ports", "opaque ports agree", opaquePortsAgree, "api-answers"],
    ["mesh-identities", "endpoints of a Service are meshed alike", endpointsAlike, "api-answers"],
  ),
  ...like(DATA, "local", RUNNING, ["proxy-ready", "pods with a proxy are ready", proxiesReady, "local-mesh"]),
  ...like(
    DATA,
    "cluster",
    PROXY,
    ["proxy-ready", "pods with a proxy are ready", proxiesReady, "kubernetes-api"],
    ["proxy-left-out", "pods that should have a proxy have one", nobodyLeftOut, "kubernetes-api"],
    ["proxy-jobs", "no Job waits for its proxy", noJobStuck, "kubernetes-api"],
    ["proxy-default-policy", "default policies of pods exist", defaultPoliciesValid, "kubernetes-api"],
  ),
  ...like(
    DATA,
    "any",
    PROXY,
    ["proxy-version", "proxies are of the control plane's version", proxiesUpToDate, "api-answers"],
    ["proxy-certificates", "certificates of proxies are valid and renewed", proxiesCertified, "api-answers"],
  ),
]
