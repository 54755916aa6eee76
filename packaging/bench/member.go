package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"runtime/pprof"
	"syscall"
	"time"

	doors "github.com/skerryhq/skerry/appliance/peer"
	"github.com/skerryhq/skerry/appliance/pki"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/node"
)

// profileVariable names a folder where each member leaves its CPU profile.
const profileVariable = "SKERRY_BENCH_PROFILES"

// order is what the benchmark tells a member on its standard input, a line of
// JSON each; the member answers each with one.
type order struct {
	Found   bool   `json:"found,omitempty"`   // make the cluster with all others as voters
	Clients int    `json:"clients,omitempty"` // write with so many at a time
	Run     string `json:"run,omitempty"`     // prefix of the names of what is written
}

// answer is what a member says.
type answer struct {
	Err    string        `json:"err,omitempty"`
	Rate   rate          `json:"rate"`
	Writes int           `json:"writes"`
	CPU    time.Duration `json:"cpu"` // of this process since its start
}

// memberWord is the first argument of a process that is a member.
const memberWord = "member"

// memberArgs is the second: what it needs to know.
type memberArgs struct {
	ID        string            `json:"id"`
	Dir       string            `json:"dir"`
	Addresses map[string]string `json:"addresses"` // of all members, by id
}

// roster is the directory of members that never change.
type roster struct {
	addresses map[string]string
	trust     []byte
}

func (r roster) Cluster() (string, uint64) { return "cluster", 1 }
func (r roster) Authorities() []byte       { return r.trust }

func (r roster) Node(id string) (doors.Node, bool, error) {
	a, ok := r.addresses[id]
	return doors.Node{ID: id, Name: id, Role: model.NodeMember, Address: a}, ok, nil
}

func (r roster) Nodes() []doors.Node {
	var all []doors.Node
	for id := range r.addresses {
		n, _, _ := r.Node(id)
		all = append(all, n)
	}
	return all
}

