package state

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
)

// tx applies commands within one memdb transaction. Reads go through v, which
// sees the writes made so far.
type tx struct {
	txn       *memdb.Txn
	v         View
	w         working
	meta      meta
	index     uint64
	now       time.Time // of the present command's origin, never the clock
	origin    *model.Origin
	fresh     []*model.Event  // of the present index, not yet in the table
	running   []runningChange // of the present index, not yet in the services
	newEvents bool
	journal   []change // of the present command, to undo it
}

// change is one write, remembered so that a refusal leaves nothing behind.
type change struct {
	table    string
	old, new any // nil old: created; nil new: deleted
}

func (t *tx) begin(index uint64) {
	t.v = View{txn: t.txn, tx: t}
	if m, ok := first[meta](&t.v, tabMeta, idxID, key("meta")); ok {
		t.meta = *m
	}
	t.index, t.fresh = index, t.fresh[:0]
}

func (t *tx) end() {
	t.keepRunning()
	t.keepEvents()
	m := t.meta
	m.Index = t.index
	must(t.txn.Insert(tabMeta, &m))
}

// create writes an object that is not there yet.
func (t *tx) create(table string, o any) { t.replace(table, nil, o) }

// replace writes a changed copy of old, with the same id.
func (t *tx) replace(table string, old, o any) {
	t.write(table, old, o)
	t.journal = append(t.journal, change{table: table, old: old, new: o})
}

// del deletes an object that is there.
func (t *tx) del(table string, o any) { t.replace(table, o, nil) }

// setOwner gives an address to a container; an empty id gives it back.
func (t *tx) setOwner(a netip.Addr, id string) {
	was, _ := t.v.owner(a)
	t.replace(tabAddresses, address{a, was}, address{a, id})
}

// write puts one row in place of another, and keeps in step what is made from
// it. No old one: it is new; no new one: the old one goes.
func (t *tx) write(table string, old, o any) {
	if a, ok := o.(address); ok {
		t.w.setOwner(a.Addr, a.ContainerID)
		return
	}
	if o != nil {
		must(t.txn.Insert(table, o))
	} else {
		must(t.txn.Delete(table, old))
	}
	if table == tabContainers {
		was, _ := old.(*model.Container)
		is, _ := o.(*model.Container)
		t.w.wrote(cmp.Or(is, was).ID, is)
		t.w.follow(was, is)
	}
}

// undo takes back what the present command wrote.
func (t *tx) undo() {
	for _, c := range slices.Backward(t.journal) {
		t.write(c.table, c.new, c.old)
	}
}

// apply applies one command; a refusal leaves nothing behind.
func (t *tx) apply(c command.Command) command.Outcome {
	t.origin = c.From()
	t.now = t.origin.Time
	t.journal = t.journal[:0]
	events, running := len(t.fresh), len(t.running)
	refused, err := t.dispatch(c)
	if err != nil {
		t.undo()
		t.fresh, t.running = t.fresh[:events], t.running[:running]
		return command.Outcome{Err: err}
	}
	return command.Outcome{Refused: refused}
}

