package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	pluginv1 "conduit.io/plugin/v1"
)

const cart = `[{"namespace": "shop", "service": "cart", "port": 80, "endpoints": [{"address": "192.0.2.7", "port": 8080, "weight": 3}]}]`

func TestAFileThatChangesIsToldOfAndAWrongOneIsNot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registry.json")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(cart)
	registry := newRegistry(path)
	if err := registry.look(); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := newServer(registry)
	go server.Serve(listener)
	defer server.Stop()
	connection, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	stream, err := pluginv1.NewDestinationHookServiceClient(connection).Amend(ctx)
	if err != nil {
		t.Fatal(err)
	}
	stream.Send(&pluginv1.AmendRequest{Context: &pluginv1.Context{Plugin: "file-registry"}})
	stream.Send(&pluginv1.AmendRequest{Complete: true})
	answer, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if add := answer.Amendments[0].Add[0]; add.Address != "192.0.2.7" || add.GetWeight() != 3 {
		t.Fatalf("it adds %v", add)
	}

	write(`[{"namespace": "shop", "service": "cart", "port": 80, "endpoints": [{"address": "cart.example", "port": 80}]}]`)
	if err := registry.look(); err == nil {
		t.Fatal("a name is taken for an address")
	}
	write(`[]`)
	if err := registry.look(); err != nil {
		t.Fatal(err)
	}
	// The next answer is of the empty file, and takes back what was added: the wrong one was never told of.
	answer, err = stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if len(answer.Amendments) != 1 || len(answer.Amendments[0].Add) != 0 {
		t.Fatalf("it amends %v", answer)
	}
}
