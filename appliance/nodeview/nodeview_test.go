package nodeview_test

import (
	"cmp"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/skerryhq/skerry/appliance/nodeview"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// world is a state with two nodes in the one environment.
type world struct {
	t     *testing.T
	store *state.Store
	index uint64
}

func by() command.Head {
	return command.By(model.Origin{Actor: "test", Time: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)})
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, store: state.New()}
	w.do(&command.InitCluster{Head: by(),
		Cluster:     model.Cluster{ID: "cluster", FeatureLevel: 1, Pool: netip.MustParsePrefix("10.42.0.0/16"), VIPPool: netip.MustParsePrefix("10.43.0.0/16"), PortMin: 30000, PortMax: 30010},
		Tenant:      model.Tenant{Meta: model.Meta{ID: "t1", Name: model.DefaultTenant}},
		Environment: model.Environment{Meta: model.Meta{ID: "e1", Name: model.DefaultEnvironment}},
		Node:        model.Node{Meta: model.Meta{ID: "n1", Name: "one"}}})
	w.do(&command.PutNode{Head: by(), Node: model.Node{Meta: model.Meta{ID: "n2", Name: "two"}, EnvironmentID: "e1"}})
	return w
}

func (w *world) do(cmds ...command.Command) {
	w.t.Helper()
	w.index++
	for i, o := range w.store.Apply([]state.Entry{{Index: w.index, Commands: cmds}})[0] {
		if o.Err != nil || len(o.Refused) > 0 {
			w.t.Fatalf("%s was refused: %v %v", cmds[i].Type().Name(), o.Err, o.Refused)
		}
	}
}

// at is the time of all that happens here.
func (w *world) at() time.Time { return by().Origin.Time }

func (w *world) of(node string) nodeview.View { return nodeview.Of(w.store.View(), node) }

// app makes an app of the services web (port 8080 to 80) and db.
func (w *world) app(id string, port uint16) {
	w.t.Helper()
	image := model.ContainerSpec{Image: "library/welcome:1", Restart: model.RestartAlways}
	w.do(&command.PutApp{Head: by(), ServiceIDs: map[string]string{"web": id + "-web", "db": id + "-db"},
		App: model.App{Meta: model.Meta{ID: id, Name: id}, TenantID: "t1", EnvironmentID: "e1", Spec: model.AppSpec{Services: map[string]model.ServiceSpec{
			"web": {Container: image, Replicas: 3, Ports: []model.PortSpec{{Protocol: model.TCP, HostPort: port, Container: 80}}},
			"db":  {Container: image, Replicas: 1},
		}}}})
}

func (w *world) container(service, id, node, address string, slot int, phase model.Phase) {
	w.t.Helper()
	c := model.Container{Meta: model.Meta{ID: id, Name: id}, ServiceID: service, Slot: slot, Revision: 1,
		Spec: model.ContainerSpec{Image: "library/welcome:1", Restart: model.RestartAlways}, Assign: model.Assignment{NodeID: node}}
	if address != "" {
		c.Assign.Address = netip.MustParseAddr(address)
	}
	w.do(&command.PutContainers{Head: by(), Containers: []model.Container{c}})
	if phase != model.PhasePending {
		w.do(&command.SetContainerStatus{Head: by(), NodeID: node, Items: []command.StatusItem{{ID: id, Status: model.ContainerStatus{Phase: phase, Task: 1}}}})
	}
}

func ids(v nodeview.View) []string {
	var out []string
	for _, c := range v.Containers {
		out = append(out, c.ID)
	}
	return out
}

func backends(v nodeview.View, port uint16) []string {
	out := []string{}
	for _, p := range v.Ports {
		if p.HostPort == port {
			for _, b := range p.Backends {
				out = append(out, b.String())
			}
		}
	}
	return out
}

func names(v nodeview.View) map[string]bool {
	out := map[string]bool{}
	for _, n := range v.Names {
		out[n.App+"/"+n.Service+"/"+n.Container+" "+n.Address.String()] = n.Serving
	}
	return out
}

func TestNothingIsKnownYet(t *testing.T) {
	if v := nodeview.Of(state.New().View(), "n1"); !reflect.DeepEqual(v, nodeview.View{}) {
		t.Errorf("without a cluster: %+v", v)
	}
	w := newWorld(t)
	v := w.of("n9")
	if v.Node != nil || v.Generation != 1 || v.Index != w.index || len(v.Containers)+len(v.Ports)+len(v.Names)+len(v.Volumes) > 0 {
		t.Errorf("a node that the cluster does not know: %+v", v)
	}
}

