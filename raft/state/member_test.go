package state_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// drawMember makes a random command about nodes.
func drawMember(t *rapid.T, pick func(string, ...string) string, n func(string, int) int, nodeID, containerID func() string) command.Command {
	secret := func() []byte { return []byte(pick("secret", "s1", "s2")) }
	role := func() model.NodeRole {
		return rapid.SampledFrom([]model.NodeRole{model.NodeMember, model.NodeMember, model.NodeWorker}).Draw(t, "role")
	}
	switch n("kind of node command", 8) {
	case 0:
		return &command.PutJoinToken{Head: by("p"), Token: model.JoinToken{Meta: model.Meta{ID: pick("join token", "j1", "j2", "j3"), Name: "sk"}, Hash: secret(),
			Role: role(), EnvironmentID: pick("environment", "e1", "e1", "e1", "e9"), Uses: n("uses", 3), ExpiresAt: epoch.Add(time.Duration(n("ttl", 2)-1) * time.Hour)}}
	case 1:
		return &command.RevokeJoinToken{Head: by("p"), ID: pick("join token", "j1", "j2", "j3")}
	case 2, 3, 4:
		id := nodeID()
		c := &command.JoinNode{Head: by("p"), Hash: secret(), Node: model.Node{Meta: model.Meta{ID: id, Name: pick("node name", "one", "two", "three")}, Role: role(), PublicKey: []byte("key of " + id)}}
		if n("block", 1) == 0 {
			c.Node.Blocks = []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 42, 0, byte(64 * n("block number", 3))}), 26)}
		}
		return c
	case 5, 6:
		state := rapid.SampledFrom([]model.HealthState{model.NodeDown, model.NodeDown, model.NodeUp, "ill"}).Draw(t, "health")
		return &command.SetNodeHealth{Head: by("system:p"), NodeID: nodeID(), Health: model.NodeHealth{State: state, Since: epoch, Reason: "no heartbeat"}}
	case 7:
		return &command.EvictContainers{Head: by("system:p"), NodeID: nodeID(), IDs: []string{containerID(), containerID(), containerID()}}
	default:
		if n("remove", 2) > 0 {
			return &command.PutContainers{Head: by("p"), Containers: []model.Container{containerOf("a1-web", containerID(), "n"+pick("container name", "1", "2", "3"), fmt.Sprintf("10.42.0.%d", 2+n("address", 4)), 1)}}
		}
		return &command.RemoveNode{Head: by("p"), ID: nodeID(), ExpectVersion: command.AnyVersion, Force: n("force", 2) > 0}
	}
}

// populated makes three nodes and two containers on the second, which is down
// and has lost one, so that random sequences get further.
func populated() []command.Command {
	token := &command.PutJoinToken{Head: by("p"), Token: model.JoinToken{Meta: model.Meta{ID: "j0", Name: "sk"}, Hash: []byte("s0"), Role: model.NodeMember, EnvironmentID: "e1", Uses: 2, ExpiresAt: epoch.Add(time.Hour)}}
	put := &command.PutContainers{Head: by("p")}
	for i := range 2 {
		c := containerOf("a1-web", fmt.Sprintf("c%d", i+1), fmt.Sprintf("n%d", i+1), fmt.Sprintf("10.42.0.%d", 2+i), i+1)
		c.Assign.NodeID = "n2"
		put.Containers = append(put.Containers, c)
	}
	return []command.Command{token, joining([]byte("s0"), "n2", "two", model.NodeMember), joining([]byte("s0"), "n3", "three", model.NodeMember),
		app("t1", "a1", "shop", map[string]model.ServiceSpec{"web": spec(2)}), put,
		&command.SetNodeHealth{Head: by("p"), NodeID: "n2", Health: model.NodeHealth{State: model.NodeDown, Since: epoch, Reason: "no heartbeat"}},
		&command.EvictContainers{Head: by("p"), NodeID: "n2", IDs: []string{"c1"}}}
}

