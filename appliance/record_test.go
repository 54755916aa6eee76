package appliance

import (
	"testing"

	"github.com/skerryhq/skerry/raft/model"
)

// TestRecord holds that what the node learns of its cluster is known at once and
// after a start, that raising the generation takes nothing else back, and that a
// generation never falls.
func TestRecord(t *testing.T) {
	dir := t.TempDir()
	read, err := loadIdentity(dir)
	if err != nil {
		t.Fatal(err)
	}
	r := newRecord(dir, read)
	if err := r.change(func(i *identity) { i.Role, i.ClusterID, i.Generation = model.NodeMember, "c1", 1 }); err != nil {
		t.Fatal(err)
	}
	for _, g := range []uint64{3, 2} {
		if err := r.raise(g); err != nil {
			t.Fatal(err)
		}
	}
	want := identity{ID: read.ID, Role: model.NodeMember, ClusterID: "c1", Generation: 3}
	if r.now() != want {
		t.Errorf("now %+v", r.now())
	}
	if got, err := readIdentity(dir); err != nil || got != want {
		t.Errorf("on the disk %+v, %v", got, err)
	}
}
