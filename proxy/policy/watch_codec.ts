// Messages of conduit.policy.v1 to and from the plain data that protos/authorization decides by.
import type {
  Operation,
  PluginQuestion,
  Policy,
  Probe,
  Rule,
  Source,
  WorkloadPolicy,
} from "../../protos/authorization/mod.ts"
import { ProtoReader, ProtoWriter } from "../control_plane/mod.ts"
import type { EgressPolicyConfig } from "./egress_rules.ts"
import type { RateLimitPolicyConfig } from "./rate_limits.ts"
import { readEgressPolicy, readRateLimitPolicy } from "./traffic_codec.ts"

/** An answer of the policy service. */
export interface PolicyAnswer {
  readonly version: string
  /** Null when the version that was sent is current. */
  readonly policy: PodPolicy | null
}

/** Everything that the policy service says of a pod. */
export interface PodPolicy extends WorkloadPolicy {
  readonly rateLimits: readonly RateLimitPolicyConfig[]
  readonly egress: readonly EgressPolicyConfig[]
}

// Field numbers below are those of conduit/policy/v1/policy.proto; tests hold them to the generated code.

/** The only message of a stream. `version` is what is held already, "" for nothing. */
export function encodeWatch(namespace: string, pod: string, version: string): Uint8Array {
  const writer = new ProtoWriter()
  writer.text(1, namespace)
  writer.text(2, pod)
  writer.text(3, version)
  return writer.finish()
}

/**
 * Reads an answer.
 *
 * @throws ProtoError when the bytes are no WatchResponse
 */
export function decodeAnswer(bytes: Uint8Array): PolicyAnswer {
  const reader = new ProtoReader(bytes)
  let version = ""
  let policy: PodPolicy | null = null
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) version = reader.text()
    else if (field === 2) policy = readWorkload(reader.message())
    else reader.skip()
  }
  return { version, policy }
}

function readWorkload(reader: ProtoReader): PodPolicy {
  let defaultPolicy = 0
  let trustDomain = ""
  const clusterNetworks: string[] = []
  const policies: Policy[] = []
  const probes: Probe[] = []
  const rateLimits: RateLimitPolicyConfig[] = []
  const egress: EgressPolicyConfig[] = []
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) defaultPolicy = reader.varint()
    else if (field === 2) clusterNetworks.push(reader.text())
    else if (field === 3) policies.push(readPolicy(reader.message()))
    else if (field === 4) probes.push(readProbe(reader.message()))
    else if (field === 5) trustDomain = reader.text()
    else if (field === 6) rateLimits.push(readRateLimitPolicy(reader.message()))
    else if (field === 7) egress.push(readEgressPolicy(reader.message()))
    else reader.skip()
  }
  return { defaultPolicy, clusterNetworks, policies, probes, trustDomain, rateLimits, egress }
}

function readPolicy(reader: ProtoReader): Policy {
  let namespace = ""
  let name = ""
  let action = 0
  let allPorts = false
  const ports: number[] = []
  const rules: Rule[] = []
  let ask: PluginQuestion | undefined
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) namespace = reader.text()
    else if (field === 2) name = reader.text()
    else if (field === 3) action = reader.varint()
    else if (field === 4) reader.varints(ports)
    else if (field === 5) allPorts = reader.varint() !== 0
    else if (field === 6) rules.push(readRule(reader.message()))
    else if (field === 7) ask = readQuestion(reader.message())
    else reader.skip()
  }
  const policy = { namespace, name, action, ports, allPorts, rules }
  return ask === undefined ? policy : { ...policy, ask }
}

function readQuestion(reader: ProtoReader): PluginQuestion {
  let plugin = ""
  let deadlineMs = 0
  let fail = false
  let version = ""
  const headers: string[] = []
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) plugin = reader.text()
    else if (field === 2) headers.push(reader.text())
    else if (field === 3) deadlineMs = reader.varint()
    else if (field === 4) fail = reader.varint() !== 0
    else if (field === 5) version = reader.text()
    else reader.skip()
  }
  return { plugin, headers, deadlineMs, fail, version }
}

function readRule(reader: ProtoReader): Rule {
  const from: Source[] = []
  const to: Operation[] = []
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) from.push(readSource(reader.message()))
    else if (field === 2) to.push(readOperation(reader.message()))
    else reader.skip()
  }
  return { from, to }
}

function readSource(reader: ProtoReader): Source {
  let source: Source = { client: { case: undefined } }
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) source = readWorkloadSource(reader.message())
    else if (field === 2) source = { client: { case: "identity", value: reader.text() } }
    else if (field === 3) source = { client: { case: "identityPrefix", value: reader.text() } }
    else if (field === 4) source = { client: { case: "network", value: reader.text() } }
    else reader.skip()
  }
  return source
}

function readWorkloadSource(reader: ProtoReader): Source {
  let namespace = ""
  let kind = ""
  let name = ""
  let exclusive = false
  const identities: string[] = []
  const addresses: Uint8Array[] = []
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) namespace = reader.text()
    else if (field === 2) kind = reader.text()
    else if (field === 3) name = reader.text()
    else if (field === 4) identities.push(reader.text())
    else if (field === 5) addresses.push(reader.view())
    else if (field === 6) exclusive = reader.varint() !== 0
    else reader.skip()
  }
  return {
    client: { case: "workload", value: { namespace, kind, name, identities, addresses, exclusive } },
  }
}

function readOperation(reader: ProtoReader): Operation {
  const methods: string[] = []
  const paths: string[] = []
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) methods.push(reader.text())
    else if (field === 2) paths.push(reader.text())
    else reader.skip()
  }
  return { methods, paths }
}

function readProbe(reader: ProtoReader): Probe {
  let port = 0
  let path = ""
  let grpc = false
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) port = reader.varint()
    else if (field === 2) path = reader.text()
    else if (field === 3) grpc = reader.varint() !== 0
    else reader.skip()
  }
  return { port, path, grpc }
}
