package state_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// draw makes a random command over few names, so that they meet.
func draw(t *rapid.T) command.Command {
	pick := func(label string, from ...string) string { return rapid.SampledFrom(from).Draw(t, label) }
	n := func(label string, limit int) int { return rapid.IntRange(0, limit).Draw(t, label) }
	version := func() uint64 {
		return rapid.SampledFrom([]uint64{command.MustNotExist, command.AnyVersion, command.AnyVersion, 5}).Draw(t, "version")
	}
	tenant := func() string { return pick("tenant", "t1", "t2", "t3") }
	name := func() string { return pick("name", "shop", "blog", "wiki") }
	appID := func() string { return pick("app", "a1", "a2", "a3") }
	serviceID := func() string { // mostly the one that is most likely to be there
		return rapid.SampledFrom([]string{"a1-web", "a1-web", "a1-web", "a1-web", "a1-db", "a2-web", "a3-web"}).Draw(t, "service")
	}
	containerID := func() string { return pick("container", "c1", "c2", "c3", "c4", "c5", "c6", "c7") }
	address := func() netip.Addr { return netip.AddrFrom4([4]byte{10, 42, 0, byte(2 + n("address", 4))}) }
	user := func() model.User {
		u := model.User{Meta: model.Meta{ID: pick("user", "u1", "u2"), Name: pick("user name", "ada", "bob")}}
		u.Spec.PlatformRole = rapid.SampledFrom([]model.Role{"", model.RoleAdmin}).Draw(t, "role")
		u.Spec.Disabled = n("disabled", 4) == 0
		if n("member", 1) == 0 {
			u.Spec.Tenants = map[string]model.Role{tenant(): model.RoleViewer}
		}
		return u
	}
	nodeID := func() string { return pick("node", "n1", "n1", "n1", "n2", "n2", "n3") }
	if n("about nodes", 2) == 0 {
		return drawMember(t, pick, n, nodeID, containerID)
	}
	switch n("kind", 22) {
	case 0:
		return &command.PutTenant{Head: by("p"), ExpectVersion: version(), Tenant: model.Tenant{Meta: model.Meta{ID: tenant(), Name: pick("tenant name", "x", "y", "default")}}}
	case 1:
		return &command.DeleteTenant{Head: by("p"), ID: tenant()}
	case 2:
		return &command.PutUser{Head: by("p"), ExpectVersion: version(), User: user()}
	case 3:
		return &command.DeleteUser{Head: by("p"), ID: user().ID}
	case 4:
		return &command.UseSetupToken{Head: by("p"), Hash: []byte("hash"), User: user()}
	case 5:
		return &command.PutSession{Head: by("p"), Session: model.Session{ID: pick("session", "s1", "s2"), UserID: user().ID}}
	case 6:
		return &command.PutAPIToken{Head: by("p"), Token: model.APIToken{Meta: model.Meta{ID: pick("token", "k1", "k2"), Name: name()}, UserID: user().ID, TenantID: tenant(), Hash: []byte(name())}}
	case 7, 8, 9:
		services := map[string]model.ServiceSpec{}
		for _, s := range []string{"web", "db"}[:n("services", 2)] {
			sp := spec(n("replicas", 3))
			for range n("ports", 2) {
				sp.Ports = append(sp.Ports, model.PortSpec{Protocol: rapid.SampledFrom([]model.Protocol{model.TCP, model.UDP}).Draw(t, "protocol"),
					HostPort: rapid.SampledFrom([]uint16{0, 0, 8080, 8081, 30001}).Draw(t, "host port"), Container: uint16(80 + n("container port", 1))})
			}
			if n("mount", 2) == 0 {
				sp.Container.Mounts = []model.Mount{{Type: model.MountVolume, Source: name(), Path: "/data"}}
			}
			services[s] = sp
		}
		c := app(tenant(), appID(), name(), services)
		c.ExpectVersion = version()
		c.Volumes = []model.Volume{{Meta: model.Meta{ID: pick("volume", "v1", "v2", "v3"), Name: name()}, NodeID: nodeID()}}
		return c
	case 10:
		return &command.RemoveApp{Head: by("p"), ID: appID()}
	case 11:
		return &command.SetAppStopped{Head: by("p"), ID: appID(), Stopped: n("stopped", 1) == 0}
	case 12:
		return &command.SetServiceReplicas{Head: by("p"), ServiceID: serviceID(), Replicas: n("replicas", 4) - 1}
	case 13:
		return &command.SetServiceStopped{Head: by("p"), ServiceID: serviceID(), Stopped: n("stopped", 1) == 0}
	case 14:
		return &command.SetIntent{Head: by("p"), ContainerID: containerID(), Action: rapid.SampledFrom([]command.Action{"stop", "start", "restart", "kill", "fly"}).Draw(t, "action")}
	case 15, 16:
		c := &command.PutContainers{Head: by("system:p")}
		for range 1 + n("containers", 2)*n("several", 1) {
			id := containerID()
			k := containerOf(serviceID(), id, "n"+pick("container name", "1", "2", "3", "4", "5", "6", "7"), address().String(), 1)
			k.Assign.NodeID = nodeID()
			if n("mount", 4) == 0 {
				k.Spec.Mounts = []model.Mount{{Type: model.MountVolume, VolumeID: pick("volume", "v1", "v2", "v3"), Path: "/data"}}
			}
			c.Containers = append(c.Containers, k)
		}
		return c
	case 17:
		return &command.AssignContainers{Head: by("system:p"), Items: []command.AssignItem{
			{ID: containerID(), Assign: model.Assignment{NodeID: nodeID(), Address: address(), Remove: n("remove", 1) == 0}},
			{ID: containerID(), Assign: model.Assignment{NodeID: nodeID(), Remove: true}}}}
	case 18, 19:
		st := status(containerID(), uint64(n("task", 2)), rapid.SampledFrom([]model.Phase{model.PhaseStarting, model.PhaseRunning, model.PhaseRunning, model.PhaseExited, model.PhaseBackoff}).Draw(t, "phase"))
		st.NodeID = nodeID()
		return st
	case 20:
		return &command.ForgetContainers{Head: by("system:p"), NodeID: nodeID(), IDs: []string{containerID(), containerID()}}
	case 21:
		if n("delete", 1) == 0 {
			return &command.DeleteVolume{Head: by("p"), ID: pick("volume", "v1", "v2", "v3")}
		}
		return &command.PutVolume{Head: by("p"), ExpectVersion: version(), Volume: model.Volume{Meta: model.Meta{ID: pick("volume", "v1", "v2", "v3"), Name: name()}, TenantID: tenant()}}
	default:
		if n("delete", 1) == 0 {
			return &command.DeleteImage{Head: by("p"), ID: pick("image", "i1", "i2", "i3"), Force: n("force", 1) == 0}
		}
		return &command.PutImage{Head: by("p"), ExpectVersion: version(), Image: model.Image{Meta: model.Meta{ID: pick("image", "i2", "i3"), Name: name()}, TenantID: tenant(), Digest: name()}}
	}
}

