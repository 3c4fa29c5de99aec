// The face of deploy/manifests: Kubernetes manifests as text, with the proxy put in or taken out.
export { type Input, ManifestProblems, type Report, type Treated } from "./documents.ts"
export { type InjectRun, injectInputs } from "./inject_documents.ts"
export { InputError, joinTexts, MAX_INPUT_BYTES, readInputs } from "./inputs.ts"
export { uninjectInputs } from "./uninject_documents.ts"
