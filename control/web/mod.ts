// The dashboard: its page, and the public API for it.
export { serveWeb } from "./service.ts"
export { DEFAULT_WEB_FILES, type WebSettings, webSettings } from "./settings.ts"
