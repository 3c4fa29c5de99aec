// A WebSocket server made of ws alone, for tests/programs.
import { WebSocketServer } from "ws"

const server = new WebSocketServer({
  port: Number(process.argv[2]),
  host: "0.0.0.0",
  perMessageDeflate: { threshold: 0 },
  handleProtocols: offered => (offered.has("chat.v2") ? "chat.v2" : false),
  verifyClient: ({ req }, done) => done(req.url !== "/secret", 401, "who are you"),
})
server.on("connection", (socket, request) => {
  if (request.url === "/push") {
    socket.send("hello")
    let tick = 0
    const timer = setInterval(() => socket.send(`tick ${++tick}`), 300)
    socket.on("close", () => clearInterval(timer))
    return
  }
  socket.on("message", (data, binary) => {
    if (!binary && String(data) === "please close") socket.close(4001, "as you wish")
    else socket.send(data, { binary })
  })
})
