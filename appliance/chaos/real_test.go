package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/appliance/apptest"
	"github.com/skerryhq/skerry/raft/model"
)

// chaosPort is the first of the ports that pairs of apps publish.
const chaosPort = 8000

// bedCloud is hosts with the built binary; clients speak to their sockets, so
// that a host that is cut off still has clients.
type bedCloud struct {
	bed *apptest.Bed
}

func (b bedCloud) size() int { return b.bed.Size() }

// do sends a request to a host.
func (b bedCloud) do(ctx context.Context, node int, in input, seen uint64) output {
	var method, path string
	var body any
	var headers []string
	pair, _ := place(in.name)
	switch in.kind {
	case create:
		method, path = http.MethodPost, "/api/v1/apps"
		body = map[string]any{"name": in.name, "pull": "never", "services": map[string]any{in.name: map[string]any{
			"replicas": in.replicas, "ports": []map[string]any{{"hostPort": chaosPort + pair, "containerPort": 80}},
			"container": map[string]any{"image": "probe", "command": []string{"tcp", "80"}, "restart": "always", "stopGraceSeconds": 1}}}}
	case scale: // what the name means is looked up in the newest state
		method, path = http.MethodPatch, "/api/v1/services/"+in.name+"?consistency=strong"
		body = map[string]any{"replicas": in.replicas}
	case remove:
		method, path = http.MethodDelete, "/api/v1/apps/"+in.name+"?force=true&consistency=strong"
	case strong:
		method, path = http.MethodGet, "/api/v1/apps/"+in.name+"?consistency=strong"
	case local:
		method, path = http.MethodGet, "/api/v1/apps/"+in.name
	}
	if seen > 0 {
		headers = []string{"Skerry-Index", strconv.FormatUint(seen, 10)}
	}
	status, answer, header := b.bed.Ask(ctx, node, method, path, body, headers...)
	reads := in.kind == strong || in.kind == local
	switch {
	case status == apptest.NotSent || status == 0 && reads:
		return output{why: notDone}
	case status == 0:
		return output{why: unknown}
	}
	var out output
	if index := header.Get("Skerry-Index"); index != "" {
		out.index, _ = strconv.ParseUint(index, 10, 64) // 0 if it is none, which the judge refuses
	}
	if status < 300 {
		if reads {
			out.slot = appSlot(answer, in.name)
		}
		return out
	}
	out.why = refusal(status, answer)
	if reads && out.why == notThere {
		out.why = "" // that is what was read
	} else if reads {
		out.why = notDone
	}
	return out
}

// appSlot reads an app from the API's answer.
func appSlot(answer []byte, name string) slot {
	var a struct {
		Removing bool
		Status   struct{ Phase string }
		Spec     struct {
			Services map[string]struct{ Replicas int }
		}
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		return slot{present, -1} // which nobody wrote
	}
	if a.Removing || a.Status.Phase == "removing" {
		return slot{phase: leaving}
	}
	return slot{present, a.Spec.Services[name].Replicas}
}

// refusal is what a client may conclude from an answer.
func refusal(status int, answer []byte) string {
	var p struct{ Code, Detail string }
	if err := json.Unmarshal(answer, &p); err != nil {
		return fmt.Sprintf("unexpected: %d %s", status, answer)
	}
	switch p.Code {
	case "name_taken", "port_taken", "not_found":
		return p.Code
	case "app_removing", "service_removing", "container_removing":
		return going
	case "no_leader", "closing", "busy", "index_not_applied", "index_not_reached", "not_initialized", "not_ready", "image_not_found", "image_missing":
		return notDone
	}
	if status >= 500 {
		return unknown
	}
	return fmt.Sprintf("unexpected: %d %s: %s", status, p.Code, p.Detail)
}

// ordeal is the faults of a run, done by one goroutine.
type ordeal struct {
	t   testing.TB
	bed *apptest.Bed
	r   *rand.Rand
	did []string // in order, for the report
}

