package nodeview_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/skerryhq/skerry/appliance/nodeview"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
)

// secretOf is a value that only the node of one container may ever know.
func secretOf(id string) string { return "PASSWORD-of-" + id }

// secretive makes a container with a secret in its variables.
func (w *world) secretive(service, id, node, address string, slot int) {
	w.t.Helper()
	c := model.Container{Meta: model.Meta{ID: id, Name: id}, ServiceID: service, Slot: slot, Revision: 1,
		Assign: model.Assignment{NodeID: node, Address: netip.MustParseAddr(address)},
		Spec: model.ContainerSpec{Image: "library/welcome:1", ImageDigest: "sha256:" + strings.Repeat("a", 64), Restart: model.RestartAlways,
			Env: []model.EnvVar{{Name: "SECRET", Value: secretOf(id)}}}}
	w.do(&command.PutContainers{Head: by(), Containers: []model.Container{c}})
	w.do(&command.SetContainerStatus{Head: by(), NodeID: node, Items: []command.StatusItem{{ID: id, Status: model.ContainerStatus{Phase: model.PhaseRunning, Task: 1}}}})
}

// environment adds an environment. No command makes a second one yet, so it
// comes in through a snapshot.
func (w *world) environment(id, name string) {
	w.t.Helper()
	var b bytes.Buffer
	if err := w.store.View().WriteSnapshot(&b, "test"); err != nil {
		w.t.Fatal(err)
	}
	rows := 0
	var out bytes.Buffer
	for line := range strings.Lines(b.String()) {
		switch {
		case strings.Contains(line, `{"rows":`):
			fmt.Fprintf(&out, "{\"rows\":%d}\n", rows)
			continue
		case strings.HasPrefix(line, `{"t":"environments"`):
			out.WriteString(strings.NewReplacer(`"e1"`, `"`+id+`"`, model.DefaultEnvironment, name).Replace(line))
			rows++
		}
		out.WriteString(line)
		if strings.HasPrefix(line, `{"t":`) {
			rows++
		}
	}
	if err := w.store.Restore(&out); err != nil {
		w.t.Fatal(err)
	}
	if _, ok := w.store.View().Environment(id); !ok {
		w.t.Fatal("the environment was not added")
	}
}

// islands is two environments: n1 and n2 in e1, n3 in e2 (with an app of its
// own), every container with a secret.
func islands(t *testing.T) *world {
	w := newWorld(t)
	w.environment("e2", "harbour")
	for _, n := range []struct{ id, name, environment, block string }{{"n1", "one", "e1", "10.42.0.0/26"}, {"n2", "two", "e1", "10.42.1.0/26"}, {"n3", "three", "e2", "10.42.2.0/26"}} {
		expect := uint64(command.AnyVersion)
		if n.id == "n3" {
			expect = 0 // it is new
		}
		w.do(&command.PutNode{Head: by(), ExpectVersion: expect, Node: model.Node{Meta: model.Meta{ID: n.id, Name: n.name}, EnvironmentID: n.environment,
			Blocks: []netip.Prefix{netip.MustParsePrefix(n.block)}}})
	}
	w.do(&command.SetNodeStatus{Head: by(), NodeID: "n2", Status: model.NodeStatus{Ready: true, Address: "192.0.2.2:7443"}})
	w.do(&command.SetNodeStatus{Head: by(), NodeID: "n3", Status: model.NodeStatus{Ready: true, Address: "192.0.2.3:7443"}})
	w.app("shop", 8080)
	w.secretive("shop-web", "own1", "n1", "10.42.0.1", 1)
	w.secretive("shop-web", "near2", "n2", "10.42.1.1", 2)
	w.do(&command.PutApp{Head: by(), ServiceIDs: map[string]string{"vault": "hidden-vault"},
		App: model.App{Meta: model.Meta{ID: "hidden", Name: "hidden"}, TenantID: "t1", EnvironmentID: "e2", Spec: model.AppSpec{Services: map[string]model.ServiceSpec{
			"vault": {Container: model.ContainerSpec{Image: "library/welcome:1", Restart: model.RestartAlways}, Replicas: 1, Ports: []model.PortSpec{{Protocol: model.TCP, HostPort: 9999, Container: 80}}},
		}}}})
	w.secretive("hidden-vault", "far3", "n3", "10.42.2.1", 1)
	return w
}

// TestViewSurvivesJSON sends a view through JSON: another host must see exactly
// what this one saw.
func TestViewSurvivesJSON(t *testing.T) {
	w := islands(t)
	w.do(&command.PutVolume{Head: by(), Volume: model.Volume{Meta: model.Meta{ID: "v1", Name: "v1"}, TenantID: "t1", NodeID: "n1"}})
	w.do(&command.SetNodeHealth{Head: by(), NodeID: "n1", Health: model.NodeHealth{State: model.NodeDown, Since: w.at(), Reason: "no heartbeat"}})
	w.do(&command.SetAppStopped{Head: by(), ID: "hidden", Stopped: true}) // a port without backends
	w.secretive("shop-db", "lost1", "n1", "10.42.0.2", 1)
	w.do(&command.EvictContainers{Head: by(), NodeID: "n1", IDs: []string{"lost1"}})
	for _, node := range []string{"n1", "n2", "n3", "unknown"} {
		v := w.of(node)
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var back nodeview.View
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(v, back) {
			t.Errorf("the view of %s changed on its way:\n%+v\n%+v", node, v, back)
		}
	}
	if v := w.of("n1"); len(v.Orphans) != 1 || v.Orphans[0].ID != "lost1" || v.Orphans[0].Address != netip.MustParseAddr("10.42.0.2") {
		t.Errorf("orphans %+v", v.Orphans)
	}
	if v := w.of("n2"); len(v.Orphans) != 0 {
		t.Errorf("another node's orphans: %+v", v.Orphans)
	}
}

