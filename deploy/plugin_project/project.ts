// The files of a new plugin's project: the templates of its language and its hook, filled in, with the API beside them.
import sources from "./sources.json" with { type: "json" }

/** Languages that a project can be of. */
export const PROJECT_LANGUAGES = ["typescript", "python", "go"] as const
/** One of `PROJECT_LANGUAGES`. */
export type ProjectLanguage = (typeof PROJECT_LANGUAGES)[number]

/** Hooks that a project can have, by what is typed. */
export const PROJECT_HOOKS = [
  "policy",
  "destination",
  "authorize",
  "identity",
  "telemetry",
  "injection",
  "check",
] as const
/** One of `PROJECT_HOOKS`. */
export type ProjectHook = (typeof PROJECT_HOOKS)[number]

/** What a hook does at first, its configuration, and where it is seen. */
const HOOKS: Readonly<
  Record<ProjectHook, { readonly what: string; readonly configuration: string; readonly see: string }>
> = {
  policy: {
    what: "closes the workloads that its configuration names.",
    configuration: "closed: [default/web] # namespace/name of Deployments that nobody may call",
    see: "`conduit policy list -A`",
  },
  destination: {
    what: "adds endpoints that Kubernetes does not have to Services.",
    configuration:
      "add:\n  - { namespace: default, service: web, port: 80, address: 192.0.2.7, targetPort: 8080 }",
    see: "`conduit diagnostics endpoints web.default.svc.cluster.local:80`",
  },
  authorize: {
    what: "refuses paths to clients that prove no identity, for the AuthorizationPolicies with `action: Ask`.",
    configuration: "paths: [/admin]",
    see: "a request of such a path: 403",
  },
  identity: {
    what: "has no certificate signed for some namespaces.",
    configuration: "refused: [lab]",
    see: "`conduit identity -n lab`",
  },
  telemetry: {
    what: "says which calls fail more often than its configuration allows.",
    configuration: "failures: 0.1 # share, from 0 to 1",
    see: "its log: `conduit dev logs`",
  },
  injection: {
    what: "gives pods that are injected a label.",
    configuration: "label: plugin\nvalue: seen",
    see: "`kubectl get pods --show-labels`, in a local mesh `conduit dev ps --show-labels`",
  },
  check: {
    what: "adds a line to `conduit check`.",
    configuration: "description: the plugin answers",
    see: "`conduit check`",
  },
}

interface Toolchain {
  readonly extension: string
  readonly install: string
  readonly test: string
  readonly run: string
  /** Words of the command, in YAML. */
  readonly command: string
  readonly files: string
  /** Imports that the test of a hook needs. */
  readonly imports: (hook: ProjectHook) => string
}

/** Module of the API that a hook's messages are in. */
function moduleOf(hook: ProjectHook): string {
  if (hook === "policy" || hook === "authorize") return "policy"
  return hook === "destination" ? "destination" : "hooks"
}

const TOOLCHAINS: Readonly<Record<ProjectLanguage, Toolchain>> = {
  typescript: {
    extension: "ts",
    install: "npm install",
    test: "npm test",
    run: "HOST=127.0.0.1 npm start",
    command: "node_modules/.bin/bun, server.ts",
    files: "`hook.ts` is what it does, `server.ts` serves it, `conduit/` is generated from the API.",
    imports: hook => source(`template/typescript/hooks/${hook}.imports.tmpl`),
  },
  python: {
    extension: "py",
    install: "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
    test: ".venv/bin/python -m unittest",
    run: "HOST=127.0.0.1 .venv/bin/python server.py",
    command: ".venv/bin/python, server.py",
    files: "`hook.py` is what it does, `server.py` serves it, `conduit/` is generated from the API.",
    imports: hook => {
      const module = moduleOf(hook)
      return `from conduit.plugin.v1 import ${module}_pb2, ${module}_pb2_grpc`
    },
  },
  go: {
    extension: "go",
    install: "go build -o plugin .",
    test: "go test ./...",
    run: "HOST=127.0.0.1 ./plugin",
    command: "./plugin",
    files: "`hook.go` is what it does, `main.go` serves it, `conduit/` is generated from the API.",
    imports: () => "",
  },
}

/** What a project is to be. */
export interface ProjectOptions {
  /** As the Plugin object is called: a DNS label. */
  readonly name: string
  readonly language: ProjectLanguage
  readonly hook: ProjectHook
}

/** How a project is installed, tried and run. */
export function projectCommands({ language }: ProjectOptions): Pick<Toolchain, "install" | "test" | "run"> {
  return TOOLCHAINS[language]
}

/** The files of a project, by path in its folder. */
export function projectFiles({ name, language, hook }: ProjectOptions): Map<string, string> {
  const toolchain = TOOLCHAINS[language]
  const { what, configuration, see } = HOOKS[hook]
  const words: Readonly<Record<string, string>> = {
    NAME: name,
    HOOK: `${hook.slice(0, 1).toUpperCase()}${hook.slice(1)}`,
    HOOK_UPPER: hook.toUpperCase(),
    WHAT: what,
    SEE: see,
    CONFIGURATION: configuration.replace(/^/gm, "    "),
    INSTALL: toolchain.install,
    TEST: toolchain.test,
    RUN: toolchain.run,
    COMMAND: toolchain.command,
    FILES: toolchain.files,
    IMPORTS: toolchain.imports(hook).trimEnd(),
    TESTS: source(`template/${language}/hooks/${hook}.test.tmpl`).trimEnd(),
  }
  const fill = (text: string): string => {
    const once = text.replace(/\{\{([A-Z_]+)\}\}/g, (whole, word: string) => words[word] ?? whole)
    // What is filled in may name the plugin as well.
    return once.replaceAll("{{NAME}}", name)
  }
  const files = new Map<string, string>()
  for (const [path, text] of Object.entries<string>(sources)) {
    const template = new RegExp(`^template/(?:common|${language})/([^/]+)\\.tmpl$`).exec(path)?.[1]
    if (template === "gitignore")
      for (const ignore of [".gitignore", ".dockerignore"]) files.set(ignore, text)
    else if (template !== undefined) files.set(template, fill(text))
    else if (path.startsWith("protos/")) files.set(path, text)
    else if (path.startsWith(`${language}/`)) files.set(path.slice(language.length + 1), text)
  }
  files.set(
    `hook.${toolchain.extension}`,
    fill(source(`template/${language}/hooks/${hook}.${toolchain.extension}.tmpl`)),
  )
  return files
}

function source(path: string): string {
  const text = (sources as Readonly<Record<string, string>>)[path]
  if (text === undefined) throw new Error(`plugin projects have no ${path}: npm run generate`)
  return text
}
