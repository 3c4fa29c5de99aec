// The CNI plugin's decisions: whose pod is redirected, what is passed on, what fails.
import type { RedirectOptions } from "../redirect/mod.ts"
import { type Pod, podRedirect } from "./pod_redirect.ts"
import {
  CNI_CODES,
  CniError,
  type CniRequest,
  errorDocument,
  type PodName,
  readRequest,
  versionDocument,
  versionOf,
} from "./request.ts"

/** What the plugin does to the world; tests pass their own. */
export interface PluginWorld {
  /** A pod as the API has it, null when it has none. @throws Error when nobody could be asked */
  readonly readPod: (pod: PodName, kubeconfig: string) => Promise<Pod | null>
  /** Redirects a pod's network namespace. @returns null, or what went wrong @throws Error likewise */
  readonly redirect: (netns: string, options: RedirectOptions) => string | null
  /** Whether a network namespace is redirected. @throws Error when it cannot be looked at */
  readonly isRedirected: (netns: string) => boolean
  /** Tells who reads the runtime's log. */
  readonly say: (line: string) => void
}

/** What the runtime gets. */
export interface PluginAnswer {
  readonly stdout: string
  readonly exitCode: 0 | 1
}

/**
 * Answers one request of a container runtime.
 *
 * What is not known to be meshed passes, whatever is broken: without the API no pod of others may be held up. A meshed
 * pod that slips through so starts nothing, since its `conduit-validate` sees no redirect, and the installer repairs it.
 */
export async function answer(
  env: Readonly<Record<string, string | undefined>>,
  stdin: string,
  world: PluginWorld,
): Promise<PluginAnswer> {
  try {
    const request = readRequest(env, stdin)
    return { stdout: await act(request, world), exitCode: 0 }
  } catch (error) {
    const told =
      error instanceof CniError
        ? error
        : new CniError(CNI_CODES.ioFailure, error instanceof Error ? error.message : String(error))
    return { stdout: `${errorDocument(told, versionOf(stdin))}\n`, exitCode: 1 }
  }
}

async function act(request: CniRequest, world: PluginWorld): Promise<string> {
  switch (request.command) {
    case "VERSION":
      return `${versionDocument(request.version)}\n`
    case "ADD":
      return await add(request, world)
    case "CHECK":
      return await check(request, world)
    default:
      // The rules went with the network namespace, and nothing else is kept anywhere.
      return ""
  }
}

async function add(request: CniRequest, world: PluginWorld): Promise<string> {
  const { prevResult, netns } = request
  if (typeof prevResult !== "object" || prevResult === null) {
    throw new CniError(
      CNI_CODES.invalidConfig,
      "there is no prevResult; conduit-cni stands after the plugins of a network in its conflist, never alone",
    )
  }
  const options = await wantedRedirect(request, world)
  if (options !== null) {
    const complaint = tried(() => world.redirect(netns, options))
    if (complaint !== null) {
      throw new CniError(CNI_CODES.tryAgainLater, `pod ${nameOf(request)}: ${complaint}`)
    }
  }
  return `${JSON.stringify(prevResult)}\n`
}

async function check(request: CniRequest, world: PluginWorld): Promise<string> {
  if ((await wantedRedirect(request, world)) === null) return ""
  const complaint = tried(() => (world.isRedirected(request.netns) ? null : "its redirect is gone"))
  if (complaint === null) return ""
  throw new CniError(CNI_CODES.tryAgainLater, `pod ${nameOf(request)}: ${complaint}`)
}

/** Null for a pod that is none of ours, or that nobody knows. @throws CniError for one of ours that cannot be done */
async function wantedRedirect(request: CniRequest, world: PluginWorld): Promise<RedirectOptions | null> {
  const { pod: name, kubeconfig, excludeNamespaces } = request
  if (name === null || excludeNamespaces.includes(name.namespace)) return null
  let pod: Pod | null
  try {
    pod = await world.readPod(name, kubeconfig)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    world.say(
      `pod ${nameOf(request)} passes as if it were not meshed, since it cannot be read: ${why}; if it is meshed, conduit-validate holds it back until it is repaired`,
    )
    return null
  }
  // Another pod of that name is there already: this one is about to go.
  if (pod === null || (name.uid !== "" && pod.metadata?.uid !== undefined && pod.metadata.uid !== name.uid))
    return null
  try {
    return podRedirect(pod)
  } catch (error) {
    const why = error instanceof Error ? error.message.replace(/^conduit-init: /, "") : String(error)
    throw new CniError(CNI_CODES.invalidConfig, `pod ${nameOf(request)} cannot be redirected: ${why}`)
  }
}

function nameOf({ pod }: CniRequest): string {
  return pod === null ? "" : `${pod.namespace}/${pod.name}`
}

function tried(act: () => string | null): string | null {
  try {
    return act()
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}
