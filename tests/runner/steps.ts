// Every check of the tree, in the order in which they are shown.
import type { Step } from "./step.ts"

const SECOND = 1000
const MINUTE = 60 * SECOND

/**
 * Checks that run beside the others: those that mostly wait (for certificates that live for 20 s, for pods), and that no
 * other load can make fail. Those that send load and let no request fail run one after the other.
 */
const BESIDE = new Set([
  "e2e/mtls_rotation",
  "e2e/identity_service",
  "e2e/bad_input",
  "e2e/cni",
  "e2e/dead_node",
  "e2e/dev_ipv6",
  "e2e/dev_pods",
  "e2e/explain",
  "e2e/grafana",
  "e2e/idle_memory",
  "e2e/long_lived",
  "e2e/policy_views",
  "e2e/raw_routes",
  "e2e/stateful_set",
  "programs/plugin_examples",
  "programs/plugin_new",
  "programs/plugin_new_go",
  "programs/programs",
  "programs/prometheus",
  "cluster/api",
  "cluster/chart",
  "cluster/check",
  "cluster/cli",
  "cluster/cni",
  "cluster/conformance",
  "cluster/grpcurl",
  "cluster/images",
  "cluster/injector",
  "cluster/install",
  "cluster/kubernetes_source",
  "cluster/node",
  "cluster/plugin_status",
  "cluster/policy_status",
  "cluster/route_status",
  "cluster/tap",
])
/** The checks that need a browser, which no one here wrote. */
const IN_A_BROWSER = new Set(["./tests/e2e/dashboard_test.ts", "./tests/dashboard/states_test.ts"])
/** Checks that look at the whole machine: nothing runs beside them. */
const ALONE = new Set(["cluster/leftovers"])

/** Steps on the real Kubernetes of tests/cluster; the first of a machine builds it. */
export function clusterSteps(tests: readonly string[]): Step[] {
  return tests.map(file => ({
    name: stepName(file),
    what: "on a real Kubernetes, in namespaces",
    command: ["bun", "test", "--timeout", `${5 * MINUTE}`, file],
    timeoutMs: 45 * MINUTE,
    counted: true,
    namespaces: true,
    ...company(file),
    // Images are built and read where no cluster can be.
    cluster: file !== "./tests/cluster/images_test.ts",
  }))
}

function company(file: string): Pick<Step, "beside" | "alone"> {
  const name = stepName(file)
  return { beside: BESIDE.has(name), alone: ALONE.has(name) }
}

function stepName(file: string): string {
  return file.replace(/^\.\/tests\//, "").replace(/_test\.ts$/, "")
}

/**
 * The steps that need no cluster.
 *
 * @param unitTests test files that need no namespace
 * @param e2eTests test files that build network namespaces; each is a step of its own
 */
export function stepsOf(unitTests: readonly string[], e2eTests: readonly string[]): Step[] {
  const bunTest = ["bun", "test", "--timeout", `${30 * SECOND}`]
  return [
    { name: "format", what: "every file is formatted", command: ["biome", "format", "."], timeoutMs: MINUTE },
    {
      name: "lint",
      what: "lint and import floors",
      command: ["biome", "lint", "--error-on-warnings", "."],
      timeoutMs: MINUTE,
    },
    {
      name: "types",
      what: "the compiler agrees",
      command: ["npm", "run", "--silent", "types"],
      timeoutMs: 3 * MINUTE,
    },
    {
      name: "protos",
      what: "the APIs are lint clean",
      command: ["buf", "lint", "protos"],
      timeoutMs: MINUTE,
    },
    {
      name: "protos-promise",
      what: "the plugin API breaks nothing that was promised (PLUGINS.md)",
      command: ["bun", "tests/runner/promise.ts"],
      timeoutMs: MINUTE,
    },
    {
      name: "generated",
      what: "generated code is what buf generates",
      command: ["bun", "tests/runner/generated.ts"],
      timeoutMs: MINUTE,
    },
    {
      name: "unit",
      what: "unit, property and fuzz tests",
      command: [...bunTest, ...unitTests],
      timeoutMs: 8 * MINUTE,
      counted: true,
    },
    ...e2eTests.map(
      (file): Step => ({
        name: stepName(file),
        what: "end to end, in network namespaces",
        command: ["bun", "test", "--timeout", `${5 * MINUTE}`, file],
        timeoutMs: 10 * MINUTE,
        counted: true,
        namespaces: true,
        ...company(file),
        go: file.endsWith("_go_test.ts"),
        programs: file.startsWith("./tests/programs/") || IN_A_BROWSER.has(file),
      }),
    ),
    {
      name: "demo",
      what: "npm run demo -- --for 20s",
      command: ["npm", "run", "--silent", "demo", "--", "--for", "20s"],
      timeoutMs: 3 * MINUTE,
      namespaces: true,
    },
  ]
}
