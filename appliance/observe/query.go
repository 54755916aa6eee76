package observe

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"
)

const (
	maxPoints = 600 // of a step that is chosen here
	// maxObjects is of how many containers of a service an answer tells: those
	// with the latest figures.
	maxObjects = 50
)

// Range answers a query. A window of at most the last 15 minutes has a value a
// second, taken from memory; any other has one of 30 seconds. Where nothing was
// measured is a hole. Errors: those of reading the disk.
func (r *Recorder) Range(ctx context.Context, q Query) (Result, error) {
	now := time.Now()
	live := q.To.Sub(q.From) <= kept+time.Minute/2 && now.Sub(q.From) <= kept+time.Minute/2
	sample := time.Second
	if !live {
		sample = flushed * time.Second
	}
	points := maxPoints
	if q.Kind == Service {
		points /= 2
	}
	step := q.Step
	if step <= 0 {
		step = q.To.Sub(q.From)/time.Duration(points-2) + 1 // aligning may add two
	}
	step = max((step+sample-1)/sample*sample, sample)

	r.mu.RLock()
	latest, began := r.latest, r.began
	r.mu.RUnlock()
	secs := int64(step / time.Second)
	from, to := q.From.Unix()/secs*secs, q.To.Unix()+1
	if end := latest + 1; now.Unix()-latest <= 3 && to > end {
		to = max(end, from+1) // this second's value is not there yet: that is no hole
	}
	g := &grid{from: from, step: secs, count: int((to - from + secs - 1) / secs), rows: map[rowKey]*row{}}

	// What memory holds is taken from there, the time before from disk.
	border := (latest - int64(kept.Seconds()) + flushed - 1) / flushed * flushed
	if began > border {
		if border = began; !live {
			border -= border % flushed
		}
	}
	if began == 0 {
		border = to
	}
	r.fromMemory(q, g, max(from, border), to)
	if err := r.fromStore(ctx, q, g, from, min(to, border), live); err != nil {
		return Result{}, err
	}
	out := Result{From: time.Unix(from, 0), Step: step, Count: g.count}
	out.Series = g.series(step > time.Second)
	return out, nil
}

// fromMemory adds what the rings hold of [from, to).
func (r *Recorder) fromMemory(q Query, g *grid, from, to int64) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, o := range r.objects {
		switch {
		case q.Kind == Service && (o.kind != Container || o.svc != q.ID):
			continue
		case q.Kind != Service && (o.kind != q.Kind || o.id != q.ID):
			continue
		}
		row := g.row(o.kind, o.id, o.name)
		o.ring.each(from, to, func(second int64, values []float32) {
			for i, v := range values {
				row.add(g, Metric(i), second, float64(v), float64(v), 1)
			}
		})
	}
}

// fromStore adds what is stored of [from, to). In a live window a stored value
// stands for each of its 30 seconds.
func (r *Recorder) fromStore(ctx context.Context, q Query, g *grid, from, to int64, live bool) error {
	if to <= from {
		return nil
	}
	r.dbMu.RLock()
	defer r.dbMu.RUnlock()
	if r.db == nil {
		return nil
	}
	begin := from
	if live {
		begin -= flushed
	}
	return r.db.each(ctx, q.Kind, q.ID, begin, to, func(v stored) {
		row := g.row(v.kind, v.id, v.name)
		avg, top := v.value, hole
		if v.max {
			avg, top = hole, v.value
		}
		if !live {
			row.add(g, v.metric, v.at, avg, top, flushed)
			return
		}
		for s := max(v.at-v.at%g.step, from); s < min(v.at+flushed, to); s += g.step {
			row.add(g, v.metric, s, avg, top, 1)
		}
	})
}

// grid gathers values in steps.
type grid struct {
	from, step int64 // seconds
	count      int
	rows       map[rowKey]*row
}

type rowKey struct {
	kind Kind
	id   string
}

// row is what is gathered of one container or node.
type row struct {
	rowKey
	name   string
	latest int64
	cells  [nodeMetrics][]cell // nil where nothing was measured
}

type cell struct {
	total, top float64
	n, tops    int32
}

func (g *grid) row(kind Kind, id, name string) *row {
	k := rowKey{kind, id}
	r := g.rows[k]
	if r == nil {
		r = &row{rowKey: k, name: name}
		g.rows[k] = r
	}
	return r
}

func (r *row) add(g *grid, m Metric, second int64, avg, top float64, weight int32) {
	at := (second - g.from) / g.step
	if second < g.from || at >= int64(g.count) || (math.IsNaN(avg) && math.IsNaN(top)) {
		return
	}
	if r.cells[m] == nil {
		r.cells[m] = make([]cell, g.count)
	}
	c := &r.cells[m][at]
	if !math.IsNaN(avg) {
		c.total += avg * float64(weight)
		c.n += weight
	}
	if !math.IsNaN(top) {
		if c.tops == 0 || top > c.top {
			c.top = top
		}
		c.tops++
	}
	r.latest = max(r.latest, second)
}

// series turns the gathered values into series, sorted by name, id and metric.
// What was never measured in the window is left out.
func (g *grid) series(withMax bool) []Series {
	rows := make([]*row, 0, len(g.rows))
	for _, r := range g.rows {
		if r.latest > 0 {
			rows = append(rows, r)
		}
	}
	if len(rows) > maxObjects {
		slices.SortFunc(rows, func(a, b *row) int { return cmp.Or(cmp.Compare(b.latest, a.latest), cmp.Compare(a.id, b.id)) })
		rows = rows[:maxObjects]
	}
	slices.SortFunc(rows, func(a, b *row) int { return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.id, b.id)) })
	var out []Series
	for _, r := range rows {
		n := containerMetrics
		if r.kind == Node {
			n = nodeMetrics
		}
		for m := range n {
			s := Series{Metric: m, ID: r.id, Name: r.name, Values: make([]float64, g.count)}
			if withMax {
				s.Max = make([]float64, g.count)
			}
			for i := range g.count {
				var c cell
				if r.cells[m] != nil {
					c = r.cells[m][i]
				}
				s.Values[i] = hole
				if c.n > 0 {
					s.Values[i] = c.total / float64(c.n)
				}
				if withMax {
					s.Max[i] = hole
					if c.tops > 0 {
						s.Max[i] = c.top
					}
				}
			}
			out = append(out, s)
		}
	}
	return out
}
