// The public API as an OpenAPI document, generated with the code.
import document from "../gen/openapi.json" with { type: "text" }

/** The document: OpenAPI 3.1, JSON. */
export const OPENAPI_JSON = document as unknown as string
