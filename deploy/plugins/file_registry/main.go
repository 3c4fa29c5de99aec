// file-registry: endpoints of Services from a file, for what Kubernetes does not know of: machines, other clusters, another
// registry that writes the file (Destination hook).
package main

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"google.golang.org/grpc"

	pluginv1 "conduit.io/plugin/v1"
)

// lookEvery is how late a change of the file may be noticed.
const lookEvery = 500 * time.Millisecond

const schema = `{
  "type": "object",
  "properties": {
    "namespaces": { "type": "array", "items": { "type": "string" }, "description": "only Services of these; all unless given" }
  },
  "additionalProperties": false
}`

type plugin struct {
	pluginv1.UnimplementedPluginServiceServer
	pluginv1.UnimplementedDestinationHookServiceServer
	registry *registry
}

func (plugin) Describe(context.Context, *pluginv1.DescribeRequest) (*pluginv1.DescribeResponse, error) {
	return &pluginv1.DescribeResponse{
		Name:                "file-registry",
		Version:             "1.0.0",
		ApiVersions:         []string{"v1"},
		Hooks:               []pluginv1.Hook{pluginv1.Hook_HOOK_DESTINATION},
		ConfigurationSchema: schema,
	}, nil
}

// Amend answers with the whole file at first, and again whenever it has changed.
func (p plugin) Amend(stream grpc.BidiStreamingServer[pluginv1.AmendRequest, pluginv1.AmendResponse]) error {
	type told struct {
		request *pluginv1.AmendRequest
		err     error
	}
	requests := make(chan told)
	go func() {
		for {
			request, err := stream.Recv()
			select {
			case requests <- told{request, err}:
			case <-stream.Context().Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	namespaces, sent := map[string]bool{}, map[string]*pluginv1.ServicePortRef{}
	var changed <-chan struct{}
	for {
		select {
		case <-stream.Context().Done():
			return stream.Context().Err()
		case <-changed:
		case one := <-requests:
			if errors.Is(one.err, io.EOF) {
				return nil
			}
			if one.err != nil {
				return one.err
			}
			listed, _ := one.request.GetContext().GetConfiguration().AsMap()["namespaces"].([]any)
			for _, namespace := range listed {
				name, _ := namespace.(string)
				namespaces[name] = true
			}
			if !one.request.Complete {
				continue
			}
		}
		var services []service
		services, changed = p.registry.current()
		if err := stream.Send(amendments(services, namespaces, sent)); err != nil {
			return err
		}
	}
}

func newServer(registry *registry) *grpc.Server {
	server := grpc.NewServer()
	served := plugin{registry: registry}
	pluginv1.RegisterPluginServiceServer(server, served)
	pluginv1.RegisterDestinationHookServiceServer(server, served)
	return server
}

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func main() {
	listener, err := net.Listen("tcp", net.JoinHostPort(env("HOST", "0.0.0.0"), env("PORT", "9090")))
	if err != nil {
		log.Fatalf("file-registry cannot listen: %v", err)
	}
	registry := newRegistry(env("REGISTRY_FILE", "registry.json"))
	// What the first answer has is all that holds then: it must not be empty only since the file was not read yet.
	if err := registry.look(); err != nil {
		log.Printf("there are no entries yet: %v", err)
	}
	go registry.watch(lookEvery)
	server := newServer(registry)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		time.AfterFunc(time.Second, server.Stop)
		server.GracefulStop()
	}()
	log.Printf("file-registry listens on %s", listener.Addr())
	if err := server.Serve(listener); err != nil {
		log.Fatalf("file-registry cannot serve: %v", err)
	}
}
