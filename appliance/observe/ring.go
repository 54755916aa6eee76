package observe

// The memory of one object is cut into minutes, which are allocated as they
// come: a container costs 1.7 KB a minute and at most 27 KB. Numbers are
// float32: a value is exact to 1 in 16 million.
const (
	minute     = 60
	keptBlocks = 16 // 15 minutes and the one that is being filled
)

// ring holds one value a second of some metrics for the last 15 minutes.
type ring struct {
	metrics int
	blocks  []block // oldest first
}

type block struct {
	minute int64     // since 1970
	values []float32 // second-major: 60 x metrics; NaN is a hole
}

// put stores the values of a second; len(values) is r.metrics. Going back in
// time by more than what is kept stores nothing.
func (r *ring) put(second int64, values []float64) {
	b := r.block(second / minute)
	if b == nil {
		return
	}
	at := int(second%minute) * r.metrics
	for i, v := range values {
		b.values[at+i] = float32(v)
	}
}

// block finds or makes the block of a minute.
func (r *ring) block(m int64) *block {
	i := len(r.blocks)
	for i > 0 && r.blocks[i-1].minute > m {
		i--
	}
	if i > 0 && r.blocks[i-1].minute == m {
		return &r.blocks[i-1]
	}
	for len(r.blocks) > 0 && i > 0 && r.blocks[0].minute <= m-keptBlocks { // a gap ages several at once
		r.blocks = append(r.blocks[:0], r.blocks[1:]...)
		i--
	}
	b := block{minute: m}
	if len(r.blocks) == keptBlocks {
		if i == 0 {
			return nil
		}
		b.values = r.blocks[0].values
		r.blocks = append(r.blocks[:0], r.blocks[1:]...)
		i--
	} else {
		b.values = make([]float32, minute*r.metrics)
	}
	for j := range b.values {
		b.values[j] = float32(hole)
	}
	r.blocks = append(r.blocks, block{})
	copy(r.blocks[i+1:], r.blocks[i:])
	r.blocks[i] = b
	return &r.blocks[i]
}

// each gives the values of every second in [from, to) that may hold something.
func (r *ring) each(from, to int64, do func(second int64, values []float32)) {
	for _, b := range r.blocks {
		begin := b.minute * minute
		for s := max(from, begin); s < min(to, begin+minute); s++ {
			at := int(s-begin) * r.metrics
			do(s, b.values[at:at+r.metrics])
		}
	}
}

// newest is the minute of the newest block.
func (r *ring) newest() int64 {
	if len(r.blocks) == 0 {
		return 0
	}
	return r.blocks[len(r.blocks)-1].minute
}

// bytes is what the values take.
func (r *ring) bytes() int {
	n := 0
	for _, b := range r.blocks {
		n += cap(b.values)*4 + 32
	}
	return n
}
