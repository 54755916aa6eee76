package agent

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerryhq/skerry/appliance/nodeview"
	"github.com/skerryhq/skerry/netfw/link"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/node"
	"github.com/skerryhq/skerry/raft/rafttest"
	"github.com/skerryhq/skerry/runtime/volume"
	"github.com/skerryhq/skerry/runtime/workload"
)

// An engine and a network that hold nothing.
type (
	noContainers struct{ Containers }
	noLinks      struct{ Links }
)

func (noContainers) Sweep(context.Context) (int, error)             { return 0, nil }
func (noContainers) List(context.Context) ([]workload.State, error) { return nil, nil }
func (noLinks) List() (link.Present, error)                         { return link.Present{}, nil }

// disk is a real folder of volumes with one file in each, and an agent on it.
type disk struct {
	*Agent
	t    *testing.T
	node *node.Node
	root string
	said *strings.Builder
}

func newDisk(t *testing.T, wrap func(Volumes) Volumes) *disk {
	t.Helper()
	d := &disk{t: t, node: rafttest.Single(t), root: filepath.Join(t.TempDir(), "volumes"), said: &strings.Builder{}}
	store, err := volume.New(d.root)
	if err != nil {
		t.Fatal(err)
	}
	d.Agent = New(Config{NodeID: rafttest.NodeID, Views: nodeview.Local(d.node.Store(), rafttest.NodeID), Containers: noContainers{}, Links: noLinks{}, Volumes: wrap(store),
		Log: slog.New(slog.NewTextHandler(d.said, nil))})
	return d
}

func plain(v Volumes) Volumes { return v }

// fill gives a volume data; row says that the cluster knows it.
func (d *disk) fill(id string, row bool) {
	d.t.Helper()
	if row {
		d.do(&command.PutVolume{Head: command.By(origin("test")), Volume: model.Volume{Meta: model.Meta{ID: id, Name: id}, TenantID: rafttest.TenantID, NodeID: rafttest.NodeID}})
	}
	p, err := d.cfg.Volumes.Ensure(id)
	if err != nil {
		d.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p, "f"), []byte(id), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

func (d *disk) do(c command.Command) {
	d.t.Helper()
	if _, err := d.node.Propose(d.t.Context(), c); err != nil {
		d.t.Fatal(err)
	}
}

func (d *disk) forget(id string) {
	d.t.Helper()
	d.do(&command.DeleteVolume{Head: command.By(origin("test")), ID: id, ExpectVersion: command.AnyVersion})
}

func (d *disk) look() { d.see(d.t.Context(), nodeview.Of(d.node.View(), rafttest.NodeID), nil) }

// holds wants the data to be below the root, or not.
func (d *disk) holds(path string, want bool) {
	d.t.Helper()
	_, err := os.Stat(filepath.Join(d.root, path, "_data", "f"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) || want != (err == nil) {
		d.t.Errorf("data in %s: %v, want %v", path, err, want)
	}
}

// TestVolumeDataGoesWithItsRow deletes volumes while the agent watches: their
// data goes at once, the others' never.
func TestVolumeDataGoesWithItsRow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(t, plain)
		d.fill("early", true)
		d.fill("kept", true)
		if _, err := d.adopt(t.Context()); err != nil {
			t.Fatal(err)
		}
		d.forget("early") // between the adoption and the first view
		d.fill("late", true)
		d.look()
		synctest.Wait()
		d.holds("early", false)
		d.holds("late", true)
		d.forget("late")
		d.fill("stray", false) // no view has named it
		d.look()
		synctest.Wait()
		d.holds("late", false)
		d.holds("kept", true)
		d.holds("stray", true)
		d.see(t.Context(), nodeview.View{}, nil) // this replica knows nothing of the cluster yet
		synctest.Wait()
		d.holds("kept", true)
		d.look()
		d.forget("kept")
		d.look()
		synctest.Wait()
		d.holds("kept", false)
	})
}

// stubborn fails to remove some times.
type stubborn struct {
	Volumes
	fail *int
}

func (s stubborn) Remove(id string) error {
	if *s.fail--; *s.fail >= 0 {
		return errors.New("the disk is busy")
	}
	return s.Volumes.Remove(id)
}

func TestVolumeDataIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fail := 3
		d := newDisk(t, func(v Volumes) Volumes { return stubborn{v, &fail} })
		d.fill("v", true)
		d.look()
		d.forget("v")
		d.look()
		synctest.Wait()
		d.holds("v", true)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		d.holds("v", false)
	})
}

// TestUnknownVolumesArePutAside starts on a disk with data that the cluster does
// not know: it is out of the way and not lost.
func TestUnknownVolumesArePutAside(t *testing.T) {
	d := newDisk(t, plain)
	d.fill("known", true)
	d.fill("stray", false)
	for range 2 { // the second start finds nothing more to do
		if _, err := d.adopt(t.Context()); err != nil {
			t.Fatal(err)
		}
		d.look()
	}
	d.holds("known", true)
	d.holds("stray", false)
	d.holds(".trash/stray", true)
	if said := d.said.String(); strings.Count(said, "delete that folder") != 1 || !strings.Contains(said, "folder="+filepath.Join(d.root, ".trash", "stray")) {
		t.Errorf("the log does not say once where it is:\n%s", said)
	}
}
