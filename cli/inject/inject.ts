// `conduit inject`: manifests in, the same manifests with the proxy out, and a report on standard error.
import { readFileSync, statSync } from "node:fs"
import type { ArgsDef } from "citty"
import {
  checkSettings,
  complaintAbout,
  MAX_TRUST_ANCHORS_BYTES,
  SETTING_PREFIX,
  SettingError,
  TrustAnchorError,
  trustAnchors,
} from "../../deploy/inject/mod.ts"
import type { InstalledMesh } from "../../deploy/install/mod.ts"
import { injectInputs, joinTexts } from "../../deploy/manifests/mod.ts"
import { command } from "../command_line/command.ts"
import { Failure, UsageError } from "../failure.ts"
import { GLOBAL_FLAGS } from "../flags.ts"
import { readManifests, refuseOutputFlag, sayReports } from "./manifests.ts"
import { say, writeOut } from "../output.ts"
import { runningMesh } from "../running_mesh.ts"
import { CLIENT_VERSION } from "../version.ts"

/** Flags that set a `config.conduit.io` annotation of the same name. */
export const SETTING_FLAGS = {
  "skip-inbound-ports": setting("PORTS", "ports of the pods that bypass the proxy, such as 25,4000-4100"),
  "skip-outbound-ports": setting("PORTS", "ports of destinations that bypass the proxy"),
  "opaque-ports": setting("PORTS", "ports on which no protocol is looked for"),
  "proxy-cpu-request": setting("CPU", "CPU that the proxy asks for, such as 100m"),
  "proxy-cpu-limit": setting("CPU", "CPU that the proxy may use"),
  "proxy-memory-request": setting("MEMORY", "memory that the proxy asks for, such as 20Mi"),
  "proxy-memory-limit": setting("MEMORY", "memory that the proxy may use"),
  "proxy-log-level": setting("LEVEL", "error, warn, info, debug or trace"),
  "proxy-log-format": setting("FORMAT", "plain or json"),
  "proxy-image": setting("IMAGE", "image of the proxy"),
  "proxy-version": setting("VERSION", "tag of the proxy's and the init container's image"),
  "proxy-uid": setting("UID", "user that the proxy runs as (default: 2102)"),
  "default-inbound-policy": setting("POLICY", "who may call where no policy says anything"),
  "shutdown-grace-period": setting("DURATION", "from the pod's end to the proxy's at the latest"),
  "access-log": setting("FORMAT", "a line per request on the proxy's standard output: off, apache or json"),
  "trace-collector": setting(
    "HOST:PORT",
    "OpenTelemetry collector that gets the proxies' spans (OTLP over HTTP)",
  ),
  "trace-sampling": setting("SHARE", "share of requests without a trace that begin one, 0 to 1 (default: 0)"),
  "native-sidecar": {
    type: "boolean",
    description: "run the proxy as a native sidecar (Kubernetes 1.29; Jobs and CronJobs do by default)",
  },
  "outbound-mtls": setting("MODE", "preferred, or required: nothing leaves in plaintext to the mesh"),
} as const satisfies ArgsDef

function setting<const Hint extends string>(valueHint: Hint, description: string) {
  return { type: "string", valueHint, description } as const
}

