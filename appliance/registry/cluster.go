package registry

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// PeerPrefix is the path below which members' registries speak to each other; see
// PeerHandler.
const PeerPrefix = "/peer/v1/registry/"

// Peers are the ways to other nodes: requests go to https://peer/...
type Peers interface {
	// Client gives a client whose requests reach the node, by HTTP/2.
	Client(nodeID string) *http.Client
}

// Fetcher brings blobs from other members: *exchange.Exchange.
type Fetcher interface {
	// Blob makes a blob be here and pins it until release; from are the nodes to ask
	// first. size below 0: not known. Errors: ErrNoBlob where no node that answers
	// has it.
	Blob(ctx context.Context, d digest.Digest, size int64, from ...string) (release func(), err error)
}

const (
	// copies is on how many members what was pushed is kept.
	copies = 3
	// longDown is after what time another member takes the place of one that is down.
	longDown = 10 * time.Minute
	// copyWait is how long a push waits for its second copy, beside what a slow wire
	// needs for its bytes.
	copyWait = 15 * time.Second
	slowWire = 16 << 20 // bytes a second
	// heldFor is how long what another member asked to be held is kept although the
	// state here does not show yet who needs it.
	heldFor = 10 * time.Minute
	// askedWithin bounds questions that need no copying.
	askedWithin = 5 * time.Second
	// collectedWithin bounds a collection on another member.
	collectedWithin = 2 * time.Minute
	// signOfLife is how long a member may take to say that it has got a question.
	signOfLife = 2 * time.Second
)

// errSilent says that a member gave no sign of life.
var errSilent = errors.New("it gave no sign of life")

// alone says that there are no others, or that nothing can reach them.
func (r *Registry) alone() bool {
	return r.cfg.NodeID == "" || r.cfg.Peers == nil || r.cfg.Fetch == nil
}

// keepers gives the members that keep what was pushed: all but those that have
// been down for long.
func keepers(v *state.View, now time.Time) []*model.Node {
	var out []*model.Node
	for n := range v.Nodes() {
		if n.Member() && !(n.Down() && now.Sub(n.Health.Since) >= longDown) {
			out = append(out, n)
		}
	}
	return out
}

// Keepers gives the ids of the members that are to hold a digest, at most three.
func Keepers(v *state.View, digest string, now time.Time) []string {
	return duty(keepers(v, now), digest)
}

// duty gives the ids of the members that keep a digest, the first most of all:
// the same on every member that sees the same state, and when one comes or goes
// little moves.
func duty(among []*model.Node, d string) []string {
	type scored struct {
		id    string
		score uint64
	}
	all := make([]scored, len(among))
	for i, n := range among {
		h := fnv.New64a()
		_, _ = h.Write([]byte(n.ID))
		_, _ = h.Write([]byte{0})
		_, _ = h.Write([]byte(d))
		all[i] = scored{n.ID, mix(h.Sum64())}
	}
	slices.SortFunc(all, func(a, b scored) int {
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.id, b.id))
	})
	out := make([]string, 0, copies)
	for _, s := range all[:min(copies, len(all))] {
		out = append(out, s.id)
	}
	return out
}

// mix spreads a hash's bits: FNV's last bytes move its low bits only.
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// pushed gives what was pushed here, by digest with its size; what is an
// upstream's only is every node's own cache.
func pushed(v *state.View) map[string]int64 {
	own := map[string]bool{}
	for repo := range v.Repositories() {
		if repo.UpstreamID == "" {
			own[repo.ID] = true
		}
	}
	out := map[string]int64{}
	for m := range v.AllManifests() {
		if own[m.RepositoryID] {
			out[m.Descriptor.Digest] = m.Descriptor.Size
		}
	}
	for l := range v.AllBlobLinks() {
		if own[l.RepositoryID] {
			out[l.Digest] = l.Size
		}
	}
	return out
}

// item is one blob in what members say to each other.
type item struct {
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
}