// faults does things to the hosts until ctx ends.
func (o *ordeal) faults(ctx context.Context) {
	begun := time.Now()
	for {
		pause := time.NewTimer(time.Duration(300+o.r.IntN(1700)) * time.Millisecond)
		select {
		case <-ctx.Done():
			pause.Stop()
			return
		case <-pause.C:
		}
		i := o.r.IntN(o.bed.Size())
		n := o.bed.Host(i)
		what := ""
		switch o.r.IntN(13) {
		case 0, 1:
			what = "daemon killed"
			n.Kill()
		case 2:
			what = "daemon restarted"
			n.Stop()
			n.Launch()
		case 3:
			what = "host lost and back"
			n.Reboot()
			n.Launch()
		case 4, 5:
			what = "cut off"
			o.bed.Cut(i)
		case 6:
			what = "parted from the next"
			o.bed.CutBetween(i, (i+1)%o.bed.Size())
		case 7:
			what = "wire healed"
			o.bed.Heal()
		case 8:
			what = "address changed"
			o.move(i)
		case 9:
			what = "disk full"
			if o.bed.Size() > 1 {
				for j := range o.bed.Size() { // on one at a time
					o.bed.Host(j).FreeDisk()
				}
			}
			n.FullDisk()
		case 10:
			what = "disk slow"
			n.SlowDisk(time.Duration(5+o.r.IntN(100)) * time.Millisecond)
		case 11:
			offset := time.Duration(o.r.IntN(1200)-600) * time.Second
			what = "clock off by " + offset.String()
			o.bed.Clock(i, offset)
		case 12:
			what = "everything that was down is started"
			o.raise()
		}
		o.did = append(o.did, fmt.Sprintf("%5.1f s: n%d: %s", time.Since(begun).Seconds(), i+1, what))
	}
}

// move gives a host an address that nobody has had.
func (o *ordeal) move(i int) {
	last := o.bed.Host(i).Host.Address.As4()[3]
	for {
		next := byte(20 + o.r.IntN(200))
		if next/8 != last/8 && int(next)%o.bed.Size() == i {
			o.bed.SetAddress(i, netip.AddrFrom4([4]byte{192, 0, 2, next}))
			return
		}
	}
}

// raise gives disks their room and starts daemons that have ended.
func (o *ordeal) raise() {
	for i := range o.bed.Size() {
		n := o.bed.Host(i)
		n.FreeDisk()
		if over, _ := n.Ended(); over {
			n.Kill()
			n.Launch()
		}
	}
}

// mend undoes everything and waits until the cluster is whole.
func (o *ordeal) mend() {
	o.t.Helper()
	o.bed.Heal()
	for i := range o.bed.Size() {
		o.bed.Clock(i, 0)
	}
	o.raise()
	o.bed.AwaitReady(60 * time.Second)
}

// TestReal runs hosts with the built binary, a seed each; -real says how many.
func TestReal(t *testing.T) {
	if *realRuns == 0 {
		t.Skip("-real 0")
	}
	var bed *apptest.Bed
	requests, lost := 0, 0
	for seed := *firstSeed; seed < *firstSeed+uint64(*realRuns); seed++ {
		if bed == nil {
			bed = apptest.NewBed(t, *hosts)
			for i := range *hosts {
				bed.Host(i).RaftDisk(96)
			}
			bed.Form()
			bed.Host(0).Probe()
		}
		ok := t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			events := try(t, bed.In(t), seed)
			requests += len(events)
			for _, e := range events {
				if e.out.why == unknown {
					lost++
				}
			}
		})
		if !ok {
			break // what is left of a run that failed is no ground for the next
		}
	}
	t.Logf("%d requests, of which %d with an unknown outcome", requests, lost)
}

