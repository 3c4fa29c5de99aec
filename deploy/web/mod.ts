// The dashboard's page as files, and what it may ask.
export { buildWeb, compressed, type WebBuild, type WebFile, writeFiles } from "./build.ts"
export { API_SERVICE, DASHBOARD_CALLS } from "./calls.ts"
export { webFiles } from "./page.ts"