// dispatch finds the rule for a command.
func (t *tx) dispatch(c command.Command) ([]command.Refusal, *model.Error) {
	switch c := c.(type) {
	case *command.SetContainerStatus:
		return t.setContainerStatus(c), nil
	case *command.ForgetContainers:
		return t.forgetContainers(c), nil
	case *command.InitCluster:
		return nil, t.initCluster(c)
	case *command.SetCertificate:
		return nil, t.setCertificate(c)
	case *command.WarnCertificate:
		return nil, t.warnCertificate(c)
	case *command.RaiseLevel:
		return nil, t.raiseLevel(c)
	case *command.AuditOnly:
		return nil, nil
	case *command.PutTenant:
		return nil, t.putTenant(c)
	case *command.DeleteTenant:
		return nil, t.deleteTenant(c)
	case *command.PutUser:
		return nil, t.putUser(c)
	case *command.DeleteUser:
		return nil, t.deleteUser(c)
	case *command.SetPassword:
		return nil, t.setPassword(c)
	case *command.UseSetupToken:
		return nil, t.useSetupToken(c)
	case *command.PutAPIToken:
		return nil, t.putAPIToken(c)
	case *command.DeleteAPIToken:
		return nil, t.deleteAPIToken(c)
	case *command.PutSession:
		return nil, t.putSession(c)
	case *command.DeleteSession:
		return nil, t.deleteSession(c)
	case *command.DeleteSessions:
		return nil, t.deleteSessions(c)
	case *command.PutNode:
		return nil, t.putNode(c)
	case *command.SetNodeStatus:
		return nil, t.setNodeStatus(c)
	case *command.SetNodeHealth:
		return nil, t.setNodeHealth(c)
	case *command.RemoveNode:
		return nil, t.removeNode(c)
	case *command.JoinNode:
		return nil, t.joinNode(c)
	case *command.PutJoinToken:
		return nil, t.putJoinToken(c)
	case *command.RevokeJoinToken:
		return nil, t.revokeJoinToken(c)
	case *command.EvictContainers:
		return nil, t.evictContainers(c)
	case *command.RotateAuthority:
		return nil, t.rotateAuthority(c)
	case *command.RaiseGeneration:
		return nil, t.raiseGeneration(c)
	case *command.PutApp:
		return nil, t.putApp(c)
	case *command.RemoveApp:
		return nil, t.removeApp(c)
	case *command.SetAppStopped:
		return nil, t.setAppStopped(c)
	case *command.SetServiceReplicas:
		return nil, t.setServiceReplicas(c)
	case *command.SetServiceStopped:
		return nil, t.setServiceStopped(c)
	case *command.SetServiceStatus:
		return nil, t.setServiceStatus(c)
	case *command.SetIntent:
		return nil, t.setIntent(c)
	case *command.PutContainers:
		return nil, t.putContainers(c)
	case *command.AssignContainers:
		return nil, t.assignContainers(c)
	case *command.PutVolume:
		return nil, t.putVolume(c)
	case *command.DeleteVolume:
		return nil, t.deleteVolume(c)
	case *command.PutImage:
		return nil, t.putImage(c)
	case *command.DeleteImage:
		return nil, t.deleteImage(c)
	case *command.PutRepository:
		return nil, t.putRepository(c)
	case *command.DeleteRepository:
		return nil, t.deleteRepository(c)
	case *command.PutManifest:
		return nil, t.putManifest(c)
	case *command.PutTag:
		return nil, t.putTag(c)
	case *command.DeleteTag:
		return nil, t.deleteTag(c)
	case *command.DeleteManifest:
		return nil, t.deleteManifest(c)
	case *command.LinkBlobs:
		return nil, t.linkBlobs(c)
	case *command.MountBlob:
		return nil, t.mountBlob(c)
	case *command.UnlinkBlobs:
		return t.unlinkBlobs(c), nil
	case *command.PutUpstream:
		return nil, t.putUpstream(c)
	case *command.DeleteUpstream:
		return nil, t.deleteUpstream(c)
	case *command.CacheManifest:
		return nil, t.cacheManifest(c)
	default:
		// Decode refuses unknown numbers, and a test applies every known one.
		panic(fmt.Sprintf("state: no rule for %s", c.Type().Name()))
	}
}

// created stamps a new object.
func (t *tx) created(m *model.Meta) {
	m.Version, m.CreatedAt, m.UpdatedAt = t.index, t.now, t.now
}

// updated stamps a changed copy.
func (t *tx) updated(m *model.Meta) { m.Version, m.UpdatedAt = t.index, t.now }

// expect judges ExpectVersion against what is there; m is nil if nothing is.
// word and ref name the object in the sentence.
func expect(m *model.Meta, expected uint64, word, ref string) *model.Error {
	switch {
	case m == nil && expected == command.MustNotExist:
		return nil
	case m == nil:
		return notFound(word, ref)
	case expected == command.MustNotExist:
		return model.Errorf(model.KindConflict, "already_exists", "%s %s exists already; to change it, send the version that you read", word, m.Name)
	case expected == command.AnyVersion || expected == m.Version:
		return nil
	default:
		return model.Errorf(model.KindStale, "stale_version",
			"%s %s was changed by somebody else (it is at version %d, this change is for %d); read it again and repeat", word, m.Name, m.Version, expected)
	}
}

// maxName bounds every name, in bytes.
const maxName = 512

// checkName refuses names that the indexes could not hold. What a name may look
// like is for the API to say.
func checkName(name string) *model.Error {
	if name == "" || len(name) > maxName {
		return model.Errorf(model.KindInvalid, "name_invalid", "a name has 1 to %d bytes, this one has %d", maxName, len(name)).At("name")
	}
	for i := range len(name) {
		if name[i] < 0x20 || name[i] == 0x7f {
			return model.Errorf(model.KindInvalid, "name_invalid", "a name must not hold control characters").At("name")
		}
	}
	return nil
}

// checkID refuses a command that lacks the id of a new object.
func checkID(id, word string) *model.Error {
	if id == "" || checkName(id) != nil {
		return model.Errorf(model.KindInvalid, "id_missing", "a new %s needs an id", word)
	}
	return nil
}

func nameTaken(word, name, where string) *model.Error {
	return model.Errorf(model.KindConflict, "name_taken", "there is %s %s named %q already%s; choose another name", article(word), word, name, where).At("name")
}

// metaOf gives the Meta of an object that may not be there.
func metaOf[T any](n named[T], o *T, ok bool) *model.Meta {
	if !ok {
		return nil
	}
	return n.meta(o)
}
