package peer

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/node"
)

// leader answers forwarded writes: the first byte of the first envelope says how.
type leader struct {
	index atomic.Uint64
	stuck chan struct{} // closed when calls may go on
}

func (l *leader) apply(ctx context.Context, envelopes [][]byte) (uint64, []command.Outcome, error) {
	switch envelopes[0][0] {
	case 'n':
		return 0, nil, model.Errorf(model.KindUnavailable, "no_leader", "this node does not lead any more")
	case 'u':
		return 0, nil, &model.Error{Kind: model.KindUnavailable, Code: "outcome_unknown", Detail: "nobody knows whether this was done", Err: node.ErrOutcomeUnknown}
	case 's':
		select {
		case <-l.stuck:
		case <-ctx.Done():
			return 0, nil, ctx.Err()
		}
	}
	out := make([]command.Outcome, len(envelopes))
	for i, e := range envelopes {
		switch e[0] {
		case 'r':
			out[i].Err = model.Errorf(model.KindConflict, "name_taken", "there is one named %s already", e[1:]).At("name")
		case 'p':
			out[i].Refused = []command.Refusal{{ID: string(e[1:]), Err: model.Errorf(model.KindNotFound, "not_found", "there is no such container here")}}
		}
	}
	return l.index.Add(1), out, nil
}

func newLeader(t *testing.T) (*rig, *leader, *host, *host) {
	t.Helper()
	r, l := newRig(t), &leader{stuck: make(chan struct{})}
	a := r.add("a", model.NodeMember, func(c *Config) {
		c.Apply = l.apply
		c.ReadIndex = func(context.Context) (uint64, error) { return l.index.Load(), nil }
	})
	return r, l, a, r.add("b", model.NodeMember, nil)
}

