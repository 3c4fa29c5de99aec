// Config: what the mesh is configured with, as far as the API's process knows it.
import type { MessageInitShape } from "@bufbuild/protobuf"
import { type ConfigResponseSchema, MAX_PAGE_ROWS } from "../../protos/mod.ts"
import type { PolicyOptions } from "../policy/mod.ts"
import { MAX_WINDOW_MS } from "../telemetry/mod.ts"
import type { MeshNames } from "../tls/mod.ts"

/** What the answer is made of. */
export interface ConfigSources {
  /** Version of the control plane. */
  readonly version: string
  readonly policy: PolicyOptions
  /** Undefined for a mesh without identity. */
  readonly names: MeshNames | undefined
  /** Whether callers are asked who they are. */
  readonly checked: boolean
}

/** Answers a Config request. */
export function config({
  version,
  policy,
  names,
  checked,
}: ConfigSources): MessageInitShape<typeof ConfigResponseSchema> {
  return {
    controlPlane: version,
    trustDomain: names?.trustDomain ?? "",
    controlNamespace: names?.controlNamespace ?? "",
    defaultInboundPolicy: policy.defaultPolicy,
    clusterNetworks: [...policy.clusterNetworks],
    accessIsChecked: checked,
    maxWindowMs: MAX_WINDOW_MS,
    maxPageSize: MAX_PAGE_ROWS,
  }
}