/** `conduit inject FILE|DIR|URL|- ...`. */
export const inject = command({
  meta: {
    name: "inject",
    description: [
      "Puts the proxy into the workloads of manifests: Deployment, StatefulSet, DaemonSet, ReplicaSet, Job, CronJob and",
      "Pod, also within a List. Namespaces are annotated, so that pods that come later are meshed too. Everything else,",
      "comments and layout included, stays as it is; a second inject changes nothing, and conduit uninject gives back",
      "what was there. The report goes to standard error. With an error anywhere nothing is printed, so that",
      "kubectl apply never gets a half. The cluster that a kubeconfig leads to is asked which mesh proxies will belong to;",
      "no other question is asked of it, and without a kubeconfig none at all. Flags that set something win over",
      "annotations; see --manual=false for the webhook.",
    ].join("\n"),
  },
  args: {
    ...GLOBAL_FLAGS,
    file: {
      type: "positional",
      valueHint: "FILE|DIR|URL|-",
      description: "manifests: files, folders with all below them, web addresses, - for standard input",
      required: true,
    },
    namespace: {
      type: "string",
      alias: "n",
      valueHint: "NAMESPACE",
      description: "namespace of objects that name none (default: left to kubectl)",
    },
    manual: {
      type: "boolean",
      default: true,
      description:
        "put the proxy into the manifest; --manual=false only annotates, for the webhook to inject",
    },
    "identity-trust-anchors-file": {
      type: "string",
      valueHint: "FILE",
      description: "PEM certificates of the mesh's authority (default: those of the cluster's control plane)",
    },
    "ignore-cluster": {
      type: "boolean",
      description: "ask no cluster which mesh the proxies will belong to, although a kubeconfig leads to one",
    },
    "identity-trust-domain": {
      type: "string",
      alias: "trust-domain",
      valueHint: "DOMAIN",
      description: "trust domain of identities (default: cluster.local)",
    },
    "cluster-domain": {
      type: "string",
      valueHint: "DOMAIN",
      description: "DNS domain of the cluster (default: cluster.local)",
    },
    cni: {
      type: "boolean",
      description: "the cluster's CNI plugin of Conduit redirects pods: no container gets a privilege",
    },
    "init-image": { type: "string", valueHint: "IMAGE", description: "image of the init container" },
    ...SETTING_FLAGS,
  },
  variadic: true,
  examples: [
    { line: "kubectl get deploy -o yaml | conduit inject - | kubectl apply -f -", why: "meshes what runs" },
    { line: "conduit inject k8s/ | kubectl apply -f -", why: "every manifest of a folder" },
    { line: "conduit inject --opaque-ports 3306 --proxy-cpu-limit 500m web.yml", why: "with settings" },
    {
      line: "conduit inject --identity-trust-anchors-file ca.crt web.yml",
      why: "with mutual TLS where no cluster can be asked",
    },
    { line: "conduit uninject web.yml | conduit inject --proxy-log-level debug -", why: "injects anew" },
  ],
  async run({ args }) {
    refuseOutputFlag(args.output, "inject")
    const settings = settingsOf(args)
    const anchors = args["identity-trust-anchors-file"]
    const asks = anchors === undefined && args.manual && args["ignore-cluster"] !== true
    const found = asks ? await runningMesh(args) : ""
    const mesh = typeof found === "string" ? null : found
    const known = anchors === undefined ? checkedAnchors(mesh) : anchorsOf(anchors)
    const inputs = await readManifests(args._)
    const treated = injectInputs(inputs, {
      namespace: dnsName("--namespace", args.namespace) ?? "",
      conduitNamespace:
        dnsName("--conduit-namespace", args["conduit-namespace"] ?? process.env.CONDUIT_NAMESPACE) ??
        "conduit",
      version: CLIENT_VERSION,
      onlyAnnotate: !args.manual,
      ...defined("trustAnchors", known),
      ...defined(
        "trustDomain",
        dnsName("--identity-trust-domain", args["identity-trust-domain"]) ?? mesh?.trustDomain,
      ),
      ...defined("clusterDomain", dnsName("--cluster-domain", args["cluster-domain"]) ?? mesh?.clusterDomain),
      ...defined("images", mesh?.images),
      ...defined("initImage", args["init-image"]),
      ...defined("cni", args.cni ?? mesh?.cni),
      ...(Object.keys(settings).length === 0 ? {} : { settings }),
    })
    const reports = treated.flatMap(one => one.reports)
    sayReports(inputs, reports)
    if (known === undefined && args.manual && reports.some(report => report.outcome === "injected")) {
      const why = typeof found === "string" && found !== "" ? `, and ${found}` : ""
      say(
        `no trust anchors given${why}: these proxies have no identity, so no mutual TLS and no policy by identity; ` +
          "--identity-trust-anchors-file FILE gives them the certificates of the mesh's authority",
      )
    }
    writeOut(joinTexts(treated.map(one => one.text)))
  },
})

function defined<Key extends string, Value>(key: Key, value: Value | undefined): { [K in Key]?: Value } {
  return value === undefined ? {} : ({ [key]: value } as { [K in Key]: Value })
}

/** Settings that were given as flags. @throws UsageError for a value that cannot be used */
function settingsOf(args: Readonly<Record<string, unknown>>): Record<string, string> {
  const settings: Record<string, string> = {}
  for (const name of Object.keys(SETTING_FLAGS)) {
    const given = args[name]
    if (given === undefined) continue
    const value = typeof given === "boolean" ? (given ? "enabled" : "disabled") : String(given).trim()
    const complaint = complaintAbout(name, value)
    if (complaint !== null) throw new UsageError(`--${name} cannot be "${value}": ${complaint}`)
    settings[name] = value
  }
  try {
    const entries = Object.entries(settings).map(([name, value]) => [SETTING_PREFIX + name, value] as const)
    checkSettings(Object.fromEntries(entries))
  } catch (error) {
    // Values that are fine each, but not together.
    if (error instanceof SettingError) throw new UsageError(error.message)
    throw error
  }
  return settings
}

/** Trust anchors that a control plane holds; undefined where it has none. */
function checkedAnchors(mesh: InstalledMesh | null): string | undefined {
  if (mesh === null || mesh.trustAnchors === "") return undefined
  try {
    return trustAnchors(mesh.trustAnchors, Date.now())
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new Failure(`the trust anchors that the control plane holds cannot be used: ${why}`, {
      cause: error,
    })
  }
}

function anchorsOf(path: string): string {
  try {
    // Looked at before it is read: a device has no end.
    if (statSync(path).size > MAX_TRUST_ANCHORS_BYTES)
      throw new TrustAnchorError("it is too large for certificates")
    return trustAnchors(readFileSync(path, "utf8"), Date.now())
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new Failure(`trust anchors of ${path} cannot be used: ${why}`, { cause: error })
  }
}

/** A flag's value that becomes part of DNS names. @throws UsageError when it cannot */
function dnsName(flag: string, value: string | undefined): string | undefined {
  if (value === undefined || value === "") return undefined
  if (/^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(value) && value.length <= 253)
    return value
  throw new UsageError(`${flag} cannot be "${value}"; it takes lower-case letters, digits, "-" and "."`)
}