// try is one real run.
func try(t *testing.T, bed *apptest.Bed, seed uint64) []event {
	o := &ordeal{t: t, bed: bed, r: rand.New(rand.NewPCG(seed, 2))}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("what was done:\n%s", strings.Join(o.did, "\n"))
		}
	})
	c := &crew{cloud: bedCloud{bed}, clients: 8, think: 150 * time.Millisecond, limit: 8 * time.Second, most: 2}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	over := make(chan []event, 1)
	go func() { over <- c.work(ctx, seed) }()
	o.faults(ctx)
	events := <-over
	begun := time.Now()
	o.mend()
	t.Logf("%d requests, %d faults; whole again after %.1f s", len(events), len(o.did), time.Since(begun).Seconds())
	at := time.Hour
	for i := range bed.Size() {
		for p := range pairs * 2 {
			e := event{client: 100 + i, node: i, in: input{kind: strong, name: appName(p/2, p%2)}, call: at, finish: at + time.Second}
			if e.out = c.cloud.do(t.Context(), i, e.in, 0); e.out.why != "" {
				t.Errorf("n%d does not answer after everything is healed: %s", i+1, e.out.why)
			}
			events = append(events, e)
		}
	}
	judge(t, events)
	agree(t, bed)
	empty(t, bed)
	return events
}

// agree waits until what every host runs and lets through is what the state
// says, and that is what was asked for.
func agree(t *testing.T, bed *apptest.Bed) {
	t.Helper()
	why := ""
	for deadline := time.Now().Add(60 * time.Second); ; {
		if why = differs(bed); why == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("hosts and state differ for a minute: %s", why)
		}
		<-time.After(100 * time.Millisecond)
	}
}

// differs says where hosts and state differ.
func differs(bed *apptest.Bed) string {
	type page[T any] struct{ Items []T }
	var first page[model.Container]
	var services page[model.Service]
	if bed.Get(0, "/api/v1/containers?limit=500&consistency=strong", &first) != http.StatusOK || bed.Get(0, "/api/v1/services?limit=500", &services) != http.StatusOK {
		return "n1 does not answer"
	}
	nodes := bed.Nodes(0)
	running := map[string][]string{} // service -> addresses
	for i := range bed.Size() {
		var same page[model.Container]
		if bed.Get(i, "/api/v1/containers?limit=500&consistency=strong", &same) != http.StatusOK {
			return bed.Host(i).Name + " does not answer"
		}
		var want []string
		for _, c := range same.Items {
			if c.Status.Phase != model.PhaseRunning {
				return fmt.Sprintf("%s is %s %v", c.Name, c.Status.Phase, c.Status.Conditions)
			}
			if c.Assign.NodeID == nodes[bed.Host(i).Name].ID {
				want = append(want, c.ID)
				running[c.ServiceID] = append(running[c.ServiceID], c.Assign.Address.String()+":80")
			}
		}
		if len(same.Items) != len(first.Items) {
			return fmt.Sprintf("n1 knows %d containers, n%d %d", len(first.Items), i+1, len(same.Items))
		}
		slices.Sort(want)
		if got := bed.Host(i).Tasks(); !slices.Equal(got, want) {
			return fmt.Sprintf("n%d runs %v, the state says %v", i+1, got, want)
		}
	}
	ports := map[string][]string{}
	for _, s := range services.Items {
		if len(running[s.ID]) != s.Spec.Replicas {
			return fmt.Sprintf("%s runs %d times, not %d", s.Name, len(running[s.ID]), s.Spec.Replicas)
		}
		for _, p := range s.Ports {
			slices.Sort(running[s.ID])
			ports[strconv.Itoa(int(p.HostPort))] = running[s.ID]
		}
	}
	for i := range bed.Size() {
		got := bed.Host(i).Published()
		for port := range got {
			if !slices.Contains(chaosPorts(), port) {
				delete(got, port)
			}
		}
		if !reflect.DeepEqual(got, ports) {
			return fmt.Sprintf("n%d publishes %v, the state says %v", i+1, got, ports)
		}
	}
	return ""
}

func chaosPorts() []string {
	var out []string
	for p := range pairs {
		out = append(out, strconv.Itoa(chaosPort+p))
	}
	return out
}

// empty removes the apps, for the next run.
func empty(t *testing.T, bed *apptest.Bed) {
	t.Helper()
	for p := range pairs * 2 {
		path := "/api/v1/apps/" + appName(p/2, p%2) + "?force=true&wait=30"
		if status, answer, _ := bed.Ask(t.Context(), 0, http.MethodDelete, path, nil); status != http.StatusNotFound && status != http.StatusAccepted {
			t.Errorf("DELETE %s: %d %s", path, status, answer)
		}
	}
	agree(t, bed)
}
