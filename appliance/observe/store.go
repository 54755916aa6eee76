package observe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/compression"
	"golang.org/x/sys/unix"
)

const (
	retention = 7 * 24 * time.Hour
	maxBytes  = 512 << 20 // of the blocks on disk
	// spare is what must be free on the disk before anything is written: the
	// database ends the process where one of its files cannot grow.
	spare      = 64 << 20
	blockRange = 2 * time.Hour
	segment    = 4 << 20  // of the write-ahead log
	chunkFile  = 16 << 20 // is allocated at once when a block is written
	never      = 10 * 365 * 24 * time.Hour
)

// The labels of a stored series.
const (
	labelMetric  = "__name__"
	labelKind    = "kind"
	labelID      = "id"
	labelService = "service"
	labelName    = "name"
	labelOf      = "of" // "avg" or "max"
)

var kindNames = map[Kind]string{Container: "container", Node: "node"}

// store is the database on disk. It is used under Recorder.dbMu.
type store struct {
	db   *tsdb.DB
	refs map[seriesKey]*ref // of what was written lately
}

type seriesKey struct {
	id     string
	metric Metric
	max    bool
}

type ref struct {
	ref    storage.SeriesRef
	labels labels.Labels
	svc    string
	name   string
	last   int64
}

// lowDisk says, in one sentence, why nothing can be written to the disk of dir.
func lowDisk(dir string) error {
	for {
		var st unix.Statfs_t
		err := unix.Statfs(dir, &st)
		if errors.Is(err, unix.ENOENT) && filepath.Dir(dir) != dir {
			dir = filepath.Dir(dir)
			continue
		}
		if err != nil {
			return fmt.Errorf("look at the disk of %s: %w", dir, err)
		}
		if free := int64(st.Bavail) * st.Bsize; free < spare {
			return fmt.Errorf("only %d MiB are free on the disk of %s: %w", free>>20, dir, unix.ENOSPC)
		}
		return nil
	}
}

func options() *tsdb.Options {
	o := tsdb.DefaultOptions()
	o.RetentionDuration = retention.Milliseconds()
	o.MaxBytes = maxBytes
	o.MinBlockDuration, o.MaxBlockDuration = blockRange.Milliseconds(), (9 * blockRange).Milliseconds()
	o.WALSegmentSize, o.WALCompression, o.WALReplayConcurrency = segment, compression.Snappy, 1
	o.MaxBlockChunkSegmentSize = chunkFile
	o.HeadChunksWriteBufferSize, o.HeadChunksWriteQueueSize = 64<<10, 0
	o.StripeSize = 256         // 16384 by default, which is 3 MiB
	o.NoLockfile = true        // the data folder has an owner
	o.IsolationDisabled = true // one writer
	// The database's own loop would write files from a goroutine that ends the
	// process when the disk is full. Recorder.tend does its work instead.
	o.BlockReloadInterval = never
	return o
}

// openStore opens what is in dir. What is damaged is put aside and told, what
// is left is kept, and at the worst it begins anew.
func openStore(dir string, log *slog.Logger) (*store, error) {
	if err := lowDisk(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the figures: %w", err)
	}
	mends := []struct {
		what string
		do   func() error
	}{
		{"", func() error { return nil }},
		{"blocks that cannot be read", func() error { return asideBlocks(dir, log) }},
		{"what was not in blocks yet", func() error { return aside(dir, "wal", "wbl", "chunks_head") }},
		{"everything", func() error { return asideAll(dir) }},
	}
	var last error
	for _, m := range mends {
		if m.what != "" {
			log.Warn("the stored figures are damaged; putting a part of them aside", "part", m.what, "folder", filepath.Join(dir, damaged), "err", last)
		}
		if err := m.do(); err != nil {
			return nil, errors.Join(last, err)
		}
		db, err := open(dir, log)
		if err == nil {
			db.DisableCompactions()
			return &store{db: db, refs: map[seriesKey]*ref{}}, nil
		}
		last = fmt.Errorf("open the stored figures: %w", err)
	}
	return nil, last
}

// open turns a panic over strange bytes into an error.
func open(dir string, log *slog.Logger) (db *tsdb.DB, err error) {
	defer catch(&err)
	return tsdb.Open(dir, slog.New(quiet{log.Handler()}), nil, options(), nil)
}

func catch(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("the database of figures panicked: %v\n%s", p, debug.Stack())
	}
}

// quiet keeps the database's talk out of the log, but for what went wrong.
type quiet struct{ slog.Handler }

func (q quiet) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && q.Handler.Enabled(ctx, l)
}
func (q quiet) WithAttrs(a []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(a)} }
func (q quiet) WithGroup(g string) slog.Handler      { return quiet{q.Handler.WithGroup(g)} }

// damaged is the folder for what was put aside last, so that somebody may look
// at it. The next damage takes its place.
const damaged = "damaged"

func aside(dir string, names ...string) error {
	to := filepath.Join(dir, damaged)
	if err := os.RemoveAll(to); err != nil {
		return fmt.Errorf("put damaged figures aside: %w", err)
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return fmt.Errorf("put damaged figures aside: %w", err)
	}
	for _, n := range names {
		if err := os.Rename(filepath.Join(dir, n), filepath.Join(to, n)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("put damaged figures aside: %w", err)
		}
	}
	return nil
}

