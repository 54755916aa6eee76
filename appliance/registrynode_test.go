package appliance

import (
	"slices"
	"testing"

	"github.com/skerryhq/skerry/appliance/config"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/rafttest"
)

// TestOwnHosts holds which hosts in image names are this cluster's registry.
func TestOwnHosts(t *testing.T) {
	n := rafttest.Single(t)
	if _, err := n.Propose(t.Context(), &command.SetNodeStatus{NodeID: rafttest.NodeID, Status: model.NodeStatus{Ready: true, Address: "198.51.100.9:8443"}}); err != nil {
		t.Fatal(err)
	}
	node, _ := n.View().Node(rafttest.NodeID)
	cfg := config.Config{Listen: "0.0.0.0:7443", Advertise: "203.0.113.7", Name: "rock", SANs: []string{"registry.corp", "*.cloud.corp"}}
	own := ownHost(cfg, n.Store())
	for host, want := range map[string]bool{
		"registry.corp:7443": true, "Registry.Corp:7443": true, "a.cloud.corp:7443": true, "203.0.113.7:7443": true, "rock:7443": true, "localhost:7443": true,
		"127.0.0.1:7443": true, "[::1]:7443": true, "198.51.100.9:8443": true, node.Name + ":8443": true,
		"registry.corp": false, "registry.corp:5000": false, "b.a.cloud.corp:7443": false, "docker.io": false, "198.51.100.9:7443": false, "203.0.113.8:7443": false, "": false,
	} {
		if got := own(host); got != want {
			t.Errorf("%q: %v", host, got)
		}
	}
	hosts := registryHosts(cfg)
	if hosts[0] != "registry.corp:7443" || hosts[1] != "203.0.113.7:7443" || slices.ContainsFunc(hosts, func(h string) bool { return h[0] == '*' }) {
		t.Errorf("hosts %v", hosts)
	}
}
