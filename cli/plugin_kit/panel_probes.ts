// What the conformance kit asks of the panels that a plugin with the Api hook hands out: their methods are called as a dashboard
// has them called.
import { fromBinary, type Message } from "@bufbuild/protobuf"
import { type OwnPanel, readOwnServices } from "../../deploy/plugin_object/mod.ts"
import { pluginHooksV1 } from "../../protos/mod.ts"
import { type Bench, encoded } from "./bench.ts"
import { failed, ok, type Verdict } from "./finding.ts"
import type { HookMethod } from "./hook_methods.ts"
import type { Probe } from "./probe.ts"
import { endedText } from "./wire.ts"

/** Probes of the panels of a plugin. @param services  the method that hands them out */
export function panelProbes(services: HookMethod): Probe[] {
  return [{ check: "Api: panels have rows to draw", run: bench => rowsOfAll(services, bench) }]
}

async function rowsOfAll(services: HookMethod, bench: Bench): Promise<Verdict> {
  const { answer } = await bench.unary(services, encoded(services, bench.context), bench.patienceMs)
  const { panels } =
    answer === null
      ? { panels: [] }
      : readOwnServices(fromBinary(pluginHooksV1.ServicesResponseSchema, answer))
  let rows = 0
  for (const panel of panels) {
    const found = await rowsOf(panel, services, bench)
    if (typeof found !== "number") return found
    rows += found
  }
  return ok(`${panels.length} panels' methods with an empty message`, `${rows} rows`)
}

async function rowsOf(
  { title, method, rows }: OwnPanel,
  services: HookMethod,
  bench: Bench,
): Promise<number | Verdict> {
  const { deadlineMs } = bench.options
  const sent = `${method.name} with an empty message, for the panel ${JSON.stringify(title)}`
  const { answer, ended } = await bench.unary({ ...services, method }, new Uint8Array(), deadlineMs)
  if (answer === null || ended.code !== 0)
    return failed(
      sent,
      endedText(ended),
      `answer an empty message within ${deadlineMs} ms: a panel has no parameters`,
    )
  try {
    const read = fromBinary(method.output, answer) as Message & Record<string, unknown>
    return (read[rows.localName] as readonly unknown[]).length
  } catch (error) {
    const why = `no ${method.output.typeName}: ${(error as Error).message}`
    return failed(sent, why, "answer as descriptors say")
  }
}