func TestForward(t *testing.T) {
	_, _, _, b := newLeader(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	index, outcomes, err := b.Peers().Forward(ctx, "a", [][]byte{[]byte("x1"), bytes.Repeat([]byte("x"), 1<<20)})
	if err != nil || index != 1 || len(outcomes) != 2 || outcomes[0].Err != nil {
		t.Fatalf("%d %+v %v", index, outcomes, err)
	}
	_, outcomes, err = b.Peers().Forward(ctx, "a", [][]byte{[]byte("x1"), []byte("rweb"), []byte("pc1")})
	if err != nil || len(outcomes) != 3 || outcomes[0].Err != nil || outcomes[1].Err.Error() != "name: there is one named web already" || outcomes[1].Err.Kind != model.KindConflict ||
		outcomes[2].Refused[0].ID != "c1" || outcomes[2].Refused[0].Err.Code != "not_found" {
		t.Fatalf("%+v %v", outcomes, err)
	}
	_, _, err = b.Peers().Forward(ctx, "a", [][]byte{[]byte("n")})
	code(t, err, "no_leader")
	_, _, err = b.Peers().Forward(ctx, "a", [][]byte{[]byte("u")})
	code(t, err, "outcome_unknown")
	if !errors.Is(err, node.ErrOutcomeUnknown) {
		t.Errorf("%v is not ErrOutcomeUnknown", err)
	}
	if i, err := b.Peers().ReadIndex(ctx, "a"); err != nil || i != 2 {
		t.Errorf("read index %d, %v", i, err)
	}
	_, _, err = b.Peers().Forward(ctx, "nobody", [][]byte{[]byte("x")})
	code(t, err, "node_unreachable")
	if !errors.Is(err, node.ErrNotDone) {
		t.Errorf("%v is not ErrNotDone", err)
	}
	_, _, err = b.Peers().Forward(ctx, "a", [][]byte{make([]byte, maxFrame)})
	code(t, err, "command_too_large")
}

// TestForwardConcurrently holds that calls share one connection and none gets
// another's answer.
func TestForwardConcurrently(t *testing.T) {
	_, _, _, b := newLeader(t)
	var work sync.WaitGroup
	for i := range 64 {
		work.Go(func() {
			for k := range 50 {
				name := fmt.Sprintf("%d-%d", i, k)
				_, out, err := b.Peers().Forward(t.Context(), "a", [][]byte{[]byte("r" + name)})
				if err != nil || !strings.Contains(out[0].Err.Detail, " "+name+" ") {
					t.Errorf("%s: %v %v", name, out, err)
					return
				}
			}
		})
	}
	work.Wait()
	b.peers.mu.Lock()
	defer b.peers.mu.Unlock()
	n := 0
	for c := range b.peers.open {
		if c.ConnectionState().NegotiatedProtocol == protoPropose {
			n++
		}
	}
	if n != 1 {
		t.Errorf("there are %d connections", n)
	}
}

// TestForwardBreaks holds that a call whose connection breaks says that its
// outcome is unknown, and that the next one begins anew.
func TestForwardBreaks(t *testing.T) {
	_, l, _, b := newLeader(t)
	errs := make(chan error, 1)
	go func() {
		_, _, err := b.Peers().Forward(t.Context(), "a", [][]byte{[]byte("s")})
		errs <- err
	}()
	within(t, 5*time.Second, "the call is on its way", func() bool {
		b.peers.mu.Lock()
		defer b.peers.mu.Unlock()
		k := b.peers.links["a"]
		if k == nil {
			return false
		}
		k.mu.Lock()
		defer k.mu.Unlock()
		return len(k.calls) == 1
	})
	b.peers.closeAll()
	if err := <-errs; !errors.Is(err, node.ErrOutcomeUnknown) {
		t.Fatalf("got %v", err)
	}
	if _, _, err := b.Peers().Forward(t.Context(), "a", [][]byte{[]byte("x")}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, _, err := b.Peers().Forward(ctx, "a", [][]byte{[]byte("s")}); !errors.Is(err, node.ErrOutcomeUnknown) {
		t.Fatalf("got %v", err)
	}
	close(l.stuck)
}

// TestForwardHostileFrames holds that damaged frames end the connection or are
// refused, and nothing else.
func TestForwardHostileFrames(t *testing.T) {
	r, _, a, b := newLeader(t)
	certs := certificates(t, r.ca, "c", model.NodeMember)
	a.dir.set(func(d *nodes) { d.all["c"] = Node{ID: "c", Role: model.NodeMember} })
	body := func(kind byte, b []byte) []byte { return frame{kind: kind, call: 7, body: b}.append(nil) }
	for name, tc := range map[string]struct {
		send    []byte
		refusal string // empty: the connection ends
	}{
		"huge":            {send: binary.BigEndian.AppendUint32(nil, 1<<31)},
		"too short":       {send: binary.BigEndian.AppendUint32(nil, 3)},
		"garbage":         {send: bytes.Repeat([]byte("garbage"), 100)},
		"unknown kind":    {body(99, nil), "frame_unknown"},
		"no envelopes":    {body(kindPropose, []byte{0}), "frame_damaged"},
		"empty":           {body(kindPropose, nil), "frame_damaged"},
		"many, announced": {body(kindPropose, binary.AppendUvarint(nil, 1<<40)), "frame_damaged"},
		"long, announced": {body(kindPropose, []byte{1, 0xff, 0xff, 0xff, 0x7f, 'x'}), "frame_damaged"},
		"more behind":     {body(kindPropose, []byte{1, 1, 'x', 'y'}), "frame_damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			c, answer, err := hostile(t, a, certs.Node(), protoPropose, greeting("c"))
			if err != nil || answer.Refused != nil {
				t.Fatalf("%+v, %v", answer, err)
			}
			_, _ = c.Write(tc.send)
			if tc.refusal == "" {
				if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
					t.Fatal("the connection was kept")
				}
				return
			}
			got := make([]byte, 4+frameHead)
			if _, err := io.ReadFull(c, got); err != nil {
				t.Fatal(err)
			}
			rest := make([]byte, binary.BigEndian.Uint32(got)-frameHead)
			if _, err := io.ReadFull(c, rest); err != nil {
				t.Fatal(err)
			}
			_, err = frame{kind: got[4], body: rest}.orError()
			code(t, err, tc.refusal)
		})
	}
	if _, _, err := b.Peers().Forward(t.Context(), "a", [][]byte{[]byte("x")}); err != nil {
		t.Fatalf("others suffer: %v", err)
	}
}

func FuzzSplitEnvelopes(f *testing.F) {
	f.Add(joinEnvelopes([][]byte{[]byte("a"), []byte("bc")}))
	f.Fuzz(func(t *testing.T, in []byte) {
		all, err := splitEnvelopes(in)
		if err != nil {
			return
		}
		again, err := splitEnvelopes(joinEnvelopes(all))
		if err != nil || len(again) != len(all) {
			t.Fatalf("%x: %v", in, err)
		}
		for i := range all {
			if !bytes.Equal(all[i], again[i]) {
				t.Fatalf("%x", in)
			}
		}
	})
}

func FuzzUnpackOutcomes(f *testing.F) {
	plain, _ := packOutcomes(7, make([]command.Outcome, 3))
	f.Add(plain)
	refused, _ := packOutcomes(7, []command.Outcome{{Err: model.Errorf(model.KindConflict, "x", "a sentence")}})
	f.Add(refused)
	f.Fuzz(func(t *testing.T, in []byte) {
		if _, all, err := unpackOutcomes(in); err == nil && len(all) > maxOutcomes {
			t.Fatal("too many outcomes")
		}
	})
}
