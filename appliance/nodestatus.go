package appliance

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v3/mem"
	"golang.org/x/sys/unix"

	"github.com/skerryhq/skerry/appliance/agent"
	"github.com/skerryhq/skerry/appliance/nodeview"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
)

// nodeStatus is what this node says about itself.
func (a *Appliance) nodeStatus(p *parts) model.NodeStatus {
	port := netip.MustParseAddrPort(a.cfg.Listen).Port()
	st := model.NodeStatus{
		Ready: true, Address: net.JoinHostPort(advertised(a.cfg), strconv.Itoa(int(port))),
		SkerryVersion: version, OS: osName(), Kernel: kernel(), Architecture: runtime.GOARCH, CPUs: runtime.NumCPU(),
		Authority: p.certs.Authority(), Trusts: p.certs.Trusts(),
	}
	if m, err := mem.VirtualMemory(); err == nil {
		st.MemoryBytes = int64(m.Total)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	v, err := p.containers.EngineVersion(ctx)
	if err != nil {
		st.Ready = false
		st.Conditions = []model.Condition{{Type: "Ready", Reason: "EngineAway", Message: "the engine does not answer; it is being restarted", Since: time.Now().UTC()}}
		return st
	}
	st.EngineVersion = v
	return st
}

// reportNode keeps the node's word about itself up to date.
func (a *Appliance) reportNode(ctx context.Context, p *parts, views nodeview.Source, proposer agent.Proposer) error {
	const every, again = 10 * time.Second, time.Second
	for {
		wait := every
		st := a.nodeStatus(p)
		if n := views.Now().Node; n != nil && !same(n.Status, st) {
			cmd := &command.SetNodeStatus{Head: command.By(model.Origin{Actor: "system:node", Time: time.Now().UTC()}), NodeID: p.identity.ID, Status: st}
			if _, err := proposer.Propose(ctx, cmd); err != nil && !errors.Is(err, context.Canceled) {
				a.log.Warn("node status not written, trying again", "err", err)
				wait = again
			}
		}
		if !st.Ready {
			wait = again
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// same compares two statuses but for the time since when a condition holds.
func same(a, b model.NodeStatus) bool {
	plain := func(s model.NodeStatus) model.NodeStatus {
		list := make([]model.Condition, 0, len(s.Conditions))
		for _, c := range s.Conditions {
			c.Since = time.Time{}
			list = append(list, c)
		}
		s.Conditions = list
		return s
	}
	return reflect.DeepEqual(plain(a), plain(b))
}

// osName is the distribution's own name for itself.
func osName() string {
	b, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return runtime.GOOS
	}
	for line := range strings.Lines(string(b)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); ok {
			return strings.Trim(name, `"`)
		}
	}
	return runtime.GOOS
}

func kernel() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}