type holdRequest struct {
	From  string `json:"from"`  // a node that has all of it
	Index uint64 `json:"index"` // of the state that shows who needs it
	Items []item `json:"items"`
}

type haveAnswer struct {
	Have []string `json:"have"`
}

// name of a node, for sentences.
func (r *Registry) nodeName(id string) string {
	if n, ok := r.view().Node(id); ok {
		return n.Name
	}
	return id
}

// tell asks another member's registry something and reads the answer.
func (r *Registry) tell(ctx context.Context, nodeID, what string, in, out any) error {
	b, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("ask the registry of %s: %w", nodeID, err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := time.AfterFunc(signOfLife, func() { cancel(errSilent) })
	defer silent.Stop()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		Got1xxResponse: func(int, textproto.MIMEHeader) error { silent.Stop(); return nil },
	})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://peer"+PeerPrefix+what, bytes.NewReader(b))
	if err != nil {
		return fmt.Errorf("ask the registry of %s: %w", nodeID, err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := r.cfg.Peers.Client(nodeID).Do(req)
	if err != nil {
		return fmt.Errorf("ask the registry of %s: %w", r.nodeName(nodeID), err)
	}
	silent.Stop()
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 4096)) // for the log
		return fmt.Errorf("the registry of %s answered %s: %s", r.nodeName(nodeID), resp.Status, bytes.TrimSpace(b))
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("read the answer of the registry of %s: %w", r.nodeName(nodeID), err)
	}
	return nil
}

// healthy gives the other members that are up.
func (r *Registry) healthy() []*model.Node {
	var out []*model.Node
	for n := range r.view().Nodes() {
		if n.Member() && !n.Down() && n.ID != r.cfg.NodeID {
			out = append(out, n)
		}
	}
	return out
}

// spread makes one other member hold each item beside this one. It returns what
// could not be done in time; nil where this node is alone.
func (r *Registry) spread(ctx context.Context, items []item) error {
	others := r.healthy()
	if r.alone() || len(others) == 0 || len(items) == 0 {
		return nil
	}
	var total int64
	at := map[string][]item{}
	for _, it := range items {
		total += it.Size
		at[duty(others, it.Digest)[0]] = append(at[duty(others, it.Digest)[0]], it)
	}
	ctx, cancel := context.WithTimeout(ctx, copyWait+time.Duration(total/slowWire)*time.Second)
	defer cancel()
	var g errgroup.Group
	for first, part := range at {
		g.Go(func() error {
			order := []string{first}
			for _, n := range others {
				if n.ID != first {
					order = append(order, n.ID)
				}
			}
			var errs []error
			for _, id := range order {
				err := r.tell(ctx, id, "hold", holdRequest{From: r.cfg.NodeID, Index: r.view().Index(), Items: part}, &struct{}{})
				if err == nil {
					return nil
				}
				if errs = append(errs, err); ctx.Err() != nil {
					break
				}
			}
			return errors.Join(errs...)
		})
	}
	return g.Wait()
}

// itemsOf gives a manifest with everything that it names directly; manifests in
// it were pushed, and spread, before.
func itemsOf(m *model.Manifest) []item {
	out := []item{{m.Descriptor.Digest, m.Descriptor.Size}}
	for _, ref := range m.Refs {
		out = append(out, item{ref.Digest, ref.Size})
	}
	return out
}

// spreadPush waits until a push is on two members, if there are two, and says in
// the answer and the log if it is not.
func (r *Registry) spreadPush(ctx context.Context, w http.ResponseWriter, name string, m *model.Manifest) {
	err := r.spread(ctx, itemsOf(m))
	if err == nil || ctx.Err() != nil {
		return
	}
	r.log.Warn("what was pushed is on one member only for now", "repository", name, "digest", m.Descriptor.Digest, "err", err)
	w.Header().Set("Warning", `299 - "the content is on one member of the cluster only for now; copies follow when others answer"`)
}

