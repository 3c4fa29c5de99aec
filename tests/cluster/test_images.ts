// The images that tests of the cluster run: our own for this machine's architecture, and one of a test application.
import { IMAGES, type ImagePlan } from "../../deploy/images/mod.ts"

/** Tag of images in tests, which no registry could have. */
export const TEST_TAG = "under-test"

/** Architecture of this machine, as images call it. */
export const ARCHITECTURE = process.arch === "arm64" ? "arm64" : "amd64"

/** An application that answers HTTP, one that asks, and plugins; see peer_main.ts, caller_main.ts and plugin_app.ts. */
export const PEER: ImagePlan = {
  name: "peer",
  what: "a peer of tests",
  entry: "tests/cluster/peer_main.ts",
  commands: {
    "call-steadily": "tests/cluster/caller_main.ts",
    decide: "tests/e2e/plugin_app.ts",
    "label-teams": "deploy/plugins/team_label/main.ts",
  },
  user: "65534:65534",
}

/** The demo shop. */
export const SHOP: ImagePlan = {
  name: "shop",
  what: "the demo shop",
  entry: "deploy/local/demo/main.ts",
  user: "65534:65534",
}

/** What tests load into a cluster. */
export const TEST_IMAGES: readonly ImagePlan[] = [...IMAGES, PEER]
