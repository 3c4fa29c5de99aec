// `conduit policy`: who may call whom, what a change would do, and what traffic needs.
import { command } from "../command_line/command.ts"
import { learn } from "./learn.ts"
import { list } from "./list.ts"
import { whatIf } from "./what_if.ts"
import { who } from "./who.ts"

/** `conduit policy list|who|what-if|learn`. */
export const policy = command({
  meta: { name: "policy", description: "Who may call whom: lists, tries and learns authorization policies" },
  subCommands: { list, who, "what-if": whatIf, learn },
  examples: [
    { line: "conduit policy list -A", why: "what decides who may call each workload" },
    { line: "conduit policy who deploy/cart -n shop", why: "who may call cart, and who may not" },
    {
      line: "conduit policy what-if new.yaml",
      why: "which live traffic the file would deny; exit code 1 if any",
    },
    { line: "conduit policy learn -n shop > shop-policies.yaml", why: "policies that allow what was seen" },
  ],
})
