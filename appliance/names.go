package appliance

import (
	"context"
	"reflect"

	"github.com/skerryhq/skerry/appliance/edge"
	"github.com/skerryhq/skerry/appliance/nodeview"
	"github.com/skerryhq/skerry/netfw/dns"
)

// publisher tells the edge which names there are, when that has changed.
type publisher struct {
	dataDir string
	last    *dns.Snapshot // only the agent's one loop touches it
}

// publish writes the snapshot that the edge answers from.
func (p *publisher) publish(_ context.Context, v nodeview.View) error {
	s := dns.Snapshot{Pool: v.Pool}
	for _, n := range v.Names {
		s.Endpoints = append(s.Endpoints, dns.Endpoint{
			Address: n.Address, Name: n.Container, Service: n.Service, App: n.App,
			Networks: []string{n.AppID}, Serving: n.Serving,
		})
	}
	if p.last != nil && reflect.DeepEqual(*p.last, s) {
		return nil
	}
	if err := edge.Publish(p.dataDir, edge.Snapshot{Version: v.Index, DNS: s}); err != nil {
		return err
	}
	p.last = &s
	return nil
}
