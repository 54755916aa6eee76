package mirror

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// evictEvery is how often the size of the cache is looked at.
const evictEvery = 5 * time.Minute

// idle is how long a repository is kept whatever the size: somebody pulls it.
const idle = 10 * time.Minute

// Run keeps the cache within its size until ctx ends.
func (m *Mirror) Run(ctx context.Context) error {
	tick := time.NewTicker(evictEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			m.remember()
			return nil
		case <-tick.C:
		}
		if err := m.Evict(ctx); err != nil && ctx.Err() == nil {
			m.log.Warn("the mirror's cache was not brought to its size", "err", err)
		}
		m.remember()
	}
}

// touch remembers that a repository is in use.
func (m *Mirror) touch(repositoryID string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pulled[repositoryID] = m.now()
}

// cachedRepository is one that is cached from an upstream.
type cachedRepository struct {
	row   *model.Repository
	bytes int64 // that nothing but cached repositories needs
	used  time.Time
}

// Evict drops the repositories that nobody pulled for the longest time until the
// rest fits. What a tenant's repository, or another cached one, has as well does
// not go with it, and counts for nothing. The content itself goes with the next
// collection.
func (m *Mirror) Evict(ctx context.Context) error {
	v := m.cfg.Cluster.View()
	var all []cachedRepository
	var total int64
	seen := map[string]bool{}
	m.mu.Lock()
	for r := range v.RepositoriesOf("") {
		c := cachedRepository{row: r, used: m.pulled[r.ID]}
		if c.used.IsZero() {
			c.used = r.CreatedAt
		}
		all = append(all, c)
	}
	for id := range m.pulled {
		if _, ok := v.Repository(id); !ok {
			delete(m.pulled, id)
		}
	}
	m.mu.Unlock()
	// The one in use last pays for what several share.
	slices.SortFunc(all, func(a, b cachedRepository) int {
		return cmp.Or(b.used.Compare(a.used), cmp.Compare(a.row.ID, b.row.ID))
	})
	for i := range all {
		all[i].bytes = m.costs(v, all[i].row, seen)
		total += all[i].bytes
	}
	for _, c := range slices.Backward(all) {
		if total <= m.cfg.Cache || m.now().Sub(c.used) < idle {
			break
		}
		_, err := m.cfg.Cluster.Propose(ctx, &command.DeleteRepository{ID: c.row.ID, Path: c.row.Name, ExpectVersion: command.AnyVersion,
			Head: command.By(model.Origin{Actor: "system:mirror", Operation: "evict", Time: m.now().UTC()})})
		if err != nil && model.KindOf(err) != model.KindNotFound {
			return fmt.Errorf("drop %s from the cache: %w", c.row.Name, err)
		}
		total -= c.bytes
		m.log.Info("dropped a repository from the mirror's cache", "repository", c.row.Name, "bytes", c.bytes, "pulled", c.used)
	}
	return nil
}

// costs counts what a cached repository holds that is not in seen and that no
// repository of a tenant has.
func (m *Mirror) costs(v *state.View, r *model.Repository, seen map[string]bool) int64 {
	var n int64
	add := func(d string, size int64) {
		if seen[d] {
			return
		}
		seen[d] = true
		for l := range v.BlobLinksOf(d) {
			if o, ok := v.Repository(l.RepositoryID); ok && o.UpstreamID == "" {
				return
			}
		}
		n += size
	}
	for l := range v.BlobLinks(r.ID) {
		add(l.Digest, l.Size)
	}
	for row := range v.Manifests(r.ID) {
		add(row.Descriptor.Digest, row.Descriptor.Size)
	}
	return n
}

// remembered reads when repositories were pulled last. What cannot be read is
// forgotten: then the time of their making counts.
func (m *Mirror) remembered() map[string]time.Time {
	out := map[string]time.Time{}
	if m.cfg.State == "" {
		return out
	}
	b, err := os.ReadFile(m.cfg.State)
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		m.log.Warn("when images were pulled last is forgotten", "err", err)
		return map[string]time.Time{}
	}
	return out
}

// remember writes when repositories were pulled last.
func (m *Mirror) remember() {
	if m.cfg.State == "" {
		return
	}
	m.mu.Lock()
	b, err := json.Marshal(m.pulled)
	m.mu.Unlock()
	if err == nil {
		err = os.MkdirAll(filepath.Dir(m.cfg.State), 0o700)
	}
	if err == nil {
		err = os.WriteFile(m.cfg.State+".new", b, 0o600)
	}
	if err == nil {
		err = os.Rename(m.cfg.State+".new", m.cfg.State)
	}
	if err != nil {
		m.log.Warn("when images were pulled last is not remembered", "err", err)
	}
}
