#!/usr/bin/env bun
// `kubectl conduit`: kubectl runs the program `kubectl-conduit` that it finds on PATH
// (https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/).
import { runCommandLine } from "./program.ts"

await runCommandLine("kubectl conduit")
