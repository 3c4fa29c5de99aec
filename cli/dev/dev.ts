// `conduit dev`: the local cluster, no Kubernetes.
import { command } from "../command_line/command.ts"
import { apply, remove } from "./apply.ts"
import { down } from "./down.ts"
import { exec } from "./exec.ts"
import { logs } from "./logs.ts"
import { ps } from "./ps.ts"
import { up } from "./up.ts"

/** `conduit dev up|ps|exec|logs|apply|delete|down`. */
export const dev = command({
  meta: { name: "dev", description: "Runs manifests on this machine, meshed, without Kubernetes" },
  subCommands: { up, ps, exec, logs, apply, delete: remove, down },
  examples: [
    { line: "conduit dev up -f shop.yaml", why: "starts a local mesh; Ctrl-C ends it" },
    { line: "conduit dev ps", why: "its pods" },
    { line: "conduit dev exec deploy/web -- curl -s http://cart:8080/", why: "runs a command in a pod" },
  ],
})
