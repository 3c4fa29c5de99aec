// Rate limits and egress policies out of conduit.policy.v1. Field numbers are those of rate_limit.proto and egress.proto;
// tests hold them to the generated code.
import type { ProtoReader } from "../control_plane/mod.ts"
import type { EgressPolicyConfig, EgressRuleConfig } from "../../protos/authorization/mod.ts"
import type { RateLimitConfig, RateLimitPolicyConfig } from "./rate_limits.ts"

/** Reads a RateLimitPolicy. All readers throw ProtoError when the bytes are no such message. */
export function readRateLimitPolicy(reader: ProtoReader): RateLimitPolicyConfig {
  let namespace = ""
  let name = ""
  let allPorts = false
  const ports: number[] = []
  const limits: RateLimitConfig[] = []
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) namespace = reader.text()
    else if (field === 2) name = reader.text()
    else if (field === 3) reader.varints(ports)
    else if (field === 4) allPorts = reader.varint() !== 0
    else if (field === 5) limits.push(readLimit(reader.message()))
    else reader.skip()
  }
  return { namespace, name, ports, allPorts, limits }
}

function readLimit(reader: ProtoReader): RateLimitConfig {
  let name = ""
  let requests = 0
  let periodS = 0
  let burst = 0
  let by = 0
  let header = ""
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) name = reader.text()
    else if (field === 2) requests = reader.varint()
    else if (field === 3) periodS = reader.varint()
    else if (field === 4) burst = reader.varint()
    else if (field === 5) by = reader.varint()
    else if (field === 6) header = reader.text()
    else reader.skip()
  }
  return { name, requests, periodS, burst, by, header }
}

/** Reads an EgressPolicy. */
export function readEgressPolicy(reader: ProtoReader): EgressPolicyConfig {
  let namespace = ""
  let name = ""
  let action = 0
  const rules: EgressRuleConfig[] = []
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) namespace = reader.text()
    else if (field === 2) name = reader.text()
    else if (field === 3) action = reader.varint()
    else if (field === 4) rules.push(readEgressRule(reader.message()))
    else reader.skip()
  }
  return { namespace, name, action, rules }
}

function readEgressRule(reader: ProtoReader): EgressRuleConfig {
  const hosts: string[] = []
  const networks: string[] = []
  const ports: number[] = []
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) hosts.push(reader.text())
    else if (field === 2) networks.push(reader.text())
    else if (field === 3) reader.varints(ports)
    else reader.skip()
  }
  return { hosts, networks, ports }
}
