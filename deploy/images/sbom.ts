// What an image is made of: a CycloneDX 1.6 document, the same bytes for the same image, and the list of licences.
// https://cyclonedx.org/docs/1.6/json/
import { lockedPackage } from "./bun_program.ts"

/** A part of an image. */
export interface Component {
  readonly name: string
  readonly version: string
  /** SPDX expression, or null where the copyright file in the image says it. */
  readonly licence: string | null
  /** https://github.com/package-url/purl-spec */
  readonly purl?: string
}

/**
 * Libraries that are linked into Bun's binary, as its LICENSE.md lists them for Linux.
 * JavaScriptCore's LGPL asks that it can be relinked: its source and Bun's build are public.
 */
const LINKED_INTO_BUN: Readonly<Record<string, string>> = {
  "JavaScriptCore and WebCore": "LGPL-2.0-or-later",
  boringssl: "OpenSSL AND ISC AND MIT",
  brotli: "MIT",
  "c-ares": "MIT",
  icu: "Unicode-3.0",
  libarchive: "BSD-2-Clause",
  libbase64: "BSD-2-Clause",
  libdeflate: "MIT",
  "lol-html": "BSD-3-Clause",
  mimalloc: "MIT",
  picohttpparser: "MIT",
  simdutf: "Apache-2.0",
  tinycc: "LGPL-2.1-or-later",
  uSockets: "Apache-2.0",
  uWebSockets: "Apache-2.0",
  "zlib-cloudflare": "Zlib",
  zstd: "BSD-3-Clause",
}

/** Bun, and what is in it. */
export function bunComponents(name: string, version: string): Component[] {
  const linked = Object.entries(LINKED_INTO_BUN).map(([library, licence]) => ({
    name: library,
    version: `as in bun ${version}`,
    licence,
  }))
  return [npmComponent(name, version, "MIT"), ...linked]
}

/** An npm package that is bundled into a program. */
export function bundledComponent(name: string): Component {
  const { version, license } = lockedPackage(name)
  return npmComponent(name, version, license)
}

/** A Debian package. */
export function debianComponent(name: string, version: string, architecture: string): Component {
  const purl = `pkg:deb/debian/${name}@${encodeURIComponent(version)}?arch=${architecture}`
  return { name, version, licence: null, purl }
}

/** The document. */
export function bomOf(
  image: { readonly name: string; readonly version: string; readonly digest: string },
  components: readonly Component[],
): string {
  const written = components.map(({ name, version, licence, purl }) => ({
    type: "library",
    name,
    version,
    ...(licence === null ? {} : { licenses: [{ expression: licence }] }),
    ...(purl === undefined ? {} : { purl }),
  }))
  const [algorithm, content] = image.digest.split(":")
  const hash = { alg: algorithm === "sha256" ? "SHA-256" : algorithm, content }
  const component = {
    type: "container",
    name: image.name,
    version: image.version,
    hashes: [hash],
    licenses: [{ license: { id: "Apache-2.0" } }],
  }
  const document = {
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    version: 1,
    metadata: { component },
    components: written,
  }
  return `${JSON.stringify(document, null, 2)}\n`
}

/** The list of licences that is in the image, as text. */
export function licencesOf(components: readonly Component[]): string {
  const lines = components.map(
    ({ name, version, licence }) =>
      `${name} ${version}: ${licence ?? `see /usr/share/doc/${name}/copyright`}`,
  )
  return `Conduit: Apache-2.0, with\n\n${lines.join("\n")}\n`
}

function npmComponent(name: string, version: string, licence: string): Component {
  return { name, version, licence, purl: `pkg:npm/${name.replace("@", "%40")}@${version}` }
}
