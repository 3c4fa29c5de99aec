// The mutating webhook: puts the proxy into pods as they are made, where their annotations or their namespace's ask.
export { type InjectorProcess, startInjector } from "./process.ts"
export { type InjectorSettings, injectorSettings } from "./settings.ts"
