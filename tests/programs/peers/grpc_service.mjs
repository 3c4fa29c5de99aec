// The methods that grpc_server.mjs serves and grpc_client.mjs calls. Messages are bytes: the mesh does not care.
const bytes = value => value
const method = (name, requestStream, responseStream) => ({
  path: `/test.Peer/${name}`,
  requestStream,
  responseStream,
  requestSerialize: bytes,
  requestDeserialize: bytes,
  responseSerialize: bytes,
  responseDeserialize: bytes,
})

export const service = {
  unary: method("Unary", false, false),
  clientStream: method("ClientStream", true, false),
  serverStream: method("ServerStream", false, true),
  bidi: method("Bidi", true, true),
  hang: method("Hang", false, false),
  endless: method("Endless", false, true),
  cancels: method("Cancels", false, false),
  fail: method("Fail", false, false),
  lateError: method("LateError", false, true),
}
