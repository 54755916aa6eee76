package observe

import (
	"math"
	"time"
)

// Metric is one figure of a container or node.
type Metric uint8

// The metrics. Those of a container come first.
const (
	CPU        Metric = iota // cores in use
	Memory                   // bytes, without file cache that can be given back
	NetworkRx                // bytes per second that the container or host received
	NetworkTx                // bytes per second that it sent
	BlockRead                // bytes per second
	BlockWrite               // bytes per second
	PIDs                     // processes and threads; of a node, those of its containers
	Disk                     // bytes used on the data folder's file system; nodes only
	Load1                    // load average of a minute; nodes only

	containerMetrics = PIDs + 1
	nodeMetrics      = Load1 + 1
)

var metricNames = [nodeMetrics][2]string{
	{"cpu", "cores"}, {"memory", "bytes"}, {"networkRx", "bytesPerSecond"}, {"networkTx", "bytesPerSecond"},
	{"blockRead", "bytesPerSecond"}, {"blockWrite", "bytesPerSecond"}, {"pids", "count"}, {"disk", "bytes"}, {"load1", "count"},
}

// String is the metric's name in the API.
func (m Metric) String() string { return metricNames[m][0] }

// Unit is cores, bytes, bytesPerSecond or count.
func (m Metric) Unit() string { return metricNames[m][1] }

// Kind is what a query is about.
type Kind uint8

// The kinds.
const (
	Container Kind = iota + 1
	Service        // every container that the service has, or had in the window
	Node
)

// Query asks for figures. ID is that of the object; who may see it was decided
// before.
type Query struct {
	Kind     Kind
	ID       string
	From, To time.Time
	Step     time.Duration // 0: chosen such that there are at most 600 values; else at least a second
}

// Result is a grid of times with the values at them.
type Result struct {
	From   time.Time // of the first value
	Step   time.Duration
	Count  int // values in each series
	Series []Series
}

// Series is one metric of one container or node. Values and Max have one item
// for each step; NaN is a hole.
type Series struct {
	Metric Metric
	ID     string // of the container or node
	Name   string // of the container, when it was last seen
	Values []float64
	Max    []float64 // the highest within each step; nil where a step is one sample
}

var hole = math.NaN()
