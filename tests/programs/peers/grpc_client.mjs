// A client made of @grpc/grpc-js alone, for tests/programs: does one thing, prints what came of it as JSON.
import { credentials, Metadata, makeGenericClientConstructor } from "@grpc/grpc-js"
import { service } from "./grpc_service.mjs"

const [, , address, what] = process.argv
const Client = makeGenericClientConstructor(service, "Peer")
const client = new Client(address, credentials.createInsecure())
const text = value => Buffer.from(String(value))
const unary = (name, request, options = {}) =>
  new Promise((resolve, reject) =>
    client[name](request, new Metadata(), options, (error, answer) =>
      error ? reject(error) : resolve(answer),
    ),
  )
const ended = stream =>
  new Promise(resolve => {
    let received = 0
    stream.on("data", () => received++)
    stream.on("error", error => resolve({ received, code: error.code, details: error.details }))
    stream.on("end", () => setTimeout(() => resolve({ received, code: 0 }), 100))
  })
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))
async function sawCancel(before) {
  for (let tries = 0; tries < 50; tries++) {
    if (Number(await unary("cancels", text(""))) > before) return true
    await sleep(50)
  }
  return false
}

const things = {
  unary: () =>
    new Promise((resolve, reject) => {
      const metadata = new Metadata()
      metadata.set("x-sent", "hello")
      let initial
      const call = client.unary(text("ping"), metadata, (error, answer) => {
        if (error) return reject(error)
        setTimeout(() => resolve({ answer: String(answer), initial, trailer: call.trailer }), 50)
      })
      call.on("metadata", given => {
        initial = given.get("x-initial")[0]
      })
      call.on("status", given => {
        call.trailer = given.metadata.get("x-trailer-bin")[0].toString("hex")
      })
    }),
  clientStream: () =>
    new Promise((resolve, reject) => {
      const call = client.clientStream((error, answer) =>
        error ? reject(error) : resolve({ sum: Number(answer) }),
      )
      for (let n = 0; n < 1000; n++) call.write(text(n))
      call.end()
    }),
  async serverStream() {
    let received = 0
    let inOrder = true
    for await (const message of client.serverStream(text("1000 1000")))
      inOrder &&= Number(message) === received++
    return { received, inOrder }
  },
  bidi: () =>
    new Promise((resolve, reject) => {
      const call = client.bidi()
      call.on("error", reject)
      call.on("end", () => resolve({ turns }))
      let turns = 0
      call.on("data", message => {
        turns = Number(message)
        if (turns < 200) call.write(message)
        else call.end()
      })
      call.write(text(0))
    }),
  async deadline() {
    const before = Number(await unary("cancels", text("")))
    const code = await unary("hang", text(""), { deadline: Date.now() + 300 }).catch(error => error.code)
    return { code, serverSawCancel: await sawCancel(before) }
  },
  async cancel() {
    const before = Number(await unary("cancels", text("")))
    const stream = client.endless(text(""))
    setTimeout(() => stream.cancel(), 300)
    const { received, code } = await ended(stream)
    return { someCame: received > 3, code, serverSawCancel: await sawCancel(before) }
  },
  trailersOnly: () =>
    unary("fail", text("")).then(
      () => ({}),
      error => ({ code: error.code, details: error.details, reason: error.metadata.get("x-reason")[0] }),
    ),
  lateError: () => ended(client.lateError(text(""))),
  async large() {
    const request = Buffer.alloc(4 * 1024 * 1024 - 64, "abcdefghijk")
    return { same: request.equals(await unary("unary", request)) }
  },
  async concurrent() {
    const answers = await Promise.all(Array.from({ length: 100 }, (_, n) => unary("unary", text(n))))
    return { answered: answers.filter((answer, n) => Number(answer) === n).length }
  },
  async slowReader() {
    let received = 0
    for await (const message of client.serverStream(text("200 100000"))) {
      if (Number(message) !== received++) break
      await sleep(5)
    }
    return { received }
  },
}

console.log(JSON.stringify(await things[what]()))
process.exit(0)