// TestViewHoldsNothingForeign looks for what a node has no business with in the
// very bytes that would be sent to it.
func TestViewHoldsNothingForeign(t *testing.T) {
	w := islands(t)
	for node, c := range map[string]struct{ holds, lacks []string }{
		"n1":      {[]string{secretOf("own1"), "near2", "10.42.1.1"}, []string{secretOf("near2"), secretOf("far3"), "far3", "10.42.2.", "hidden", "n3", "9999", "harbour", "192.0.2.3"}},
		"n3":      {[]string{secretOf("far3"), "9999"}, []string{secretOf("own1"), secretOf("near2"), "shop", "10.42.0.1", "10.42.1.", "n2", "192.0.2.2"}},
		"unknown": {nil, []string{"PASSWORD", "10.42.", "shop", "hidden"}},
	} {
		b, err := json.Marshal(w.of(node))
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range c.holds {
			if !strings.Contains(string(b), word) {
				t.Errorf("the view of %s lacks %q", node, word)
			}
		}
		for _, word := range c.lacks {
			if strings.Contains(string(b), word) {
				t.Errorf("the view of %s holds %q, which is none of its business:\n%s", node, word, b)
			}
		}
	}
}

func TestPeers(t *testing.T) {
	w := islands(t)
	w.do(&command.PutNode{Head: by(), Node: model.Node{Meta: model.Meta{ID: "n4", Name: "four"}, EnvironmentID: "e1"}})
	w.do(&command.SetNodeStatus{Head: by(), NodeID: "n4", Status: model.NodeStatus{Address: "host.example.org:7443"}})
	w.do(&command.SetNodeHealth{Head: by(), NodeID: "n4", Health: model.NodeHealth{State: model.NodeDown, Since: w.at(), Reason: "no heartbeat"}})
	want := []nodeview.Peer{
		{NodeID: "n4", Name: "four", Down: true},
		{NodeID: "n2", Name: "two", Address: netip.MustParseAddr("192.0.2.2"), Blocks: []netip.Prefix{netip.MustParsePrefix("10.42.1.0/26")}},
	}
	if got := w.of("n1").Peers; !reflect.DeepEqual(got, want) {
		t.Errorf("peers %+v\nwant %+v", got, want)
	}
	if got := w.of("n3").Peers; len(got) != 0 {
		t.Errorf("peers of a node alone in its environment: %+v", got)
	}
}

// TestDownNodeServesNobody takes the containers of a node that is down out of the
// backends and out of their services' names, and brings them back with it.
func TestDownNodeServesNobody(t *testing.T) {
	w := islands(t)
	both := []string{"10.42.0.1:80", "10.42.1.1:80"}
	if got := backends(w.of("n1"), 8080); !slices.Equal(got, both) {
		t.Fatalf("backends %v", got)
	}
	w.do(&command.SetNodeHealth{Head: by(), NodeID: "n2", Health: model.NodeHealth{State: model.NodeDown, Since: w.at(), Reason: "no heartbeat"}})
	v := w.of("n1")
	if got := backends(v, 8080); !slices.Equal(got, both[:1]) {
		t.Errorf("backends while n2 is down: %v", got)
	}
	if got := names(v); !got["shop/web/own1 10.42.0.1"] || got["shop/web/near2 10.42.1.1"] || len(got) != 2 {
		t.Errorf("names while n2 is down: %v", got)
	}
	// The node itself may only be cut off from the leader: it goes on as it did.
	if got := backends(w.of("n2"), 8080); !slices.Equal(got, both) {
		t.Errorf("the node that is down sees %v", got)
	}
	w.do(&command.SetNodeHealth{Head: by(), NodeID: "n2", Health: model.NodeHealth{State: model.NodeUp, Since: w.at()}})
	if got := backends(w.of("n1"), 8080); !slices.Equal(got, both) {
		t.Errorf("backends with n2 back: %v", got)
	}
}

func TestOlder(t *testing.T) {
	at := func(generation, index uint64) nodeview.View {
		return nodeview.View{Generation: generation, Index: index}
	}
	for _, c := range []struct {
		a, b nodeview.View
		want bool
	}{{at(1, 5), at(1, 6), true}, {at(1, 6), at(1, 6), false}, {at(1, 7), at(1, 6), false}, {at(2, 1), at(1, 9), false}, {at(1, 9), at(2, 1), true}, {nodeview.View{}, at(1, 1), true}} {
		if got := c.a.Older(c.b); got != c.want {
			t.Errorf("%d/%d older than %d/%d: %v", c.a.Generation, c.a.Index, c.b.Generation, c.b.Index, got)
		}
	}
}

// TestLocal follows the replica by all three ways.
func TestLocal(t *testing.T) {
	w := islands(t)
	src := nodeview.Local(w.store, "n1")
	if got := src.Now(); !reflect.DeepEqual(got, w.of("n1")) {
		t.Errorf("now: %+v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	v, changed, err := src.Changed(ctx)
	if err != nil || len(v.Containers) != 1 {
		t.Fatalf("%+v %v", v, err)
	}
	w.secretive("shop-db", "d1", "n1", "10.42.0.9", 1)
	<-changed
	cancel()
	done := errors.New("seen")
	err = src.Watch(t.Context(), func(_ context.Context, v nodeview.View) error {
		switch len(v.Containers) {
		case 2:
			w.secretive("shop-db", "d2", "n1", "10.42.0.10", 2)
			return nil
		case 3:
			return done
		}
		return errors.New("a wrong view")
	})
	if !errors.Is(err, done) {
		t.Error(err)
	}
}