func asideAll(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("put damaged figures aside: %w", err)
	}
	var names []string
	for _, e := range entries {
		if e.Name() != damaged {
			names = append(names, e.Name())
		}
	}
	return aside(dir, names...)
}

// asideBlocks tries every block by itself.
func asideBlocks(dir string, log *slog.Logger) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("put damaged figures aside: %w", err)
	}
	var bad []string
	for _, e := range entries {
		if _, err := os.Stat(filepath.Join(dir, e.Name(), "meta.json")); err != nil {
			continue
		}
		if err := tryBlock(filepath.Join(dir, e.Name())); err != nil {
			log.Warn("some hours of the stored figures are lost", "block", e.Name(), "err", err)
			bad = append(bad, e.Name())
		}
	}
	return aside(dir, bad...)
}

func tryBlock(dir string) (err error) {
	defer catch(&err)
	b, err := tsdb.OpenBlock(nil, dir, nil, tsdb.DefaultPostingsDecoderFactory)
	if err != nil {
		return err
	}
	return b.Close()
}

// add writes a batch. A value that is older than what is stored is left out.
func (s *store) add(ctx context.Context, batch []point) (err error) {
	defer catch(&err)
	app := s.db.Appender(ctx)
	for i := range batch {
		p := &batch[i]
		for _, v := range [2]struct {
			max   bool
			value float64
		}{{false, p.avg}, {true, p.max}} {
			k := seriesKey{p.id, p.metric, v.max}
			r := s.refs[k]
			if r == nil || r.svc != p.svc || r.name != p.name {
				r = &ref{labels: labelsOf(p, v.max), svc: p.svc, name: p.name}
				s.refs[k] = r
			}
			r.last = p.at
			got, err := app.Append(r.ref, r.labels, p.at*1000, v.value)
			switch {
			case err == nil:
				r.ref = got
			case errors.Is(err, storage.ErrOutOfOrderSample), errors.Is(err, storage.ErrDuplicateSampleForTimestamp), errors.Is(err, storage.ErrOutOfBounds):
				// The clock went back, or the node was restarted within 30 seconds.
			default:
				return errors.Join(fmt.Errorf("store figures: %w", err), app.Rollback())
			}
		}
	}
	if err := app.Commit(); err != nil {
		return fmt.Errorf("store figures: %w", err)
	}
	return nil
}

func labelsOf(p *point, highest bool) labels.Labels {
	of := "avg"
	if highest {
		of = "max"
	}
	return labels.FromStrings(labelMetric, p.metric.String(), labelKind, kindNames[p.kind], labelID, p.id,
		labelService, p.svc, labelName, strings.ToValidUTF8(p.name, "\uFFFD"), labelOf, of)
}

// tend writes blocks that are complete, joins small ones and deletes old ones.
// It is called now and then, with room on the disk.
func (s *store) tend(ctx context.Context, now int64) (err error) {
	defer catch(&err)
	for k, r := range s.refs {
		if r.last < now-int64(kept.Seconds()) {
			delete(s.refs, k)
		}
	}
	if err := s.db.Compact(ctx); err != nil {
		return fmt.Errorf("tidy the stored figures: %w", err)
	}
	return nil
}

func (s *store) close() (err error) {
	defer catch(&err)
	return s.db.Close()
}

// stored is a value that was read back; its series' labels are interned.
type stored struct {
	kind     Kind
	id, name string
	metric   Metric
	max      bool
	at       int64 // begin of its 30 seconds, Unix seconds
	value    float64
}

// each gives the values of an object, or of a service's containers, of the time
// in [from, to) seconds, series by series and in order of time within one.
func (s *store) each(ctx context.Context, kind Kind, id string, from, to int64, do func(stored)) (err error) {
	defer catch(&err)
	q, err := s.db.Querier(from*1000, to*1000-1)
	if err != nil {
		return fmt.Errorf("read stored figures: %w", err)
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	label, of := labelID, kind
	if kind == Service {
		label, of = labelService, Container
	}
	set := q.Select(ctx, false, nil, labels.MustNewMatcher(labels.MatchEqual, label, id), labels.MustNewMatcher(labels.MatchEqual, labelKind, kindNames[of]))
	var it chunkenc.Iterator
	for set.Next() {
		series := set.At()
		l := series.Labels()
		m, ok := metricOf(l.Get(labelMetric))
		if !ok {
			continue // of another version
		}
		v := stored{kind: of, id: l.Get(labelID), name: l.Get(labelName), metric: m, max: l.Get(labelOf) == "max"}
		it = series.Iterator(it)
		for it.Next() == chunkenc.ValFloat {
			t, f := it.At()
			v.at, v.value = t/1000, f
			do(v)
		}
		if err := it.Err(); err != nil {
			return fmt.Errorf("read stored figures: %w", err)
		}
	}
	if err := set.Err(); err != nil {
		return fmt.Errorf("read stored figures: %w", err)
	}
	return nil
}

func metricOf(name string) (Metric, bool) {
	for m := range nodeMetrics {
		if m.String() == name {
			return m, true
		}
	}
	return 0, false
}