// brokenMembers says which rule about nodes and what they hold does not hold.
// unique is shared with the other rules: a container and an orphan must not have
// the same address.
func brokenMembers(v *state.View, unique func(kind, k, id string) string) []string {
	var problems []string
	note := func(s string) {
		if s != "" {
			problems = append(problems, s)
		}
	}
	nodes, blocks, members, held := map[string]*model.Node{}, []netip.Prefix(nil), 0, 0
	for n := range v.Nodes() {
		nodes[n.ID] = n
		note(unique("node", n.Name, n.ID))
		if _, was := v.RemovedNode(n.ID); was {
			note("node " + n.ID + " was removed and is there")
		}
		if _, ok := v.Environment(n.EnvironmentID); !ok {
			note("node " + n.ID + " has no environment")
		}
		for _, b := range n.Blocks {
			if slices.ContainsFunc(blocks, b.Overlaps) {
				note(fmt.Sprintf("block %s of node %s overlaps another", b, n.ID))
			}
			blocks = append(blocks, b)
		}
		if n.Member() {
			members++
		}
	}
	if members == 0 {
		note("no member is left")
	}
	for o := range v.Orphans() {
		if nodes[o.NodeID] == nil {
			note("orphan " + o.ID + " has no node")
		}
		if c, ok := v.Container(o.ID); ok {
			note("orphan " + o.ID + " is container " + c.Name + " too")
		}
		if o.Address.IsValid() {
			held++
			note(unique("address", o.Address.String(), "orphan "+o.ID))
		}
		if other, ok := v.Orphan(o.ID); !ok || other != o {
			note("orphan " + o.ID + " is not found by its id")
		}
	}
	for c := range v.Containers() {
		if c.Assign.NodeID != "" && nodes[c.Assign.NodeID] == nil {
			note("container " + c.ID + " is on no node")
		}
		if c.Assign.Address.IsValid() {
			held++
		}
	}
	for i := range v.Images() {
		for _, id := range i.NodeIDs {
			if nodes[id] == nil {
				note("image " + i.ID + " is on no node")
			}
		}
	}
	for vol := range v.Volumes() {
		if vol.NodeID != "" && nodes[vol.NodeID] == nil {
			note("volume " + vol.ID + " is on no node")
		}
	}
	for t := range v.JoinTokens() {
		if t.Used > t.Uses || t.Used < 0 {
			note(fmt.Sprintf("join token %s was used %d of %d times", t.ID, t.Used, t.Uses))
		}
	}
	var b bytes.Buffer
	if err := v.WriteSnapshot(&b, "test"); err != nil {
		note(err.Error())
	}
	if rows := strings.Count(b.String(), "{\"t\":\"addresses\""); rows != held {
		note(fmt.Sprintf("%d rows of addresses, %d are held", rows, held))
	}
	return problems
}

// token makes a join token for two members and one worker each.
func (w *world) token(id string, role model.NodeRole, uses int) []byte {
	w.tb.Helper()
	hash := []byte("hash of " + id)
	w.ok(&command.PutJoinToken{Head: by("ada"), Token: model.JoinToken{Meta: model.Meta{ID: id, Name: id}, Hash: hash, Role: role, EnvironmentID: "e1", Uses: uses, ExpiresAt: epoch.Add(time.Hour)}})
	return hash
}

func joining(hash []byte, id, name string, role model.NodeRole) *command.JoinNode {
	return &command.JoinNode{Head: by("join"), Hash: hash, Node: model.Node{Meta: model.Meta{ID: id, Name: name}, Role: role, PublicKey: []byte("key of " + id)}}
}

func (w *world) code(c command.Command, code string) {
	w.tb.Helper()
	if err := w.refused(c); err.Code != code {
		w.tb.Fatalf("%s was refused with %s (%v), want %s", c.Type().Name(), err.Code, err, code)
	}
}

