package appliance

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/appliance/config"
	"github.com/skerryhq/skerry/appliance/operation"
	"github.com/skerryhq/skerry/appliance/pki"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/node"
	"github.com/skerryhq/skerry/raft/rafttest"
)

const password = "long enough 1"

// seedImages imports without an engine.
type seedImages struct {
	operation.Images
	hear func(context.Context) error
}

func (s seedImages) Import(ctx context.Context, tar io.Reader, _ api.Report) ([]operation.Stored, error) {
	if _, err := io.Copy(io.Discard, tar); err != nil {
		return nil, err
	}
	if err := s.hear(ctx); err != nil {
		return nil, err
	}
	return []operation.Stored{{Digest: "sha256:1"}}, nil
}

// unborn is a founder on a node in memory that belongs to no cluster yet. hear
// is called when the image has been read, before anything of it is written down.
func unborn(t *testing.T, hear func(context.Context) error) *founder {
	t.Helper()
	store := raft.NewInmemStore()
	_, trans := raft.NewInmemTransport(rafttest.NodeID)
	n, err := node.OpenWith(node.Config{ID: rafttest.NodeID, Version: "test", Election: 10 * time.Millisecond, Fatal: func(err error) { t.Error(err) }},
		node.Stores{Log: store, Stable: store, Snapshots: raft.NewInmemSnapshotStore(), Transport: trans})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	dir := t.TempDir()
	p := &parts{identity: identity{ID: rafttest.NodeID}, record: newRecord(dir, identity{ID: rafttest.NodeID}), node: n}
	if p.box, err = pki.OpenBox(dir + "/seal.key"); err != nil {
		t.Fatal(err)
	}
	if p.authority, err = pki.OpenAuthority(dir, p.box, time.Now()); err != nil {
		t.Fatal(err)
	}
	if p.certs, err = pki.OpenCertificates(pki.Config{Dir: dir, ID: rafttest.NodeID}, p.authority); err != nil {
		t.Fatal(err)
	}
	a := &Appliance{cfg: config.Config{Name: "one", Listen: "127.0.0.1:7443", DataDir: dir}}
	f := newFounder(a, p, seedImages{hear: hear})
	f.status = func() model.NodeStatus { return model.NodeStatus{Ready: true} }
	f.seeded = func() (io.Reader, error) { return strings.NewReader("an image"), nil }
	return f
}

// restarted is the founder of the next process on the same node.
func (f *founder) restarted() *founder {
	n := newFounder(f.a, f.p, f.images)
	n.status, n.seeded = f.status, f.seeded
	return n
}

func (f *founder) waits(t *testing.T) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	return f.wait(ctx) == nil
}

// pools lie where no test host has a network.
func pools() api.InitInput {
	return api.InitInput{Pool: "198.18.0.0/16", VipPool: "198.19.0.0/16"}
}

func withPassword() api.InitInput {
	in := pools()
	in.AdminPassword = password
	return in
}

func (f *founder) admin() bool {
	_, there := f.p.node.View().UserByName("admin")
	return there
}

// TestInitSurvivesItsClient ends the request in the middle of the birth: the
// cluster is whole all the same, its loops begin, and repeating is answered.
func TestInitSurvivesItsClient(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	f := unborn(t, func(ctx context.Context) error {
		leave()
		return ctx.Err() // as an import does it
	})
	if _, there := f.p.node.View().Cluster(); there {
		t.Fatal("a cluster from nowhere")
	}
	lost, err := f.Init(ctx, pools())
	if err != nil || lost.SetupToken == "" {
		t.Fatalf("%+v, %v", lost, err)
	}
	if !f.waits(t) {
		t.Fatal("the loops do not begin")
	}
	again, err := f.Init(t.Context(), pools())
	if err != nil || again.SetupToken != lost.SetupToken || again.ClusterID != lost.ClusterID || again.CaFingerprint == "" || len(again.ConsoleUrls) == 0 {
		t.Fatalf("repeated: %+v, %v; want %+v", again, err, lost)
	}
	cluster, _ := f.p.node.View().Cluster()
	user := model.User{Meta: model.Meta{ID: command.NewID(), Name: "ada"}, PasswordHash: "x"}
	if _, err := f.p.node.Propose(t.Context(), &command.UseSetupToken{Head: command.By(founding()), Hash: access.SecretHash(again.SetupToken), User: user}); err != nil {
		t.Fatalf("the token that was shown again does not work (cluster %s): %v", cluster.ID, err)
	}
	for _, in := range []api.InitInput{pools(), withPassword()} {
		if got, err := f.Init(t.Context(), in); model.CodeOf(err) != "already_initialized" {
			t.Fatalf("with an administrator: %+v, %v", got, err)
		}
	}
	if f.admin() {
		t.Fatal("a second administrator was made")
	}
}

// TestInitFinishesAnEarlierOne finds a cluster that an Init before a restart
// left without an administrator, and whose token nobody knows any more.
func TestInitFinishesAnEarlierOne(t *testing.T) {
	f := unborn(t, func(context.Context) error { return nil })
	if _, err := f.Init(t.Context(), pools()); err != nil {
		t.Fatal(err)
	}
	f = f.restarted()
	if !f.waits(t) {
		t.Fatal("the loops do not begin")
	}
	if got, err := f.Init(t.Context(), pools()); model.CodeOf(err) != "already_initialized" {
		t.Fatalf("a token that nobody knows: %+v, %v", got, err)
	}
	other := withPassword()
	other.Ports = "40000-40010"
	if got, err := f.Init(t.Context(), other); model.CodeOf(err) != "already_initialized" || f.admin() {
		t.Fatalf("other settings than the cluster's: %+v, %v", got, err)
	}
	got, err := f.Init(t.Context(), withPassword())
	if err != nil || got.SetupToken != "" || !f.admin() {
		t.Fatalf("with a password: %+v, %v", got, err)
	}
}

// TestInitAfterBootstrap repeats an Init that ended between joining the log and
// writing the cluster, and one that failed.
func TestInitAfterBootstrap(t *testing.T) {
	broken := errors.New("no space left on device")
	fail := true
	f := unborn(t, func(context.Context) error {
		if fail {
			return broken
		}
		return nil
	})
	if err := f.p.node.Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	f = f.restarted()
	if _, err := f.Init(t.Context(), withPassword()); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := f.wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("waiting for a cluster that is not there: %v", err)
	}
	fail = false
	if got, err := f.Init(t.Context(), withPassword()); err != nil || got.SetupToken != "" || !f.admin() {
		t.Fatalf("%+v, %v", got, err)
	}
	if !f.waits(t) {
		t.Fatal("the loops do not begin")
	}
}
