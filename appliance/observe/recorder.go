package observe

import (
	"context"
	"log/slog"
	"math"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	every   = time.Second
	maxGap  = 5 * time.Second  // a rate over a longer time says nothing of a second
	flushed = 30               // seconds that one stored value stands for
	kept    = 15 * time.Minute // in memory
	backlog = 4                // batches that wait for a slow disk
)

// Probe measures what is used now.
type Probe interface {
	// Sample fills in what the node and its running containers have used. It
	// reuses what into holds.
	Sample(ctx context.Context, into *Snapshot) error
}

// Snapshot is one measurement of everything.
type Snapshot struct {
	At         time.Time
	Node       Use
	Containers []Use
}

// Use is what one container, or the node, uses (gauges) and has used since some
// time (counters, which may begin again).
type Use struct {
	ID        string
	ServiceID string // of a container
	Name      string // of a container

	CPU                       time.Duration // counter
	NetworkRx, NetworkTx      uint64        // counters, bytes
	BlockRead, BlockWrite     uint64        // counters, bytes
	Memory, PIDs              uint64        // gauges
	Disk                      uint64        // gauge, of a node
	Load1                     float64       // gauge, of a node
	NetworkUnknown, IOUnknown bool          // not measured: a hole, not zero
}

// Config of a Recorder.
type Config struct {
	Dir   string // of the stored figures; made if it is missing
	Probe Probe
	Log   *slog.Logger
}

// Recorder keeps figures. See the package's comment.
type Recorder struct {
	cfg Config
	log *slog.Logger

	mu      sync.RWMutex
	objects map[string]*object // guarded by mu, and what they hold
	latest  int64              // second of the newest sample; guarded by mu
	began   int64              // second of the first sample; guarded by mu

	dbMu sync.RWMutex // held while the store is used; not inside of mu
	db   *store       // nil: not open (yet); guarded by dbMu
}

// object is a container or node that is, or lately was, measured.
type object struct {
	kind          Kind
	id, svc, name string
	ring          ring
	last          Use
	lastAt        time.Time
	interval      int64 // start of the 30 s that sums are of
	sums          []sum
}

type sum struct {
	total, max float64
	n          int
}

func (s *sum) add(v float64) {
	if math.IsNaN(v) {
		return
	}
	if s.n == 0 || v > s.max {
		s.max = v
	}
	s.total += v
	s.n++
}

// New returns a Recorder. It opens nothing.
func New(cfg Config) *Recorder {
	return &Recorder{cfg: cfg, log: cfg.Log.With("component", "observe"), objects: map[string]*object{}}
}

// Run samples until ctx ends, and then writes what it has. It fails only with
// ctx's error: a node goes on without figures.
func (r *Recorder) Run(ctx context.Context) error {
	batches := make(chan []point, backlog)
	var g errgroup.Group
	g.Go(func() error { r.write(ctx, batches); return nil })
	g.Go(func() error {
		defer close(batches)
		r.sample(ctx, batches)
		return nil
	})
	_ = g.Wait() // neither fails
	return context.Cause(ctx)
}

// sample measures in the middle of each second, so that a late timer does not
// put two samples into one second and none into the next.
func (r *Recorder) sample(ctx context.Context, batches chan<- []point) {
	var snap Snapshot
	var failing, full bool
	for {
		now := time.Now()
		next := now.Truncate(every).Add(every + every/2)
		if next.Sub(now) > every {
			next = next.Add(-every)
		}
		select {
		case <-ctx.Done():
			if last := r.flush(math.MaxInt64); len(last) > 0 {
				select {
				case batches <- last:
				case <-time.After(2 * time.Second): // a disk that hangs must not hold up the end
				}
			}
			return
		case <-time.After(next.Sub(now)):
		}
		err := r.cfg.Probe.Sample(ctx, &snap)
		if err != nil {
			if ctx.Err() == nil && !failing {
				r.log.Warn("figures of this node cannot be measured, trying again", "err", err)
			}
			failing = true
			continue
		}
		failing = false
		batch := r.take(&snap)
		if len(batch) == 0 {
			continue
		}
		select {
		case batches <- batch:
			full = false
		default:
			if !full {
				r.log.Warn("the disk is too slow for the figures of this node; some are kept in memory only")
			}
			full = true
		}
	}
}