// TestOwnAndShared wants of other nodes the ports and names of the environment
// and nothing else.
func TestOwnAndShared(t *testing.T) {
	w := newWorld(t)
	w.app("shop", 8080)
	w.container("shop-web", "w1", "n1", "10.42.0.9", 1, model.PhaseRunning)
	w.container("shop-web", "w2", "n2", "10.42.1.10", 2, model.PhaseRunning)
	w.container("shop-web", "w3", "n2", "", 3, model.PhasePending) // no address yet
	w.container("shop-db", "d1", "n2", "10.42.1.3", 1, model.PhaseExited)
	for node, volumes := range map[string][]string{"n1": {"v2", "v1"}, "n2": {"v3"}} {
		for i, id := range volumes {
			w.do(&command.PutVolume{Head: by(), Volume: model.Volume{Meta: model.Meta{ID: id, Name: string(rune('a'+i)) + id}, TenantID: "t1", NodeID: node}})
		}
	}
	one, two := w.of("n1"), w.of("n2")
	if !slices.Equal(ids(one), []string{"w1"}) || !slices.Equal(ids(two), []string{"d1", "w2", "w3"}) {
		t.Errorf("containers %v and %v", ids(one), ids(two))
	}
	if !slices.Equal(one.Volumes, []string{"v2", "v1"}) || !slices.Equal(two.Volumes, []string{"v3"}) {
		t.Errorf("volumes %v and %v", one.Volumes, two.Volumes)
	}
	if one.Node.ID != "n1" || two.Node.ID != "n2" {
		t.Errorf("nodes %+v and %+v", one.Node, two.Node)
	}
	if !reflect.DeepEqual(one.Ports, two.Ports) || !reflect.DeepEqual(one.Names, two.Names) {
		t.Errorf("two nodes of an environment see different ports or names:\n%+v\n%+v", one, two)
	}
	if got := backends(one, 8080); !slices.Equal(got, []string{"10.42.0.9:80", "10.42.1.10:80"}) {
		t.Errorf("backends %v", got)
	}
	want := map[string]bool{"shop/web/w1 10.42.0.9": true, "shop/web/w2 10.42.1.10": true, "shop/db/d1 10.42.1.3": false}
	if got := names(one); !reflect.DeepEqual(got, want) {
		t.Errorf("names %v, want %v", got, want)
	}
}

// TestEffectiveStop lays the stop of an app and of a service over the intent of
// their containers, in the copy that the node sees and nowhere else.
func TestEffectiveStop(t *testing.T) {
	stopped := func(v nodeview.View) []string {
		var out []string
		for _, c := range v.Containers {
			if c.Intent.Stopped {
				out = append(out, c.ID)
			}
		}
		slices.Sort(out)
		return out
	}
	for _, c := range []struct {
		name     string
		cmd      command.Command
		want     []string
		backends int
	}{
		{"nothing", &command.PutTenant{Head: by(), Tenant: model.Tenant{Meta: model.Meta{ID: "t2", Name: "other"}}}, nil, 2},
		{"one container", &command.SetIntent{Head: by(), ContainerID: "w1", Action: command.ActionStop}, []string{"w1"}, 1},
		{"a service", &command.SetServiceStopped{Head: by(), ServiceID: "shop-web", Stopped: true}, []string{"w1", "w2"}, 0},
		{"another service", &command.SetServiceStopped{Head: by(), ServiceID: "shop-db", Stopped: true}, []string{"d1"}, 2},
		{"the app", &command.SetAppStopped{Head: by(), ID: "shop", Stopped: true}, []string{"d1", "w1", "w2"}, 0},
		{"another app", &command.SetAppStopped{Head: by(), ID: "blog", Stopped: true}, []string{"b1"}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.app("shop", 8080)
			w.app("blog", 8081)
			w.container("shop-web", "w1", "n1", "10.42.0.1", 1, model.PhaseRunning)
			w.container("shop-web", "w2", "n1", "10.42.0.2", 2, model.PhaseRunning)
			w.container("shop-db", "d1", "n1", "10.42.0.3", 1, model.PhaseRunning)
			w.container("blog-web", "b1", "n1", "10.42.0.4", 1, model.PhaseRunning)
			w.do(c.cmd)
			v := w.of("n1")
			if got := stopped(v); !slices.Equal(got, c.want) {
				t.Errorf("stopped: %v, want %v", got, c.want)
			}
			if got := backends(v, 8080); len(got) != c.backends {
				t.Errorf("backends of what is stopped: %v, want %d", got, c.backends)
			}
			if _, whole := c.cmd.(*command.SetAppStopped); !whole {
				return
			}
			for row := range w.store.View().Containers() {
				if row.Intent.Stopped {
					t.Errorf("the view has changed the state's own container %s", row.ID)
				}
			}
		})
	}
}

