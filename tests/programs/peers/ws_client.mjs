// A WebSocket client made of ws alone, for tests/programs: does one thing, prints what came of it as JSON.
import { randomBytes } from "node:crypto"
import { once } from "node:events"
import { WebSocket } from "ws"

const [, , url, what] = process.argv

async function open(path = "/", protocols = [], options = { perMessageDeflate: false }) {
  const socket = new WebSocket(url + path, protocols, options)
  const queue = []
  let wake
  socket.on("message", (data, binary) => {
    queue.push(binary ? data : String(data))
    wake?.()
  })
  socket.next = async () => {
    while (queue.length === 0)
      await new Promise(resolve => {
        wake = resolve
      })
    return queue.shift()
  }
  await once(socket, "open")
  return socket
}

const things = {
  async echo() {
    const socket = await open()
    for (let n = 0; n < 100; n++) socket.send(`message ${n}`)
    let echoed = 0
    let inOrder = true
    while (echoed < 100) inOrder &&= (await socket.next()) === `message ${echoed++}`
    return { echoed, inOrder }
  },
  async binary() {
    const socket = await open()
    const message = randomBytes(1_000_000)
    socket.send(message)
    return { same: message.equals(await socket.next()) }
  },
  async deflate() {
    const socket = await open("/", [], { perMessageDeflate: { threshold: 0 } })
    const message = "a mesh ".repeat(100_000)
    socket.send(message)
    return { extensions: socket.extensions, same: message === (await socket.next()) }
  },
  async push() {
    const socket = await open("/push")
    const pushed = []
    while (pushed.length < 4) pushed.push(await socket.next())
    return { pushed }
  },
  async ping() {
    const socket = await open()
    socket.ping("are you there")
    const [data] = await once(socket, "pong")
    return { pong: String(data) }
  },
  async close() {
    const socket = await open()
    socket.send("please close")
    const [code, reason] = await once(socket, "close")
    return { code, reason: String(reason) }
  },
  async protocol() {
    const { protocol } = await open("/", ["chat.v1", "chat.v2"])
    const refused = new WebSocket(`${url}/secret`)
    const [, answer] = await once(refused, "unexpected-response")
    return { protocol, refused: answer.statusCode }
  },
  async many() {
    const echoes = await Promise.all(
      Array.from({ length: 50 }, async (_, n) => {
        const socket = await open()
        socket.send(`${n}`)
        return (await socket.next()) === `${n}`
      }),
    )
    return { echoed: echoes.filter(Boolean).length }
  },
}

console.log(JSON.stringify(await things[what]()))
process.exit(0)
