// `conduit plugin new`: a working plugin in a folder of its own.
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import {
  PROJECT_HOOKS,
  PROJECT_LANGUAGES,
  projectCommands,
  projectFiles,
} from "../../deploy/plugin_project/mod.ts"
import { didYouMean } from "../../deploy/suggest/mod.ts"
import { command } from "../command_line/command.ts"
import { Failure, UsageError } from "../failure.ts"
import { say } from "../output.ts"

/** As Plugin objects may be called, beginning with a letter: modules of Go and packages of npm bear the name as well. */
const NAME = /^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/

/** `conduit plugin new`. */
export const newProject = command({
  meta: { name: "new", description: "Makes a working plugin in ./NAME: server, test, manifests, README" },
  args: {
    name: { type: "positional", valueHint: "NAME", description: "name of the plugin, and of its folder" },
    lang: { type: "string", valueHint: "LANGUAGE", description: PROJECT_LANGUAGES.join(", ") },
    hook: {
      type: "string",
      valueHint: "HOOK",
      description: `what it takes part in: ${PROJECT_HOOKS.join(", ")} (default: policy)`,
    },
  },
  offers: { lang: PROJECT_LANGUAGES, hook: PROJECT_HOOKS },
  examples: [
    { line: "conduit plugin new quiet-hours --lang python", why: "who may call whom, decided in Python" },
    {
      line: "conduit plugin new registry --lang go --hook destination",
      why: "endpoints that Kubernetes does not have",
    },
    { line: "conduit plugin new alerts --lang typescript --hook telemetry", why: "figures, as they come" },
  ],
  async run({ args }) {
    const { name = "" } = args
    if (!NAME.test(name))
      throw new UsageError(
        `plugin new cannot name a plugin "${name}"; a name is at most 63 lower-case letters, digits and "-", and begins with a letter`,
      )
    if (args.lang === undefined)
      throw new UsageError(`plugin new needs --lang; it is one of ${PROJECT_LANGUAGES.join(", ")}`)
    const language = oneOf("--lang", args.lang, PROJECT_LANGUAGES)
    if (args.hook?.toLowerCase() === "api")
      throw new UsageError(
        "--hook api has no template, since its service is your own: begin with deploy/plugins/cost of this release",
      )
    const hook = oneOf("--hook", args.hook ?? "policy", PROJECT_HOOKS)
    if (existsSync(name) && !isEmptyFolder(name))
      throw new Failure(`plugin new: ./${name} is there already; choose another name, or remove it`)
    const options = { name, language, hook }
    const files = projectFiles(options)
    try {
      for (const [path, text] of files) {
        mkdirSync(dirname(join(name, path)), { recursive: true })
        writeFileSync(join(name, path), text, { flag: "wx" })
      }
    } catch (error) {
      throw new Failure(`plugin new: ./${name} cannot be written: ${(error as Error).message}`, {
        cause: error,
      })
    }
    const { install, test } = projectCommands(options)
    say(`${name}: ${files.size} files in ./${name}. To a changed mesh:

  cd ${name} && ${install}
  conduit dev apply -f plugin.yaml
  conduit plugin list

Its tests: ${test}. README.md says the rest.`)
  },
})

function oneOf<Known extends string>(flag: string, given: string, allowed: readonly Known[]): Known {
  const found = allowed.find(one => one === given.toLowerCase())
  if (found !== undefined) return found
  throw new UsageError(
    `${flag} cannot be "${given}"${didYouMean(given, allowed)}; it is one of ${allowed.join(", ")}`,
  )
}

function isEmptyFolder(path: string): boolean {
  try {
    return readdirSync(path).length === 0
  } catch {
    return false
  }
}