func TestJoin(t *testing.T) {
	w := newWorld(t)
	hash := w.token("j1", model.NodeMember, 2)
	w.code(joining([]byte("guess"), "n2", "two", model.NodeMember), "join_token_unknown")
	w.code(joining(hash, "n2", "two", model.NodeWorker), "join_role")
	w.code(joining(hash, "n2", "one", model.NodeMember), "name_taken")
	w.ok(joining(hash, "n2", "two", model.NodeMember))
	n, ok := w.store.View().Node("n2")
	if !ok || n.EnvironmentID != "e1" || n.Role != model.NodeMember || n.Down() || n.CreatedAt != epoch {
		t.Fatalf("%+v", n)
	}
	w.ok(joining(hash, "n2", "two", model.NodeMember)) // the answer was lost: it asks again
	if j, _ := w.store.View().JoinToken("j1"); j.Used != 1 {
		t.Fatalf("used %d times by one node", j.Used)
	}
	stranger := joining(hash, "n2", "two", model.NodeMember)
	stranger.Node.PublicKey = []byte("another")
	w.code(stranger, "already_joined")
	w.ok(joining(hash, "n3", "three", model.NodeMember))
	w.code(joining(hash, "n4", "four", model.NodeMember), "join_token_used")
	late := joining(w.token("j2", model.NodeWorker, 1), "n4", "four", model.NodeWorker)
	late.Origin.Time = epoch.Add(time.Hour)
	w.code(late, "join_token_expired")
	w.ok(&command.RevokeJoinToken{Head: by("ada"), ID: "j2"}, &command.RevokeJoinToken{Head: by("ada"), ID: "j2"})
	w.code(joining([]byte("hash of j2"), "n4", "four", model.NodeWorker), "join_token_revoked")
	w.code(&command.RevokeJoinToken{Head: by("ada"), ID: "j9"}, "not_found")
	w.ok(&command.RemoveNode{Head: by("ada"), ID: "n3", ExpectVersion: command.AnyVersion})
	w.code(joining(w.token("j3", model.NodeMember, 5), "n3", "three", model.NodeMember), "node_removed")
	// A day after their end, tokens are forgotten.
	much := &command.PutJoinToken{Head: by("ada"), Token: model.JoinToken{Meta: model.Meta{ID: "j9", Name: "j9"}, Hash: []byte("9"), Role: model.NodeMember, EnvironmentID: "e1", Uses: 1, ExpiresAt: epoch.Add(99 * time.Hour)}}
	much.Origin.Time = epoch.Add(26 * time.Hour)
	w.ok(much)
	for j := range w.store.View().JoinTokens() {
		if j.ID != "j9" {
			t.Errorf("%s is still remembered", j.ID)
		}
	}
}

func TestJoinTokenRules(t *testing.T) {
	w := newWorld(t)
	good := model.JoinToken{Meta: model.Meta{ID: "j1", Name: "j1"}, Hash: []byte("h"), Role: model.NodeMember, EnvironmentID: "e1", Uses: 1, ExpiresAt: epoch}
	for _, tt := range []struct {
		code string
		harm func(*model.JoinToken)
	}{
		{"id_missing", func(j *model.JoinToken) { j.ID = "" }},
		{"role_invalid", func(j *model.JoinToken) { j.Role = "king" }},
		{"uses_invalid", func(j *model.JoinToken) { j.Uses = 0 }},
		{"hash_missing", func(j *model.JoinToken) { j.Hash = nil }},
		{"not_found", func(j *model.JoinToken) { j.EnvironmentID = "e9" }},
	} {
		bad := good
		tt.harm(&bad)
		w.code(&command.PutJoinToken{Head: by("ada"), Token: bad}, tt.code)
	}
	w.ok(&command.PutJoinToken{Head: by("ada"), Token: good})
	w.code(&command.PutJoinToken{Head: by("ada"), Token: good}, "already_exists")
}

