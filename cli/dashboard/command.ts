// `conduit dashboard`: the web UI through a port of 127.0.0.1, for as long as the command runs.
import { command } from "../command_line/command.ts"
import { type ControlPlane, findControlPlane, surroundings } from "../connect.ts"
import { UsageError } from "../failure.ts"
import { GLOBAL_FLAGS } from "../flags.ts"
import { say, writeOut } from "../output.ts"
import { openBrowser } from "./browser.ts"
import { leadTo } from "./local_port.ts"
import { connectToWeb } from "./way_to_web.ts"

/** The port that is tried first, so that an address in the browser's history goes on leading here; Linkerd's. */
export const USUAL_PORT = 50_750

/** `conduit dashboard`. */
export const dashboard = command({
  meta: { name: "dashboard", description: "The web UI, through a port of this machine" },
  args: {
    ...GLOBAL_FLAGS,
    port: {
      type: "string",
      valueHint: "PORT",
      description: `port of 127.0.0.1 (default: ${USUAL_PORT}, or any if that is taken)`,
    },
    open: {
      type: "boolean",
      default: true,
      description: "open no browser: print the address, and serve until interrupted",
    },
  },
  examples: [
    { line: "conduit dashboard", why: "opens it in the browser, until Ctrl-C" },
    { line: "conduit dashboard --no-open --port 8084", why: "prints http://127.0.0.1:8084/ and serves it" },
    { line: "conduit dashboard --context prod", why: "of another cluster" },
  ],
  async run({ args }) {
    const ports = args.port === undefined ? [USUAL_PORT, 0] : [portOf(args.port)]
    const find = async (): Promise<ControlPlane> => await findControlPlane(args, surroundings())
    let plane: ControlPlane | null = await find()
    const { what } = plane
    const open = async () => {
      try {
        plane ??= await find()
        return await connectToWeb(plane)
      } catch (error) {
        // A local mesh that was started anew has another address.
        plane = null
        throw error
      }
    }
    ;(await open()).destroy()
    let told: string | null = null
    const way = await leadTo(ports, open, trouble => {
      if (trouble === told) return
      if (trouble !== null) say(`conduit: ${trouble}; the page goes on asking`)
      else say(`conduit: the dashboard of ${what} answers again`)
      told = trouble
    })
    const ended = Promise.withResolvers<void>()
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => ended.resolve())
    const url = `http://127.0.0.1:${way.port}/`
    writeOut(`${url}\n`)
    const unopened = args.open ? openBrowser(url) : null
    if (unopened !== null) say(`conduit: no browser was opened: ${unopened}; open ${url} yourself`)
    say(`The dashboard of ${what}; Ctrl-C ends it.`)
    await ended.promise
    way.stop()
    process.exit(0)
  },
})

function portOf(text: string): number {
  const port = Number(text)
  if (/^\d+$/.test(text) && port <= 65_535) return port
  throw new UsageError(`--port cannot be "${text}": it takes a port from 0 (any) to 65535`)
}
