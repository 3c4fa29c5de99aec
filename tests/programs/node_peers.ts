// Programs on Node that are made of other people's libraries: gRPC by @grpc/grpc-js, WebSocket by ws.
import { PROJECT_ROOT } from "../lab/dev_mesh.ts"
import type { Program } from "./program.ts"

const PEERS = `${PROJECT_ROOT}/tests/programs/peers`

function grpc(what: string): string {
  return `node ${PEERS}/grpc_client.mjs grpc:50051 ${what}`
}

export const grpcJs: Program = {
  name: "grpc",
  packages: [],
  servers: [{ name: "grpc", ports: [50051], script: `exec node ${PEERS}/grpc_server.mjs 50051` }],
  cases: [
    {
      name: "a unary call is answered, with metadata both ways",
      script: grpc("unary"),
      prints: /"initial":"seen-hello"/,
    },
    { name: "a client stream is summed up", script: grpc("clientStream"), prints: /"sum":499500/ },
    {
      name: "a server stream comes whole and in order",
      script: grpc("serverStream"),
      prints: /"received":1000,"inOrder":true/,
    },
    { name: "a stream both ways is a conversation", script: grpc("bidi"), prints: /"turns":200/ },
    {
      name: "a deadline ends the call on both sides",
      script: grpc("deadline"),
      prints: /"code":4.*"serverSawCancel":true/,
    },
    {
      name: "a cancelled stream ends on the server too",
      script: grpc("cancel"),
      prints: /"code":1.*"serverSawCancel":true/,
    },
    {
      name: "an error with trailers only keeps code, message and metadata",
      script: grpc("trailersOnly"),
      prints: /"code":5,"details":"no such thing: ü","reason":"because"/,
    },
    {
      name: "an error after messages keeps its trailers",
      script: grpc("lateError"),
      prints: /"received":3,"code":10/,
    },
    { name: "messages of almost 4 MB go both ways", script: grpc("large"), prints: /"same":true/ },
    {
      name: "a hundred calls at once are all answered",
      script: grpc("concurrent"),
      prints: /"answered":100/,
    },
    { name: "a slow reader gets every message", script: grpc("slowReader"), prints: /"received":200/ },
  ],
  seen: { grpc: "http" },
}

function ws(what: string): string {
  return `node ${PEERS}/ws_client.mjs ws://ws:8090 ${what}`
}

export const webSocket: Program = {
  name: "ws",
  packages: [],
  servers: [{ name: "ws", ports: [8090], script: `exec node ${PEERS}/ws_server.mjs 8090` }],
  cases: [
    { name: "texts are echoed in order", script: ws("echo"), prints: /"echoed":100,"inOrder":true/ },
    { name: "binary of 1 MB comes back whole", script: ws("binary"), prints: /"same":true/ },
    {
      name: "compressed messages come back whole",
      script: ws("deflate"),
      prints: /"extensions":"permessage-deflate".*"same":true/,
    },
    {
      name: "the server speaks first, and later unasked",
      script: ws("push"),
      prints: /"pushed":\["hello","tick 1","tick 2","tick 3"\]/,
    },
    { name: "pings are answered", script: ws("ping"), prints: /"pong":"are you there"/ },
    {
      name: "close codes and reasons pass both ways",
      script: ws("close"),
      prints: /"code":4001,"reason":"as you wish"/,
    },
    {
      name: "subprotocol and refusal pass",
      script: ws("protocol"),
      prints: /"protocol":"chat.v2","refused":401/,
    },
    { name: "fifty connections at once", script: ws("many"), prints: /"echoed":50/ },
  ],
  seen: { ws: "http" },
}