// TestEviction gives a dead node's container up: name and slot are free, its
// address is not until the node has come back.
func TestEviction(t *testing.T) {
	w := newWorld(t)
	w.ok(joining(w.token("j1", model.NodeMember, 1), "n2", "two", model.NodeMember))
	w.ok(app("t1", "a1", "shop", map[string]model.ServiceSpec{"web": spec(1)}))
	k := containerOf("a1-web", "c1", "shop-web-1", "10.42.0.70", 1)
	k.Assign.NodeID = "n2"
	w.ok(&command.PutContainers{Head: by("system:control"), Containers: []model.Container{k}})
	running := status("c1", 1, model.PhaseRunning)
	running.NodeID = "n2"
	w.ok(running)
	evict := &command.EvictContainers{Head: by("system:control"), NodeID: "n2", IDs: []string{"c1", "c9"}}
	w.code(evict, "node_up")
	w.ok(&command.SetNodeHealth{Head: by("system:control"), NodeID: "n2", Health: model.NodeHealth{State: model.NodeDown, Since: epoch, Reason: "no heartbeat for 5 s"}})
	w.ok(evict)
	v := w.store.View()
	o, ok := v.Orphan("c1")
	if _, there := v.Container("c1"); there || !ok || o.NodeID != "n2" || o.Address != k.Assign.Address || o.Since != epoch {
		t.Fatalf("%+v", o)
	}
	if s, _ := v.Service("a1-web"); s.Status.Running != 0 {
		t.Errorf("%d run", s.Status.Running)
	}
	again := containerOf("a1-web", "c2", "shop-web-1", "10.42.0.70", 1)
	w.code(&command.PutContainers{Head: by("system:control"), Containers: []model.Container{again}}, "address_taken")
	again.Assign.Address = netip.MustParseAddr("10.42.0.5")
	w.ok(&command.PutContainers{Head: by("system:control"), Containers: []model.Container{again}})
	w.code(&command.AssignContainers{Head: by("system:control"), Items: []command.AssignItem{{ID: "c2", ExpectVersion: command.AnyVersion, Assign: model.Assignment{NodeID: "n1", Address: k.Assign.Address}}}}, "address_taken")
	reuse := containerOf("a1-web", "c1", "shop-web-2", "", 2)
	w.code(&command.PutContainers{Head: by("system:control"), Containers: []model.Container{reuse}}, "already_exists")
	// Another node's word does not free it; its own does.
	w.ok(&command.ForgetContainers{Head: by("system:agent"), NodeID: "n1", IDs: []string{"c1"}})
	if _, ok := w.store.View().Orphan("c1"); !ok {
		t.Fatal("another node forgot it")
	}
	w.ok(&command.SetNodeHealth{Head: by("system:control"), NodeID: "n2", Health: model.NodeHealth{State: model.NodeUp, Since: epoch}})
	w.ok(&command.ForgetContainers{Head: by("system:agent"), NodeID: "n2", IDs: []string{"c1"}})
	w.ok(&command.AssignContainers{Head: by("system:control"), Items: []command.AssignItem{{ID: "c2", ExpectVersion: command.AnyVersion, Assign: model.Assignment{NodeID: "n1", Address: k.Assign.Address}}}})
	if c, ok := w.store.View().ContainerByAddress(k.Assign.Address); !ok || c.ID != "c2" {
		t.Errorf("%+v has the address", c)
	}
}

func TestRemoveNode(t *testing.T) {
	w := newWorld(t)
	w.code(&command.RemoveNode{Head: by("ada"), ID: "n1", ExpectVersion: command.AnyVersion, Force: true}, "last_member")
	w.ok(joining(w.token("j1", model.NodeMember, 1), "n2", "two", model.NodeMember), joining(w.token("j2", model.NodeWorker, 1), "n3", "three", model.NodeWorker))
	w.ok(app("t1", "a1", "shop", map[string]model.ServiceSpec{"web": spec(1)}))
	k := containerOf("a1-web", "c1", "shop-web-1", "10.42.0.70", 1)
	k.Assign.NodeID = "n2"
	w.ok(&command.PutContainers{Head: by("system:control"), Containers: []model.Container{k}},
		&command.PutVolume{Head: by("ada"), Volume: model.Volume{Meta: model.Meta{ID: "v1", Name: "data"}, TenantID: "t1", NodeID: "n2"}})
	img, _ := w.store.View().Image("i1")
	placed := img.Clone()
	placed.NodeIDs = []string{"n2"}
	w.ok(&command.PutImage{Head: by("system:agent"), Image: *placed, ExpectVersion: command.AnyVersion})
	w.code(&command.RemoveNode{Head: by("ada"), ID: "n2", ExpectVersion: command.AnyVersion}, "node_in_use")
	w.code(&command.RemoveNode{Head: by("ada"), ID: "n2", ExpectVersion: 1}, "stale_version")
	w.ok(&command.RemoveNode{Head: by("ada"), ID: "n2", ExpectVersion: command.AnyVersion, Force: true})
	v := w.store.View()
	gone, ok := v.RemovedNode("n2")
	if _, there := v.Node("n2"); there || !ok || gone.Actor != "ada" || gone.At != epoch {
		t.Fatalf("%+v", gone)
	}
	if _, ok := v.Volume("v1"); ok {
		t.Error("its volume is still there")
	}
	for o := range v.Orphans() {
		t.Errorf("orphan %+v", o)
	}
	if i, _ := v.Image("i1"); len(i.NodeIDs) != 0 {
		t.Errorf("its image is still there: %v", i.NodeIDs)
	}
	if msg := broken(v); msg != "" {
		t.Error(msg)
	}
	w.code(&command.RemoveNode{Head: by("ada"), ID: "n1", ExpectVersion: command.AnyVersion, Force: true}, "last_member") // the worker is no member
	w.ok(&command.RemoveNode{Head: by("ada"), ID: "n3", ExpectVersion: command.AnyVersion})
	w.code(&command.RemoveNode{Head: by("ada"), ID: "n3", ExpectVersion: command.AnyVersion}, "not_found")
}