// beMember is a process that is one member: the product's doors and raft with
// its files, and nothing else.
func beMember(ctx context.Context, text string) (err error) {
	debug.SetGCPercent(200) // as `skerry daemon` does
	var a memberArgs
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		return err
	}
	if dir := os.Getenv(profileVariable); dir != "" {
		f, err := os.Create(filepath.Join(dir, a.ID+".pprof"))
		if err != nil {
			return err
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return errors.Join(err, f.Close())
		}
		defer func() { pprof.StopCPUProfile(); _ = f.Close() }()
	}
	box, err := pki.OpenBox(filepath.Join(a.Dir, "seal.key"))
	if err != nil {
		return err
	}
	ca, err := pki.OpenAuthority(a.Dir, box, time.Now())
	if err != nil {
		return err
	}
	own := filepath.Join(a.Dir, a.ID)
	certs, err := pki.OpenCertificates(pki.Config{Dir: filepath.Join(own, "pki"), ID: a.ID, Role: model.NodeMember, Hosts: func() []string { return []string{"127.0.0.1"} }}, ca)
	if err != nil {
		return err
	}
	opened := make(chan struct{})
	var n *node.Node
	server, err := doors.New(doors.Config{
		NodeID: a.ID, Version: "bench", Certs: certs, Directory: roster{a.Addresses, ca.CertPEM},
		Advertise: func() string { return a.Addresses[a.ID] },
		Apply: func(ctx context.Context, envelopes [][]byte) (uint64, []command.Outcome, error) {
			<-opened
			r, err := n.ProposeEncoded(ctx, envelopes)
			return r.Index, r.Outcomes, err
		},
		ReadIndex: func(ctx context.Context) (uint64, error) { <-opened; return n.LocalReadIndex(ctx) },
		Log:       slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", a.Addresses[a.ID])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx, listener) }()
	defer func() { cancel(); err = errors.Join(err, <-ended) }()
	if n, err = node.Open(node.Config{Dir: own, ID: a.ID, Version: "bench", Stream: server.Stream(), Forward: server.Peers()}); err != nil {
		return err
	}
	close(opened)
	defer func() { err = errors.Join(err, n.Close()) }()
	out := json.NewEncoder(os.Stdout)
	for in := json.NewDecoder(os.Stdin); ; {
		var o order
		if err := in.Decode(&o); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := out.Encode(obey(ctx, n, a, o)); err != nil {
			return err
		}
	}
}

// obey does what an order says.
func obey(ctx context.Context, n *node.Node, a memberArgs, o order) (r answer) {
	var err error
	switch {
	case o.Found:
		err = foundCluster(ctx, n)
		for id := range a.Addresses {
			if err == nil && id != a.ID {
				err = within(ctx, 20*time.Second, func(ctx context.Context) error { return n.AddVoter(ctx, id) })
			}
		}
	case o.Clients > 0:
		begun := time.Now()
		r.Rate, err = repeatedly(ctx, o.Clients, func(ctx context.Context, client, i int) error {
			now := time.Now().UTC()
			_, err := n.Propose(ctx, &command.PutVolume{
				Head: command.By(model.Origin{Actor: "bench", RequestID: o.Run, Time: now}),
				Volume: model.Volume{
					Meta: meta(fmt.Sprintf("%s-%d-%d", o.Run, client, i), now), TenantID: "default", NodeID: "bench",
					Spec: model.VolumeSpec{Driver: "local"},
				},
			})
			return err
		})
		r.Writes = int(r.Rate.PerSecond * time.Since(begun).Seconds())
	}
	if err != nil {
		r.Err = err.Error()
	}
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) == nil {
		r.CPU = time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return r
}

// memberProcess is a member as the benchmark holds it.
type memberProcess struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// tell gives an order and waits for the answer.
func (m *memberProcess) tell(o order) (answer, error) {
	if err := json.NewEncoder(m.in).Encode(o); err != nil {
		return answer{}, err
	}
	line, err := m.out.ReadBytes('\n')
	if err != nil {
		return answer{}, fmt.Errorf("a member ended: %w", err)
	}
	var r answer
	if err := json.Unmarshal(line, &r); err != nil {
		return answer{}, err
	}
	if r.Err != "" {
		return r, errors.New(r.Err)
	}
	return r, nil
}

// startMembers starts three members, a process each, that talk by mutual TLS on
// loopback. One writer has all its clients at the leader, the other at a
// follower, which forwards.
func startMembers(ctx context.Context, dir string) (byLeader, byFollower writer, stop func() error, err error) {
	var all []*memberProcess
	stop = func() error {
		var errs []error
		for _, m := range all {
			errs = append(errs, m.in.Close())
		}
		for _, m := range all {
			errs = append(errs, m.cmd.Wait())
		}
		return errors.Join(errs...)
	}
	fail := func(err error) (writer, writer, func() error, error) {
		return writer{}, writer{}, nil, errors.Join(err, stop())
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fail(err)
	}
	box, err := pki.OpenBox(filepath.Join(dir, "seal.key"))
	if err != nil {
		return fail(err)
	}
	if _, err := pki.OpenAuthority(dir, box, time.Now()); err != nil { // before the members look for it
		return fail(err)
	}
	addresses := map[string]string{}
	for i := range members {
		port, err := freePort()
		if err != nil {
			return fail(err)
		}
		addresses[memberID(i)] = fmt.Sprintf("127.0.0.1:%d", port)
	}
	for i := range members {
		text, err := json.Marshal(memberArgs{ID: memberID(i), Dir: dir, Addresses: addresses})
		if err != nil {
			return fail(err)
		}
		cmd := exec.CommandContext(ctx, "/proc/self/exe", memberWord, string(text))
		cmd.Stderr = os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		in, err1 := cmd.StdinPipe()
		out, err2 := cmd.StdoutPipe()
		if err := errors.Join(err1, err2); err != nil {
			return fail(err)
		}
		if err := cmd.Start(); err != nil {
			return fail(err)
		}
		all = append(all, &memberProcess{cmd, in, bufio.NewReader(out)})
	}
	if _, err := all[0].tell(order{Found: true}); err != nil {
		return fail(fmt.Errorf("found the cluster: %w", err))
	}
	run := 0 // makes names unique; runs follow one another
	through := func(m *memberProcess) func(context.Context, int) (rate, error) {
		return func(_ context.Context, clients int) (rate, error) {
			run++
			before, err := totalCPU(all)
			if err != nil {
				return rate{}, err
			}
			r, err := m.tell(order{Clients: clients, Run: fmt.Sprintf("c%d", run)})
			if err != nil {
				return rate{}, err
			}
			after, err := totalCPU(all)
			note("%d clients: %.0f us of processor time a write in all members", clients, float64((after-before).Microseconds())/float64(max(r.Writes, 1)))
			return r.Rate, err
		}
	}
	return writer{name: "ours", write: through(all[0])}, writer{name: "ours_forwarded", write: through(all[1])}, stop, nil
}

// totalCPU is the processor time of all members since their start.
func totalCPU(all []*memberProcess) (time.Duration, error) {
	var sum time.Duration
	for _, m := range all {
		r, err := m.tell(order{})
		if err != nil {
			return 0, err
		}
		sum += r.CPU
	}
	return sum, nil
}