// TestSequences applies random sequences of commands and, after each, reads the
// tables into plain maps, where every rule between objects must hold; a refused
// command must leave no trace, a snapshot must restore to the same, and the
// same commands in one batch must give the same state as one by one.
func TestSequences(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		twin := newWorld(t)
		var all []state.Entry
		var before []command.Command
		if rapid.Bool().Draw(rt, "with nodes and containers") {
			before = populated()
		}
		for i := range len(before) + rapid.IntRange(5, 60).Draw(rt, "steps") {
			var c command.Command
			if i < len(before) {
				c = before[i]
			} else {
				c = draw(rt)
			}
			dump := w.dump()
			o := w.apply(c)[0]
			all = append(all, state.Entry{Index: w.index, Commands: []command.Command{c}})
			if o.Err != nil && !bytes.Equal(afterIndex(dump), afterIndex(w.dump())) {
				rt.Fatalf("%s was refused (%v) and left a trace:\n%s\n---\n%s", c.Type().Name(), o.Err, dump, w.dump())
			}
			if msg := broken(w.store.View()); msg != "" {
				rt.Fatalf("after %s (refused: %v): %s", c.Type().Name(), o.Err, msg)
			}
		}
		restored := state.New()
		if err := restored.Restore(bytes.NewReader(w.dump())); err != nil {
			rt.Fatal(err)
		}
		var b bytes.Buffer
		if err := restored.View().WriteSnapshot(&b, "test"); err != nil {
			rt.Fatal(err)
		}
		if !bytes.Equal(b.Bytes(), w.dump()) {
			rt.Fatalf("a restored snapshot differs:\n%s\n---\n%s", b.Bytes(), w.dump())
		}
		if msg := broken(restored.View()); msg != "" {
			rt.Fatalf("after a restore: %s", msg)
		}
		twin.batch(all)
		if got := twin.dump(); !bytes.Equal(got, w.dump()) {
			rt.Fatalf("one batch differs from one by one:\n%s\n---\n%s", got, w.dump())
		}
	})
}

// batch applies entries in one transaction, through the codec.
func (w *world) batch(entries []state.Entry) {
	w.tb.Helper()
	for i, e := range entries {
		b, err := command.Encode(e.Commands[0])
		if err != nil {
			w.tb.Fatal(err)
		}
		c, err := command.Decode(b)
		if err != nil {
			w.tb.Fatal(err)
		}
		entries[i].Commands = []command.Command{c}
	}
	w.store.Apply(entries)
}

// afterIndex cuts off the header and the row that hold the index.
func afterIndex(dump []byte) []byte {
	_, rest, _ := bytes.Cut(dump, []byte("\n"))
	_, rest, _ = bytes.Cut(rest, []byte("\n"))
	return rest
}