// spreadSoon begins to copy a blob while its push goes on, so that the end of the
// push has little to wait for.
func (r *Registry) spreadSoon(it item) {
	if r.alone() || len(r.healthy()) == 0 {
		return
	}
	r.soon.Go(func() {
		select {
		case r.slots <- struct{}{}:
			defer func() { <-r.slots }()
		case <-r.life.Done():
			return
		}
		if err := r.spread(r.life, []item{it}); err != nil {
			r.log.Debug("blob not copied yet", "digest", it.Digest, "err", err)
		}
	})
}

// bring makes a blob be here that another member has, and pins it. Errors:
// ErrNoBlob.
func (r *Registry) bring(ctx context.Context, d digest.Digest, size int64, from ...string) (release func(), err error) {
	if r.alone() {
		return func() {}, fmt.Errorf("blob %s: %w", d, ErrNoBlob)
	}
	return r.cfg.Fetch.Blob(ctx, d, size, from...)
}

// readBlob reads a small blob, from here or from another member.
func (r *Registry) readBlob(ctx context.Context, d digest.Digest, limit int64) ([]byte, error) {
	b, err := r.blobs.Read(ctx, d, limit)
	if !errors.Is(err, ErrNoBlob) {
		return b, err
	}
	release, ferr := r.bring(ctx, d, -1)
	if ferr != nil {
		return nil, errors.Join(err, ferr)
	}
	defer release()
	return r.blobs.Read(ctx, d, limit)
}

// keepCopies is one round of the keeper: this node fetches what it is to keep and
// has not. Every member does so for itself; nobody tells another what to do.
func (r *Registry) keepCopies(ctx context.Context) error {
	if r.alone() {
		return nil
	}
	v := r.view()
	among := keepers(v, time.Now())
	if len(among) < 2 {
		return nil
	}
	rooted, err := r.rooted(ctx)
	if err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(2)
	var mu sync.Mutex // guards what follows
	var copied, bytes int64
	var errs []error
	for d, size := range pushed(v) {
		if !slices.Contains(duty(among, d), r.cfg.NodeID) {
			continue
		}
		if _, here := rooted[digest.Digest(d)]; here {
			continue
		}
		g.Go(func() error {
			release, err := r.bring(gctx, digest.Digest(d), size)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, err)
				return nil // the others may be there
			}
			release()
			copied, bytes = copied+1, bytes+size
			return nil
		})
	}
	_ = g.Wait() // errors are in errs
	if copied > 0 {
		r.log.Info("took copies of what was pushed", "blobs", copied, "bytes", bytes)
	}
	return errors.Join(errs...)
}

// spare gives what was pushed, is here, is not for this node to keep, and is
// confirmed to be with all who are to keep it.
func (r *Registry) spare(ctx context.Context, v *state.View, rooted map[digest.Digest]int64) map[digest.Digest]bool {
	if r.alone() {
		return nil
	}
	among := keepers(v, time.Now())
	if len(among) <= copies {
		return nil
	}
	ask, waits := map[string][]string{}, map[string][]string{}
	for d := range pushed(v) {
		if _, here := rooted[digest.Digest(d)]; !here {
			continue
		}
		due := duty(among, d)
		if slices.Contains(due, r.cfg.NodeID) {
			continue
		}
		waits[d] = due
		for _, id := range due {
			ask[id] = append(ask[id], d)
		}
	}
	confirmed := map[string]int{}
	for id, digests := range ask {
		actx, cancel := context.WithTimeout(ctx, askedWithin)
		var got haveAnswer
		err := r.tell(actx, id, "have", haveAnswer{digests}, &got)
		cancel()
		if err != nil {
			r.log.Debug("a member does not say what it keeps", "node", id, "err", err)
			continue
		}
		for _, d := range got.Have {
			confirmed[d]++
		}
	}
	out := map[digest.Digest]bool{}
	for d, due := range waits {
		if confirmed[d] == len(due) {
			out[digest.Digest(d)] = true
		}
	}
	return out
}
