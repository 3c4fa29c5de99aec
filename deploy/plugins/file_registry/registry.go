package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net/netip"
	"os"
	"sync"
	"time"

	pluginv1 "conduit.io/plugin/v1"
)

// maxFileBytes bounds the file: it is kept in memory, and sent in one message.
const maxFileBytes = 2 << 20

// maxEndpoints is what the API takes for one port.
const maxEndpoints = 1000

// service is an entry of the file.
type service struct {
	Namespace string     `json:"namespace"`
	Name      string     `json:"service"`
	Port      uint32     `json:"port"`
	Endpoints []endpoint `json:"endpoints"`
}

type endpoint struct {
	Address string  `json:"address"`
	Port    uint32  `json:"port"`
	Weight  *uint32 `json:"weight"`
	Zone    string  `json:"zone"`
}

// parse reads a file's text; it is wholly right, or refused.
func parse(text []byte) ([]service, error) {
	var services []service
	if err := json.Unmarshal(text, &services); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for index, one := range services {
		at := fmt.Sprintf("entry %d (%s/%s)", index, one.Namespace, one.Name)
		if one.Namespace == "" || one.Name == "" || one.Port < 1 || one.Port > 65535 {
			return nil, fmt.Errorf("%s needs namespace, service, and a port from 1 to 65535", at)
		}
		key := fmt.Sprintf("%s/%s:%d", one.Namespace, one.Name, one.Port)
		if seen[key] {
			return nil, fmt.Errorf("%s: there are two entries of %s", at, key)
		}
		seen[key] = true
		if len(one.Endpoints) > maxEndpoints {
			return nil, fmt.Errorf("%s has %d endpoints, more than %d", at, len(one.Endpoints), maxEndpoints)
		}
		for _, each := range one.Endpoints {
			if _, err := netip.ParseAddr(each.Address); err != nil {
				return nil, fmt.Errorf("%s: %w", at, err)
			}
			if each.Port < 1 || each.Port > 65535 {
				return nil, fmt.Errorf("%s: port %d is not from 1 to 65535", at, each.Port)
			}
			if each.Weight != nil && *each.Weight > 10000 {
				return nil, fmt.Errorf("%s: weight %d is not from 0 to 10000", at, *each.Weight)
			}
		}
	}
	return services, nil
}

// registry is the file as it was last good, and tells of its changes.
type registry struct {
	path string

	mutex    sync.Mutex
	text     string
	services []service
	changed  chan struct{}
}

func newRegistry(path string) *registry {
	return &registry{path: path, changed: make(chan struct{})}
}

// current gives what the file has, and a channel that is closed when that changes.
func (r *registry) current() ([]service, <-chan struct{}) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.services, r.changed
}

// look reads the file once. What cannot be read or is wrong changes nothing.
func (r *registry) look() error {
	info, err := os.Stat(r.path)
	if err != nil {
		return err
	}
	if info.Size() > maxFileBytes {
		return fmt.Errorf("%s has %d bytes, more than %d", r.path, info.Size(), maxFileBytes)
	}
	text, err := os.ReadFile(r.path)
	if err != nil {
		return err
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if string(text) == r.text {
		return nil
	}
	services, err := parse(text)
	if err != nil {
		return fmt.Errorf("%s: %w", r.path, err)
	}
	r.text, r.services = string(text), services
	close(r.changed)
	r.changed = make(chan struct{})
	return nil
}

// watch looks at the file again and again, and says once what is wrong with it.
func (r *registry) watch(every time.Duration) {
	last := ""
	for {
		said := ""
		if err := r.look(); err != nil {
			said = err.Error()
		}
		if said != last && said != "" {
			log.Printf("the last good entries hold: %s", said)
		}
		last = said
		time.Sleep(every)
	}
}

// amendments gives one for each service of some namespaces (all where none are named), and empty ones for those that are gone.
func amendments(services []service, namespaces map[string]bool, before map[string]*pluginv1.ServicePortRef) *pluginv1.AmendResponse {
	answer := &pluginv1.AmendResponse{}
	now := map[string]*pluginv1.ServicePortRef{}
	for _, one := range services {
		if len(namespaces) > 0 && !namespaces[one.Namespace] {
			continue
		}
		ref := &pluginv1.ServicePortRef{Namespace: one.Namespace, Name: one.Name, Port: one.Port}
		now[fmt.Sprintf("%s/%s:%d", one.Namespace, one.Name, one.Port)] = ref
		amendment := &pluginv1.Amendment{Ref: ref}
		for _, each := range one.Endpoints {
			amendment.Add = append(amendment.Add, &pluginv1.Endpoint{
				Address: each.Address, Port: each.Port, Weight: each.Weight, Zone: each.Zone,
			})
		}
		answer.Amendments = append(answer.Amendments, amendment)
	}
	for key, ref := range before {
		if now[key] == nil {
			answer.Amendments = append(answer.Amendments, &pluginv1.Amendment{Ref: ref})
			delete(before, key)
		}
	}
	for key, ref := range now {
		before[key] = ref
	}
	return answer
}