func TestServing(t *testing.T) {
	at := netip.MustParseAddr("10.42.0.1")
	one := func(id string, phase model.Phase, change func(*model.Container)) *model.Container {
		c := &model.Container{Meta: model.Meta{ID: id}, Assign: model.Assignment{Address: at}, Status: model.ContainerStatus{Phase: phase}}
		if change != nil {
			change(c)
		}
		return c
	}
	removed := func(c *model.Container) { c.Assign.Remove = true }
	halted := func(c *model.Container) { c.Intent.Stopped = true }
	nowhere := func(c *model.Container) { c.Assign.Address = netip.Addr{} }
	away := func(c *model.Container) { c.Assign.NodeID = "away" }
	for _, c := range []struct {
		name string
		in   []*model.Container
		want []string
	}{
		{"none", nil, nil},
		{"those that run", []*model.Container{one("a", model.PhaseStarting, nil), one("b", model.PhaseRunning, nil), one("c", model.PhaseRunning, nil)}, []string{"b", "c"}},
		{"while none runs, those on their way", []*model.Container{one("a", model.PhasePending, nil), one("b", model.PhasePreparing, nil), one("c", model.PhaseStarting, nil), one("d", model.PhaseBackoff, nil)}, []string{"a", "b", "c"}},
		{"not those that are over", []*model.Container{one("a", model.PhaseExited, nil), one("b", model.PhaseFailed, nil), one("c", model.PhaseStopping, nil)}, nil},
		{"not those of a node that is down", []*model.Container{one("a", model.PhaseRunning, away), one("b", model.PhaseRunning, nil)}, []string{"b"}},
		{"rather one that starts", []*model.Container{one("a", model.PhaseRunning, away), one("b", model.PhasePending, nil), one("c", model.PhasePending, away)}, []string{"b"}},
		{"unless there is no other", []*model.Container{one("a", model.PhaseRunning, away), one("b", model.PhaseStarting, away)}, []string{"a"}},
		{"not those that are to go", []*model.Container{one("a", model.PhaseRunning, removed), one("b", model.PhaseRunning, halted), one("c", model.PhaseRunning, nowhere), one("d", model.PhaseStarting, nil)}, []string{"d"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, s := range nodeview.Serving(c.in, map[string]bool{"away": true}) {
				got = append(got, s.ID)
			}
			if slices.SortFunc(got, cmp.Compare[string]); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// TestRemovedLosesItsName takes a container out of the names and ports as soon
// as it is to go, and out of the view only with its row.
func TestRemovedLosesItsName(t *testing.T) {
	w := newWorld(t)
	w.app("shop", 8080)
	w.container("shop-web", "w1", "n1", "10.42.0.1", 1, model.PhaseRunning)
	w.do(&command.AssignContainers{Head: by(), Items: []command.AssignItem{{ID: "w1", Assign: model.Assignment{NodeID: "n1", Address: netip.MustParseAddr("10.42.0.1"), Remove: true}}}})
	v := w.of("n1")
	if len(v.Names) != 0 || len(backends(v, 8080)) != 0 || !slices.Equal(ids(v), []string{"w1"}) {
		t.Errorf("to be removed: names %v, backends %v, containers %v", v.Names, backends(v, 8080), ids(v))
	}
	w.do(&command.ForgetContainers{Head: by(), NodeID: "n1", IDs: []string{"w1"}})
	if v := w.of("n1"); len(v.Containers) != 0 || len(v.Ports) != 1 {
		t.Errorf("removed: %+v", v)
	}
}
