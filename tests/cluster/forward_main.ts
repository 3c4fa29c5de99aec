// A listening port in one network namespace that leads to an address in another: how a test reaches the API server,
// and how the API server reaches a webhook of the test.
//
//   bun forward_main.ts LISTEN_NAMESPACE ADDRESS PORT CONNECT_NAMESPACE ADDRESS PORT
//
// Namespaces are files for setns(2). Prints the port that it listens on.
import { dlopen, FFIType } from "bun:ffi"
import { openSync } from "node:fs"
import { connect, createServer } from "node:net"

const CLONE_NEWNET = 0x40000000

const [listenIn = "", listenAt = "", listenPort = "0", connectIn = "", connectTo = "", connectPort = "0"] =
  process.argv.slice(2)

/** A thread makes its sockets in the namespace that it is in; those it has stay where they are. */
function enterNetwork(namespace: number): void {
  const libc = dlopen("libc.so.6", { setns: { args: [FFIType.i32, FFIType.i32], returns: FFIType.i32 } })
  const result = libc.symbols.setns(namespace, CLONE_NEWNET)
  libc.close()
  if (result !== 0) throw new Error("forward: the network namespace could not be entered: is this root?")
}

// By now, since "self" is in another namespace afterwards.
const networks = { listen: openSync(listenIn, "r"), connect: openSync(connectIn, "r") }
enterNetwork(networks.listen)
const server = createServer({ allowHalfOpen: true }, client => {
  const target = connect({ host: connectTo, port: Number(connectPort), allowHalfOpen: true })
  const end = (): void => {
    client.destroy()
    target.destroy()
  }
  client.on("error", end)
  target.on("error", end)
  client.pipe(target).pipe(client)
})
server.listen(Number(listenPort), listenAt, () => {
  enterNetwork(networks.connect)
  const address = server.address()
  console.log(typeof address === "object" && address !== null ? address.port : "")
})