// broken reads a view into plain maps and says which rule does not hold.
func broken(v *state.View) string {
	services, running, names := map[string]*model.Service{}, map[string]int{}, map[string]string{}
	unique := func(kind, k, id string) string {
		if other, taken := names[kind+k]; taken {
			return fmt.Sprintf("%s %q belongs to %s and %s", kind, k, other, id)
		}
		names[kind+k] = id
		return ""
	}
	var problems []string
	note := func(s string) {
		if s != "" {
			problems = append(problems, s)
		}
	}
	apps := map[string]*model.App{}
	for a := range v.Apps() {
		apps[a.ID] = a
		note(unique("app", a.TenantID+"/"+a.Name, a.ID))
		if _, ok := v.Tenant(a.TenantID); !ok {
			note("app " + a.ID + " has no tenant")
		}
		if r, ok := v.Revision(a.ID, a.Revision); !ok || r.Number != a.Revision {
			note("app " + a.ID + " has no revision in force")
		}
	}
	for s := range v.Services() {
		services[s.ID] = s
		note(unique("service", s.AppID+"/"+s.Name, s.ID))
		a, ok := apps[s.AppID]
		if !ok {
			note("service " + s.ID + " has no app")
			continue
		}
		want, named := a.Spec.Services[s.Name]
		if !s.Removing && (!named || want.Replicas != s.Spec.Replicas) {
			note("service " + s.ID + " is not what its app says")
		}
		for _, p := range s.Ports {
			if q, ok := v.Port(p.EnvironmentID, p.Protocol, p.HostPort); !ok || *q != p || p.ServiceID != s.ID || p.HostPort == 0 {
				note(fmt.Sprintf("port %+v of service %s is not in the table (%+v)", p, s.ID, q))
			}
		}
	}
	rows := 0
	for p := range v.Ports() {
		rows++
		note(unique("port", fmt.Sprint(p.EnvironmentID, p.Protocol, p.HostPort), p.ServiceID))
		if services[p.ServiceID] == nil {
			note(fmt.Sprintf("port %d has no service", p.HostPort))
		}
	}
	for _, s := range services {
		rows -= len(s.Ports)
	}
	if rows != 0 {
		note(fmt.Sprintf("%d rows of ports too many", rows))
	}
	note(state.BrokenRows(v))
	total := 0
	for c := range v.Containers() {
		total++
		note(unique("container", c.TenantID+"/"+c.Name, c.ID))
		if c.Assign.Address.IsValid() {
			note(unique("address", c.Assign.Address.String(), c.ID))
			if o, ok := v.ContainerByAddress(c.Assign.Address); !ok || o.ID != c.ID {
				note("container " + c.ID + " is not found by its address")
			}
		}
		if services[c.ServiceID] == nil {
			note("container " + c.ID + " has no service")
		}
		if c.Status.Phase == model.PhaseRunning {
			running[c.ServiceID]++
		}
		if o, ok := v.Container(c.ID); !ok || o != c {
			note("container " + c.ID + " is not found by its id")
		}
	}
	for _, id := range []string{"n1", "n2", "n3"} {
		for range v.ContainersOnNode(id) {
			total--
		}
	}
	for c := range v.Containers() {
		if c.Assign.NodeID == "" {
			total--
		}
	}
	if total != 0 {
		note(fmt.Sprintf("%d containers are not found by their node", total))
	}
	inServices, all := 0, 0
	for id := range services {
		slot := 0
		for c := range v.ContainersOfService(id) {
			inServices++
			if c.ServiceID != id || c.Slot < slot {
				note("container " + c.ID + " is out of place in service " + id)
			}
			slot = c.Slot
		}
	}
	for range v.Containers() {
		all++
	}
	if inServices != all {
		note(fmt.Sprintf("%d of %d containers are found by their service", inServices, all))
	}
	for id, s := range services {
		if s.Status.Running != running[id] {
			note(fmt.Sprintf("service %s says %d running, there are %d", id, s.Status.Running, running[id]))
		}
	}
	for vol := range v.Volumes() {
		note(unique("volume", vol.TenantID+"/"+vol.Name, vol.ID))
	}
	for i := range v.Images() {
		note(unique("image", i.TenantID+"/"+i.Name, i.ID))
	}
	for u := range v.Users() {
		note(unique("user", u.Name, u.ID))
		for id := range u.Spec.Tenants {
			if _, ok := v.Tenant(id); !ok {
				note("user " + u.ID + " has a role in no tenant")
			}
		}
	}
	for s := range v.Sessions() {
		if _, ok := v.User(s.UserID); !ok {
			note("session " + s.ID + " has no user")
		}
	}
	for _, p := range brokenMembers(v, unique) {
		note(p)
	}
	if len(problems) == 0 {
		return ""
	}
	return fmt.Sprint(problems)
}