func TestRotationAndGeneration(t *testing.T) {
	w := newWorld(t)
	step := func(s command.RotationStep) *command.RotateAuthority {
		c := &command.RotateAuthority{Head: by("ada"), Step: s}
		if s == command.RotationBegin {
			c.NextCert, c.NextKey = []byte("next cert"), model.Sealed("next key")
		}
		return c
	}
	w.code(step(command.RotationSwitch), "rotation_step")
	w.code(step(command.RotationFinish), "rotation_step")
	w.code(&command.RotateAuthority{Head: by("ada"), Step: command.RotationBegin}, "authority_missing")
	w.ok(step(command.RotationBegin))
	w.code(step(command.RotationBegin), "rotation_running")
	w.code(step(command.RotationFinish), "rotation_step")
	w.ok(step(command.RotationSwitch))
	c, _ := w.store.View().Cluster()
	if string(c.CACert) != "next cert" || string(c.CAKey) != "next key" || string(c.Rotation.OtherCert) != "cert" || len(c.Rotation.OtherKey) != 0 {
		t.Fatalf("%+v", c)
	}
	w.code(step(command.RotationSwitch), "rotation_step")
	w.ok(step(command.RotationFinish))
	if c, _ := w.store.View().Cluster(); c.Rotation != nil {
		t.Fatalf("%+v", c.Rotation)
	}
	raise := func(g uint64) *command.RaiseGeneration {
		return &command.RaiseGeneration{Head: by("local"), Generation: g, Survivors: []string{"n1"}, LastIndex: 7, At: epoch}
	}
	w.code(raise(1), "generation_not_raised")
	w.ok(raise(2))
	w.code(raise(2), "generation_not_raised")
	w.ok(raise(5))
	if c, _ := w.store.View().Cluster(); c.Generation != 5 {
		t.Fatal(c.Generation)
	}
}

func TestNodeHealth(t *testing.T) {
	w := newWorld(t)
	set := func(s model.HealthState) *command.SetNodeHealth {
		return &command.SetNodeHealth{Head: by("system:control"), NodeID: "n1", Health: model.NodeHealth{State: s, Since: epoch, Reason: "no heartbeat"}}
	}
	w.code(set("ill"), "health_invalid")
	w.ok(set(model.NodeDown), set(model.NodeDown), set(model.NodeUp))
	var reasons []string
	for _, e := range w.store.View().EventsSince(state.AllTenants(), 0, 0) {
		if e.Kind == "node" {
			reasons = append(reasons, e.Reason)
		}
	}
	if !slices.Equal(reasons, []string{"Down", "Up"}) {
		t.Errorf("events %v", reasons)
	}
	bad := set(model.NodeUp)
	bad.NodeID = "n9"
	w.code(bad, "not_found")
}