// take puts a measurement into memory and gives the 30 seconds that it ended.
func (r *Recorder) take(snap *Snapshot) []point {
	second := snap.At.Unix()
	r.mu.Lock()
	defer r.mu.Unlock()
	batch := r.flushLocked(second - second%flushed)
	r.put(Node, &snap.Node, snap.At)
	for i := range snap.Containers {
		r.put(Container, &snap.Containers[i], snap.At)
	}
	if r.began == 0 {
		r.began = second
	}
	r.latest = second
	if second%minute == 0 {
		for id, o := range r.objects {
			if o.ring.newest() < second/minute-keptBlocks {
				delete(r.objects, id)
			}
		}
	}
	return batch
}

func (r *Recorder) put(kind Kind, u *Use, at time.Time) {
	o := r.objects[u.ID]
	if o == nil {
		n := int(containerMetrics)
		if kind == Node {
			n = int(nodeMetrics)
		}
		o = &object{kind: kind, id: u.ID, ring: ring{metrics: n}, sums: make([]sum, n)}
		r.objects[u.ID] = o
	}
	o.svc, o.name = u.ServiceID, u.Name
	var values [nodeMetrics]float64
	o.values(u, at, &values)
	o.last, o.lastAt = *u, at
	second := at.Unix()
	o.ring.put(second, values[:o.ring.metrics])
	o.interval = second - second%flushed
	for i := range o.sums {
		o.sums[i].add(values[i])
	}
}

// values turns counters into rates since the measurement before.
func (o *object) values(u *Use, at time.Time, to *[nodeMetrics]float64) {
	took := at.Sub(o.lastAt)
	known := !o.lastAt.IsZero() && took > 0 && took <= maxGap
	rate := func(now, before uint64, known bool) float64 {
		if !known || now < before {
			return hole
		}
		return float64(now-before) / took.Seconds()
	}
	to[CPU] = rate(uint64(u.CPU), uint64(o.last.CPU), known) / float64(time.Second)
	to[Memory], to[PIDs] = float64(u.Memory), float64(u.PIDs)
	net := known && !u.NetworkUnknown && !o.last.NetworkUnknown
	to[NetworkRx], to[NetworkTx] = rate(u.NetworkRx, o.last.NetworkRx, net), rate(u.NetworkTx, o.last.NetworkTx, net)
	io := known && !u.IOUnknown && !o.last.IOUnknown
	to[BlockRead], to[BlockWrite] = rate(u.BlockRead, o.last.BlockRead, io), rate(u.BlockWrite, o.last.BlockWrite, io)
	to[Disk], to[Load1] = float64(u.Disk), u.Load1
}

// flush gives what has been summed up for intervals before the one that begins
// at now.
func (r *Recorder) flush(now int64) []point {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.flushLocked(now)
}

func (r *Recorder) flushLocked(now int64) []point {
	var out []point
	for _, o := range r.objects {
		if o.interval >= now {
			continue
		}
		for i := range o.sums {
			if s := &o.sums[i]; s.n > 0 {
				out = append(out, point{kind: o.kind, id: o.id, svc: o.svc, name: o.name, metric: Metric(i), at: o.interval, avg: s.total / float64(s.n), max: s.max})
				*s = sum{}
			}
		}
	}
	return out
}

// point is what is stored of one metric of one object for 30 seconds.
type point struct {
	kind          Kind
	id, svc, name string
	metric        Metric
	at            int64 // begin, Unix seconds
	avg, max      float64
}
