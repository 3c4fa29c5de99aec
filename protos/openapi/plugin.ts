// `npm run generate` runs this plugin of buf: the public API as OpenAPI 3.1 (spec.openapis.org/oas/v3.1.1), for whoever
// calls it as JSON over HTTP. Descriptions are the comments of the protos.
import { createEcmaScriptPlugin, runNodeJs } from "@bufbuild/protoplugin"
import { documentOf } from "./document.ts"

runNodeJs(
  createEcmaScriptPlugin({
    name: "openapi",
    version: "v1",
    generateTs: schema => {
      const files = schema.allFiles.filter(file => file.proto.package === "conduit.api.v1")
      schema.generateFile("openapi.json").print(JSON.stringify(documentOf(files), null, 2))
    },
  }),
)
