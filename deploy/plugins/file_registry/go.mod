module file-registry

go 1.24.0

require (
	conduit.io/plugin v0.0.0
	google.golang.org/grpc v1.76.0
	google.golang.org/protobuf v1.36.11
)

require (
	golang.org/x/net v0.42.0 // indirect
	golang.org/x/sys v0.34.0 // indirect
	golang.org/x/text v0.27.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20250804133106-a7a43d27e69b // indirect
)

// A copy of your own: conduit plugin new NAME --lang go has one in conduit/.
replace conduit.io/plugin => ../../../protos/go
