package nodeview

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/skerryhq/skerry/raft/model"
)

// Members finds a member to follow. appliance/worker's Finder is one.
type Members interface {
	// Member is the one to talk to now, with a client for it.
	Member() (id string, c *http.Client, err error)
	// Failed says that it did not answer, so that the next one is tried.
	Failed(id string)
}

// Sealer keeps what is on disk from those who read disks. pki's Box is one.
type Sealer interface {
	Seal(purpose string, plain []byte) (model.Sealed, error)
	Open(purpose string, sealed model.Sealed) ([]byte, error)
}

// purpose binds a sealed view to being one.
const purpose = "nodeview"

// RemoteConfig is what a Remote needs; every field is required.
type RemoteConfig struct {
	NodeID  string
	Members Members
	URL     string // of the Stream, e.g. "https://peer/peer/v1/nodeview"
	File    string // where the last view is kept, sealed
	Sealer  Sealer
	Log     *slog.Logger
}

// Remote is a Source that follows a member's Stream. The last view is on disk
// before anybody acts on it, so that a node that starts while it is cut off takes
// over what runs by it. It never goes back to a view of an earlier moment. Before
// there is a view at all, Watch and Changed wait, and Now is the zero View.
type Remote struct {
	cfg RemoteConfig

	mu      sync.Mutex
	view    View          // guarded by mu
	there   bool          // guarded by mu
	changed chan struct{} // closed and replaced at every view; guarded by mu
}

var _ Source = (*Remote)(nil)

// NewRemote reads the view of last time, if there is one. A file that cannot be
// read is no error: it is said, and the node waits for a member.
func NewRemote(cfg RemoteConfig) *Remote {
	r := &Remote{cfg: cfg, changed: make(chan struct{})}
	v, err := r.load()
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		cfg.Log.Warn("the view of last time cannot be used; what runs goes on running until a member is reached", "err", err)
	default:
		r.view, r.there = v, true
	}
	return r
}

// Now is the newest view.
func (r *Remote) Now() View {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.view
}

// Changed is as Source says.
func (r *Remote) Changed(ctx context.Context) (View, <-chan struct{}, error) {
	for {
		r.mu.Lock()
		v, there, changed := r.view, r.there, r.changed
		r.mu.Unlock()
		if there {
			out := make(chan struct{})
			go func() {
				defer close(out)
				select {
				case <-changed:
				case <-ctx.Done():
				}
			}()
			return v, out, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return View{}, nil, context.Cause(ctx)
		}
	}
}

// Watch is as Source says.
func (r *Remote) Watch(ctx context.Context, each func(context.Context, View) error) error {
	for {
		v, changed, err := r.Changed(ctx)
		if err != nil {
			return err
		}
		if err := each(ctx, v); err != nil {
			return err
		}
		<-changed
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// Run follows one member after the other until ctx ends.
func (r *Remote) Run(ctx context.Context) error {
	const first, most = 50 * time.Millisecond, 2 * time.Second
	pause, said := first, false
	for {
		id, client, err := r.cfg.Members.Member()
		heard := false
		if err == nil {
			heard, err = r.follow(ctx, id, client)
			r.cfg.Members.Failed(id)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if heard {
			pause, said = first, false
		}
		if !said {
			r.cfg.Log.Warn("not told what to do, trying the next member; what runs goes on running", "member", id, "err", err)
			said = true
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause/2 + rand.N(pause)): //nolint:gosec // only spreads nodes over time
		}
		pause = min(2*pause, most)
	}
}

// follow takes a member's stream until it breaks off. heard says that there was
// a view in it.
func (r *Remote) follow(ctx context.Context, id string, client *http.Client) (heard bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	quiet := time.AfterFunc(silence, func() { cancel(fmt.Errorf("member %s has said nothing for %s", id, silence)) })
	defer quiet.Stop()
	have := r.Now()
	url := fmt.Sprintf("%s?generation=%d&index=%d", r.cfg.URL, have.Generation, have.Index)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return false, fmt.Errorf("follow member %s: %w", id, err)
	}
	res, err := client.Do(req)
	if err != nil {
		return false, fmt.Errorf("follow member %s: %w", id, cause(ctx, err))
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		word, _ := io.ReadAll(io.LimitReader(res.Body, 1<<10)) // as far as it can be read
		return false, fmt.Errorf("follow member %s: it answers %s: %s", id, res.Status, strings.TrimSpace(string(word)))
	}
	in := json.NewDecoder(res.Body)
	var v View
	for {
		var f frame
		if err := in.Decode(&f); err != nil {
			return heard, fmt.Errorf("follow member %s: %w", id, cause(ctx, err))
		}
		quiet.Reset(silence)
		switch {
		case f.Whole != nil:
			v = f.Whole.sorted()
		case f.Change != nil && heard:
			v = v.with(*f.Change)
		case f.Change != nil:
			return heard, fmt.Errorf("follow member %s: it began with a change of nothing", id)
		default:
			continue
		}
		v.Index, v.Generation = f.Index, f.Generation
		if err := r.take(v); err != nil {
			return heard, fmt.Errorf("follow member %s: %w", id, err)
		}
		if !heard {
			r.cfg.Log.Info("told what to do by a member", "member", id, "index", v.Index, "generation", v.Generation)
		}
		heard = true
	}
}

// cause says why we ended a request ourselves, or what happened to it.
func cause(ctx context.Context, err error) error {
	if c := context.Cause(ctx); c != nil {
		return c
	}
	return err
}

// take makes a view the newest one, on disk first.
func (r *Remote) take(v View) error {
	if v.Node != nil && v.Node.ID != r.cfg.NodeID {
		return fmt.Errorf("it sent the view of node %s", v.Node.ID)
	}
	if have := r.Now(); v.Older(have) {
		return fmt.Errorf("it is at index %d of generation %d, before index %d of generation %d", v.Index, v.Generation, have.Index, have.Generation)
	}
	if err := r.save(v); err != nil {
		// Of an older view the next start would conclude that nobody asks for what came
		// since, and remove it; without one it waits for a member.
		if rerr := os.Remove(r.cfg.File); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
		r.cfg.Log.Warn("what to do cannot be kept for the next start", "err", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.view, r.there = v, true
	close(r.changed)
	r.changed = make(chan struct{})
	return nil
}

func (r *Remote) save(v View) error {
	plain, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write the view: %w", err)
	}
	sealed, err := r.cfg.Sealer.Seal(purpose, plain)
	if err != nil {
		return fmt.Errorf("write the view: %w", err)
	}
	temporary := r.cfg.File + ".new"
	if err := os.WriteFile(temporary, sealed, 0o600); err != nil {
		return fmt.Errorf("write the view: %w", err)
	}
	if err := os.Rename(temporary, r.cfg.File); err != nil {
		return fmt.Errorf("write the view: %w", err)
	}
	return nil
}

func (r *Remote) load() (View, error) {
	sealed, err := os.ReadFile(r.cfg.File)
	if err != nil {
		return View{}, fmt.Errorf("read the view: %w", err)
	}
	plain, err := r.cfg.Sealer.Open(purpose, sealed)
	if err != nil {
		return View{}, fmt.Errorf("read the view from %s: %w", r.cfg.File, err)
	}
	var v View
	if err := json.Unmarshal(plain, &v); err != nil {
		return View{}, fmt.Errorf("read the view from %s: %w", r.cfg.File, err)
	}
	if v.Node != nil && v.Node.ID != r.cfg.NodeID {
		return View{}, fmt.Errorf("read the view from %s: it is of node %s", r.cfg.File, v.Node.ID)
	}
	return v, nil
}
