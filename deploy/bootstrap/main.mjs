// What `npm run demo` and `npm test` run first, in plain Node.js 20, on a machine with nothing of ours:
// installs what the command needs (npm packages, Debian packages, after saying so), then runs the command.
//
//   node deploy/bootstrap/main.mjs demo|test|cluster|ci|images|bench -- COMMAND ...   prepares the machine, runs COMMAND
//   node deploy/bootstrap/main.mjs prepare   after `npm install`: makes `npx conduit` work here
import { spawn } from "node:child_process"
import { constants } from "node:os"
import { delimiter, join } from "node:path"
import { ensureDebianPackages, MESH, PURPOSES } from "./debian_packages.mjs"
import { findLacks } from "./machine.mjs"
import { ensureNpmPackages, linkConduit, makeRunnable, ROOT } from "./npm_packages.mjs"

const [purpose = "", dashes, ...command] = process.argv.slice(2)

/** Purposes that go on without what is missing, and say what they could not do. */
const TESTS = ["test", "cluster"]

/** Stops with a sentence for the person at the keyboard. */
function stop(sentence) {
  process.stderr.write(`conduit: ${sentence}\n`)
  process.exit(1)
}

/** Runs the command with the tools of this clone first in PATH; ends as the command ends. */
function run(words, env) {
  const [program = "", ...args] = words
  const child = spawn(program, args, { cwd: ROOT, stdio: "inherit", env })
  // Ctrl-C reaches the child too, which cleans up in its own time: wait for it.
  process.on("SIGINT", () => {})
  for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal))
  child.on("error", error => stop(`cannot run ${program}: ${error.message}`))
  child.on("exit", (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)))
}

async function main() {
  if (Number(process.versions.node.split(".")[0]) < 20) {
    stop(`Node.js ${process.versions.node} is too old; 20 or newer is needed`)
  }
  if (purpose === "prepare") {
    linkConduit()
    makeRunnable({ quiet: true })
    return
  }
  if (!Object.hasOwn(PURPOSES, purpose) || dashes !== "--" || command.length === 0) {
    process.stderr.write(
      `usage: node deploy/bootstrap/main.mjs ${Object.keys(PURPOSES).join("|")} -- COMMAND ...\n`,
    )
    process.exit(2)
  }
  if (process.platform !== "linux")
    stop(`network namespaces and iptables need Linux; this is ${process.platform}`)
  ensureNpmPackages()
  makeRunnable({ quiet: false })
  const missing = ensureDebianPackages(purpose)
  const lacks = purpose === "images" ? [] : findLacks()
  const told = [...(missing === null ? [] : [missing.sentence]), ...lacks]
  if (told.length > 0) {
    const list = told.map(sentence => `  - ${sentence}`).join("\n")
    if (!TESTS.includes(purpose))
      stop(`this machine cannot run ${purpose === "demo" ? "the demo" : purpose}:\n${list}`)
    process.stderr.write(`conduit: this machine cannot run every test:\n${list}\n`)
  }
  // A mesh needs few programs; what else is missing stands in the way only of the tests that call it.
  const packages = missing?.packages ?? []
  if (packages.some(name => Object.hasOwn(MESH, name))) lacks.push(missing.sentence)
  const path = [join(ROOT, "node_modules/.bin"), process.env.PATH ?? "", "/usr/sbin", "/sbin"].join(delimiter)
  run(command, {
    ...process.env,
    PATH: path,
    CONDUIT_MACHINE_LACKS: lacks.join("; "),
    CONDUIT_MISSING_PACKAGES: packages.join(" "),
  })
}

main().catch(error => stop(error.message))
