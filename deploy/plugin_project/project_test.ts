import { expect, test } from "bun:test"
import { parseAllDocuments } from "yaml"
import { PROJECT_HOOKS, PROJECT_LANGUAGES, projectFiles } from "./project.ts"
import { collectSources } from "./sources.ts"
import sources from "./sources.json" with { type: "json" }
import { readPlugin } from "../plugin_object/mod.ts"

test("what projects are made from is what the tree has (npm run generate)", () => {
  expect(Object.keys(sources)).toEqual(Object.keys(collectSources()))
  expect(sources as Record<string, string>).toEqual(collectSources())
})

test.each(PROJECT_LANGUAGES.map(one => [one]))(
  "a project in %s makes an image that runs what a local mesh runs",
  language => {
    const files = projectFiles({ name: "quiet-hours", language, hook: "policy" })
    const dockerfile = files.get("Dockerfile") ?? ""
    const [, command = "[]"] = /^CMD (.+)$/m.exec(dockerfile) ?? []
    const [plugin] = parseAllDocuments(files.get("plugin.yaml") ?? "").map(
      one => one.toJS() as { spec: { command: string[] } },
    )
    const last = (words: readonly string[] | undefined) => words?.at(-1)?.split("/").at(-1)
    expect(last(JSON.parse(command))).toBe(last(plugin?.spec.command) ?? "")
    for (const [, copied = ""] of dockerfile.matchAll(/^COPY ([\w.]+) \.\/$/gm))
      expect([...files.keys()]).toContain(copied)
    // deployment.yaml runs it as that user, without a filesystem that can be written.
    expect(dockerfile).toContain("\nUSER 65534\n")
    expect(files.get(".dockerignore")).toContain("node_modules")
  },
)

for (const language of PROJECT_LANGUAGES) {
  for (const hook of PROJECT_HOOKS) {
    test(`a project in ${language} with the hook ${hook} has nothing left to fill in, and objects that are understood`, () => {
      const files = projectFiles({ name: "quiet-hours", language, hook })
      for (const [path, text] of files)
        if (!path.includes("conduit/plugin/"))
          expect([path, text.match(/\{\{[A-Z_]+\}\}/g)]).toEqual([path, null])
      for (const file of ["plugin.yaml", "deployment.yaml"]) {
        const objects = parseAllDocuments(files.get(file) ?? "").map(one => one.toJS() as { kind: string })
        const object = objects.find(({ kind }) => kind === "Plugin")
        expect(readPlugin(object).complaints).toEqual([])
        expect(readPlugin(object).plugin?.hooks.map(({ name }) => name.toLowerCase())).toEqual([hook])
      }
      expect([...files.keys()]).toEqual(
        expect.arrayContaining(["README.md", ".gitignore", "protos/conduit/plugin/v1/plugin.proto"]),
      )
    })
  }
}
