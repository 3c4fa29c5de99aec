// What a process of the control plane is told, and how it says what is missing.
import { expect, test } from "bun:test"
import { parseSettings, type Settings } from "./settings.ts"

const MESH = { CONDUIT_TRUST_ANCHORS_FILE: "/anchors.crt", CONDUIT_IDENTITY_ISSUER_DIR: "/issuer" }

function settings(args: readonly string[], env: Record<string, string> = {}): Settings {
  const read = parseSettings(args, env)
  if (typeof read === "string") throw new Error(read)
  return read
}

test("in a cluster identity asks the API server whose tokens are, and needs no keys of theirs", () => {
  const { identity } = settings(["identity", "--kubernetes"], MESH)
  expect(identity).toMatchObject({ issuerFolder: "/issuer", tokenKeys: null })
})

test("without an API server identity needs the keys of who issues tokens", () => {
  expect(parseSettings(["identity"], MESH)).toContain("identity needs --kubernetes")
  const keys = { CONDUIT_IDENTITY_JWKS_FILE: "/jwks.json", CONDUIT_IDENTITY_TOKEN_ISSUER: "https://issuer" }
  expect(settings(["identity"], { ...MESH, ...keys }).identity?.tokenKeys).toEqual({
    jwksFile: "/jwks.json",
    issuer: "https://issuer",
  })
})

test("identity signs nothing without an issuer and anchors", () => {
  expect(parseSettings(["identity", "--kubernetes"], {})).toContain("CONDUIT_TRUST_ANCHORS_FILE")
  const anchors = { CONDUIT_TRUST_ANCHORS_FILE: "/anchors.crt" }
  expect(parseSettings(["identity", "--kubernetes"], anchors)).toContain("CONDUIT_IDENTITY_ISSUER_DIR")
})

test("a port that is none is named with its variable", () => {
  expect(parseSettings(["policy", "--kubernetes"], { CONDUIT_IDENTITY_PORT: "tcp://10.0.0.1:8080" })).toBe(
    'CONDUIT_IDENTITY_PORT must be a port from 0 (any) to 65535, not "tcp://10.0.0.1:8080"',
  )
})
