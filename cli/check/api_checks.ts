// Checks that ask the control plane's API: that it answers, and what it finds wrong with the mesh.
import { ConnectError } from "@connectrpc/connect"
import { type Fault, FaultKind } from "../../protos/mod.ts"
import { type Finding, failure, lines, notYet, warning, well } from "./check.ts"
import { MAX_CLOCK_SKEW_MS } from "./kubernetes_checks.ts"
import type { World } from "./world.ts"

/** The API answers. */
export async function apiReached(world: World): Promise<Finding> {
  try {
    const { controlPlane } = await world.ask(api => api.version({}))
    return well(controlPlane)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    const todo = "look at the pods and the log of conduit-api; --api-addr HOST:PORT names an address of it"
    // A control plane that was found and does not answer may be starting.
    return error instanceof Error && error.cause instanceof ConnectError
      ? notYet(why, todo)
      : failure(why, todo)
  }
}

/** Control plane and this program are of one version. */
export async function apiVersion(world: World): Promise<Finding> {
  const { controlPlane } = await world.ask(api => api.version({}))
  if (controlPlane === world.version) return well(controlPlane)
  return warning(
    `the control plane is ${controlPlane}, and this conduit ${world.version}`,
    "conduit upgrade, or the conduit of that version: answers of another one may lack what this one shows",
  )
}

/** The control plane's clock and this machine's agree. */
export async function apiClock(world: World): Promise<Finding> {
  const before = world.nowMs()
  world.forget()
  const { nowMs } = await world.told()
  const ahead = nowMs - (before + world.nowMs()) / 2
  if (Math.abs(ahead) <= MAX_CLOCK_SKEW_MS) return well()
  const how = `${Math.round(Math.abs(ahead) / 1000)} s ${ahead > 0 ? "ahead of" : "behind"}`
  return warning(
    `the control plane's clock is ${how} this machine's`,
    "let NTP set the clocks (chronyc tracking, timedatectl)",
  )
}

/** Every object is understood. */
export function objectsUnderstood(world: World): Promise<Finding> {
  return noFault(
    world,
    FaultKind.OBJECT,
    "correct it: until then its last good version, or none, is in force",
  )
}

/** Policies name what is there, and do not contradict each other. */
export function policiesSound(world: World): Promise<Finding> {
  return noFault(
    world,
    FaultKind.POLICY,
    "correct the policy; conduit policy what-if FILE tries it on live traffic",
  )
}

/** Routes bind what they name, and name what is there. */
export function routesSound(world: World): Promise<Finding> {
  return noFault(world, FaultKind.ROUTE, "correct the route; its status says the same, by parent")
}

/** No Service asks for faults. */
export function noFaultsInjected(world: World): Promise<Finding> {
  return noFault(
    world,
    FaultKind.INJECTED,
    "kubectl annotate svc NAME fault.conduit.io/delay- fault.conduit.io/abort- ends it",
  )
}

/** Plugins answer, and find nothing wrong themselves. */
export function pluginsReady(world: World): Promise<Finding> {
  return noFault(
    world,
    FaultKind.PLUGIN,
    "conduit plugin list tells their state; traffic goes on without them",
  )
}

/** Opaque ports of Services and their pods agree. */
export function opaquePortsAgree(world: World): Promise<Finding> {
  const todo = "give Service and pods the same config.conduit.io/opaque-ports, each with its own numbers"
  return noFault(world, FaultKind.OPAQUE_PORT, todo)
}

/** No Service has endpoints with an identity and others without. */
export function endpointsAlike(world: World): Promise<Finding> {
  return noFault(world, FaultKind.NO_IDENTITY, "inject the workloads that are left, and roll them out")
}

async function noFault(world: World, kind: FaultKind, todo: string): Promise<Finding> {
  const { faults, leftOut } = await world.told()
  const own = faults.filter(fault => fault.kind === kind).map(faultText)
  if (own.length === 0) return well()
  const rest = leftOut === 0 ? "" : "\nnot everything was told: there are too many faults"
  return warning(`${lines(own)}${rest}`, todo)
}

function faultText({ where, message }: Fault): string {
  return `${where}: ${message}`
}
