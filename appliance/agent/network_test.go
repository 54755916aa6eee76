package agent

import (
	"context"
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerryhq/skerry/appliance/nodeview"
	"github.com/skerryhq/skerry/netfw/iptables"
	"github.com/skerryhq/skerry/netfw/overlay"
	"github.com/skerryhq/skerry/netfw/rules"
	"github.com/skerryhq/skerry/raft/model"
)

func block(s string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(s)} }

// crossing is the view of a node with a container of the shop, whose other
// replica is on the second node, beside a bank.
func crossing() nodeview.View {
	v := view(10, 1)
	v.Containers[0].AppID = "shop"
	v.Pool = netip.MustParsePrefix("10.42.0.0/16")
	v.Node.Blocks, v.Node.Status.Address = block("10.42.0.0/26"), "192.0.2.1:7443"
	v.Peers = []nodeview.Peer{
		{NodeID: "n2", Name: "two", Address: netip.MustParseAddr("192.0.2.2"), Blocks: block("10.42.1.0/26")},
		{NodeID: "n3", Name: "three", Blocks: block("10.42.2.0/26"), Down: true},
	}
	v.Names = []nodeview.Name{
		{AppID: "shop", Container: "c1", Address: address(1)},
		{AppID: "shop", Container: "c2", Address: netip.MustParseAddr("10.42.1.1")},
		{AppID: "bank", Container: "b1", Address: netip.MustParseAddr("10.42.1.9")},
		{AppID: "shop", Container: "old", Address: netip.MustParseAddr("10.42.0.44")}, // in our block and not ours any more
	}
	v.Ports = []nodeview.Port{
		{PortSpec: model.PortSpec{Protocol: model.TCP, HostPort: 8080, Container: 80}, Backends: []netip.AddrPort{netip.MustParseAddrPort("10.42.1.9:80")}},
		{PortSpec: model.PortSpec{Protocol: model.UDP, HostPort: 51820, Container: 80}, Backends: []netip.AddrPort{netip.MustParseAddrPort("10.42.1.9:80")}},
	}
	return v
}

func TestDesired(t *testing.T) {
	s := newStage(t)
	s.cfg.Resolver = netip.MustParseAddr("169.254.42.53")
	got := s.desired(crossing(), map[string]overlay.Path{"n2": {NodeID: "n2", Device: "eth0"}})
	if want := []rules.Peer{{Address: netip.MustParseAddr("192.0.2.2"), Blocks: block("10.42.1.0/26"), Device: "eth0"}, {Blocks: block("10.42.2.0/26")}}; !reflect.DeepEqual(got.Peers, want) {
		t.Errorf("peers %+v", got.Peers)
	}
	if want := []rules.Remote{{Address: netip.MustParseAddr("10.42.1.1"), Networks: []string{"shop"}}}; !reflect.DeepEqual(got.Remotes, want) {
		t.Errorf("remotes %+v", got.Remotes)
	}
	if got.Ingress != netip.MustParseAddr("10.42.0.0") || got.Overlay != 51820 || len(got.Ports) != 1 {
		t.Errorf("ingress %s, overlay %d, ports %+v", got.Ingress, got.Overlay, got.Ports)
	}
	if _, err := rules.Render(got); err != nil {
		t.Error(err)
	}
	// A node that is alone has nothing of all that.
	v := crossing()
	v.Peers = nil
	if got := s.desired(v, nil); got.Ingress.IsValid() || got.Overlay != 0 || len(got.Remotes)+len(got.Peers) > 0 || len(got.Ports) != 2 {
		t.Errorf("alone: %+v", got)
	}
	if got := ways(v); !reflect.DeepEqual(got, overlay.Desired{NodeID: "n1"}) {
		t.Errorf("alone: %+v", got)
	}
	want := overlay.Desired{NodeID: "n1", Address: netip.MustParseAddr("192.0.2.1"), Blocks: block("10.42.0.0/26"), Peers: []overlay.Peer{
		{NodeID: "n2", Address: netip.MustParseAddr("192.0.2.2"), Blocks: block("10.42.1.0/26")}, {NodeID: "n3", Blocks: block("10.42.2.0/26")}}}
	if got := ways(crossing()); !reflect.DeepEqual(got, want) {
		t.Errorf("ways %+v", got)
	}
}

// kernel plays overlay and packet filter.
type kernel struct {
	mu     sync.Mutex
	device string
	fails  bool
	routed int
	filter []string // device of the first peer at each Apply
}

func (k *kernel) Port() uint16 { return 51820 }

func (k *kernel) set(device string, fails bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.device, k.fails = device, fails
}

func (k *kernel) seen() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.filter)
}

func (k *kernel) Apply(_ context.Context, d overlay.Desired) (overlay.Applied, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.routed++
	if k.fails {
		return overlay.Applied{}, errors.New("the kernel has a fault")
	}
	var out overlay.Applied
	for _, p := range d.Peers {
		out.Paths = append(out.Paths, overlay.Path{NodeID: p.NodeID, Device: k.device})
	}
	return out, nil
}

type filter struct{ *kernel }

func (f filter) Apply(_ context.Context, d rules.Desired) (iptables.Change, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.filter = append(f.filter, d.Peers[0].Device)
	return iptables.Change{}, nil
}
func (filter) Repair(context.Context) ([]string, error) { return nil, nil }

// TestFilterFollowsTheWays moves a peer to another wire, and lets the routes fail
// for a while: the filter knows where packets come from, and forgets it for no
// trouble with the routes.
func TestFilterFollowsTheWays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, "c1")
		k := &kernel{device: "eth0"}
		s.cfg.Overlay, s.cfg.Firewall = k, filter{k}
		s.views.tell(crossing())
		defer s.run()()
		synctest.Wait()
		if got := k.seen(); !slices.Equal(got, []string{"", "eth0"}) { // closed before the routes are there
			t.Fatalf("the filter was told %q", got)
		}
		time.Sleep(time.Minute)
		if got := k.seen(); len(got) != 2 || k.routed < 10 {
			t.Errorf("nothing moved, and the filter was told %q; looked for drift %d times", got, k.routed)
		}
		k.set("eth1", false)
		time.Sleep(repairEvery + time.Second)
		if got := k.seen(); !slices.Equal(got, []string{"", "eth0", "eth1"}) {
			t.Errorf("the filter was told %q", got)
		}
		k.set("", true)
		v := crossing()
		v.Index++
		s.views.tell(v)
		time.Sleep(10 * time.Second)
		got := k.seen()
		if len(got) < 6 || slices.Contains(got[2:], "") {
			t.Errorf("while the routes fail the filter was told %q", got)
		}
		k.set("eth1", false)
		time.Sleep(10 * time.Second)
		n := len(k.seen())
		time.Sleep(time.Minute)
		if len(k.seen()) != n {
			t.Error("it does not come to rest")
		}
	})
}
