// The face of deploy/plugin_project: projects of new plugins.
export {
  PROJECT_HOOKS,
  PROJECT_LANGUAGES,
  type ProjectHook,
  type ProjectLanguage,
  type ProjectOptions,
  projectCommands,
  projectFiles,
} from "./project.ts"
