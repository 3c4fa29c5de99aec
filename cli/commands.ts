// The catalogue of commands: each with its line in `--help`; a command's file is loaded when it is typed.
import type { Entry } from "./command_line/command.ts"

/** Every command, in the order of `--help`. */
export const COMMANDS: readonly Entry[] = [
  {
    name: "install",
    summary: "prints the control plane's YAML for kubectl apply",
    load: async () => (await import("./install/install.ts")).install,
  },
  {
    name: "upgrade",
    summary: "prints this release's YAML with the settings of the running one",
    load: async () => (await import("./install/upgrade.ts")).upgrade,
  },
  {
    name: "uninstall",
    summary: "prints what to delete",
    load: async () => (await import("./install/uninstall.ts")).uninstall,
  },
  {
    name: "prune",
    summary: "prints what earlier releases or settings left over",
    load: async () => (await import("./install/prune.ts")).prune,
  },
  {
    name: "check",
    summary: "says whether all is well with a mesh, and what to do if it is not",
    load: async () => (await import("./check/command.ts")).check,
  },
  {
    name: "stat",
    summary: "success rate, requests a second and latencies of resources",
    load: async () => (await import("./traffic/stat.ts")).stat,
  },
  {
    name: "routes",
    summary: "traffic per route of Services, as seen by callers and as sent",
    load: async () => (await import("./traffic/routes.ts")).routes,
  },
  {
    name: "edges",
    summary: "who calls whom, whether it is secured, and why not",
    load: async () => (await import("./traffic/edges.ts")).edges,
  },
  {
    name: "gate",
    summary: "exits 0 only if live traffic holds what a release must hold; for pipelines",
    load: async () => (await import("./traffic/gate.ts")).gate,
  },
  {
    name: "tap",
    summary: "live requests, as proxies see them",
    load: async () => (await import("./traffic/tap.ts")).tap,
  },
  {
    name: "top",
    summary: "live requests by source, destination, method and path",
    load: async () => (await import("./traffic/top.ts")).top,
  },
  {
    name: "identity",
    summary: "certificates in use, and when they end",
    load: async () => (await import("./inspect/identity.ts")).identity,
  },
  {
    name: "policy",
    summary: "who may call whom: lists policies, tries them on live traffic, learns them from it",
    load: async () => (await import("./policy/policy.ts")).policy,
  },
  {
    name: "plugin",
    summary: "what extends the mesh: lists plugins, tries one, makes a new one",
    load: async () => (await import("./plugin/plugin.ts")).plugin,
  },
  {
    name: "explain",
    summary: "what a call would meet, decision by decision; why a proxy refused one, by its id",
    load: async () => (await import("./inspect/explain.ts")).explain,
  },
  {
    name: "profile",
    summary: "writes routes of a Service: from OpenAPI, protobuf or its traffic",
    load: async () => (await import("./profile/profile.ts")).profile,
  },
  {
    name: "endpoints",
    summary: "endpoints of Services, as proxies get them",
    load: async () => (await import("./inspect/endpoints.ts")).endpoints,
  },
  {
    name: "metrics",
    summary: "raw metrics of proxies",
    load: async () => (await import("./inspect/metrics.ts")).metrics,
  },
  {
    name: "dashboard",
    summary: "opens the web UI",
    load: async () => (await import("./dashboard/command.ts")).dashboard,
  },
  {
    name: "diagnostics",
    summary: "what a proxy believes against what the control plane says, raw metrics, support bundles",
    load: async () => (await import("./inspect/diagnostics.ts")).diagnostics,
  },
  {
    name: "inject",
    summary: "puts the proxy into manifests",
    load: async () => (await import("./inject/inject.ts")).inject,
  },
  {
    name: "uninject",
    summary: "takes the proxy out of manifests",
    load: async () => (await import("./inject/uninject.ts")).uninject,
  },
  {
    name: "dev",
    summary: "runs manifests on this machine, meshed, without Kubernetes",
    load: async () => (await import("./dev/dev.ts")).dev,
  },
  {
    name: "version",
    summary: "versions of client, control plane and proxies",
    load: async () => (await import("./version.ts")).version,
  },
  {
    name: "completion",
    summary: "completion for bash, zsh or fish",
    load: async () => (await import("./completion.ts")).completion,
  },
]
