#!/usr/bin/env bun
// `conduit`.
import { runCommandLine } from "./program.ts"

await runCommandLine("conduit")
