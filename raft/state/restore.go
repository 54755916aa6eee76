package state

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"

	"github.com/hashicorp/go-memdb"

	"github.com/skerryhq/skerry/raft/model"
)

// linesAtOnce is how many rows one goroutine decodes at a time.
const linesAtOnce = 256

var footerBegins = []byte(`{"rows":`)

// lines is a run of rows that is decoded beside others.
type lines struct {
	first   int // number of its first row
	raw     [][]byte
	failed  error // reading ended with this behind the last of raw
	decoded []decoded
	done    chan struct{} // closed when decoded holds a value for every line
}

// decoded is one row.
type decoded struct {
	table  string
	object any
	footer *int
	err    error
}

func readGeneration(r io.Reader) (*generation, error) {
	in := bufio.NewReaderSize(r, 256<<10)
	head, err := in.ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("header: %w: %w", ErrSnapshot, err)
	}
	if _, err := readHeader(json.NewDecoder(bytes.NewReader(head))); err != nil {
		return nil, err
	}
	g := newGeneration()
	txn := g.db.Txn(true)
	defer txn.Abort()
	to := &loader{txn: txn, services: map[string]*model.Service{}, nodes: map[string]string{}, words: map[string]string{}}
	stop := make(chan struct{})
	ordered := decodeLines(in, stop)
	defer func() { // nothing may read on once this returns
		close(stop)
		for range ordered {
		}
	}()
	for l := range ordered {
		<-l.done
		for i, d := range l.decoded {
			row := l.first + i
			if d.err == nil && d.footer == nil {
				d.err = to.load(d.table, d.object)
			}
			switch {
			case d.err != nil && d.table != "":
				return nil, fmt.Errorf("row %d of %s: %w: %w", row, d.table, ErrSnapshot, d.err)
			case d.err != nil:
				return nil, fmt.Errorf("row %d: %w: %w", row, ErrSnapshot, d.err)
			case d.footer == nil:
				continue
			case *d.footer != row:
				return nil, fmt.Errorf("%d rows, the footer says %d: %w", row, *d.footer, ErrSnapshot)
			}
			if err := to.finish(); err != nil {
				return nil, fmt.Errorf("%w: %w", ErrSnapshot, err)
			}
			txn.Commit()
			return g, nil
		}
		if l.failed != nil {
			return nil, fmt.Errorf("row %d: %w: %w", l.first+len(l.raw), ErrSnapshot, l.failed)
		}
	}
	return nil, fmt.Errorf("no footer: %w", ErrSnapshot) // not reached: the last lines have failed
}

// decodeLines reads rows and decodes them on all cores. The runs come in the
// order of the stream, each as soon as it was read; their number is bounded. The
// channel is closed behind the run with failed set, or soon after stop.
func decodeLines(in *bufio.Reader, stop <-chan struct{}) <-chan *lines {
	makers := map[string]func() any{}
	for _, t := range rowsOf {
		makers[t.table] = t.row
	}
	cores := runtime.GOMAXPROCS(0)
	ordered, undecoded := make(chan *lines, 2*cores), make(chan *lines)
	for range cores {
		go func() {
			for l := range undecoded {
				l.decoded = make([]decoded, len(l.raw))
				for i, line := range l.raw {
					l.decoded[i] = decode(line, makers)
				}
				close(l.done)
			}
		}()
	}
	go func() {
		defer close(ordered)
		defer close(undecoded)
		for first := 0; ; first += linesAtOnce {
			l := &lines{first: first, done: make(chan struct{})}
			for len(l.raw) < linesAtOnce && l.failed == nil {
				var line []byte
				if line, l.failed = in.ReadBytes('\n'); l.failed == nil {
					l.raw = append(l.raw, line)
				}
				if bytes.HasPrefix(line, footerBegins) { // nothing behind it is ours
					l.failed = io.EOF
				}
			}
			select {
			case ordered <- l:
			case <-stop:
				return
			}
			undecoded <- l // somebody always takes it: decoding waits for nobody
			if l.failed != nil {
				return
			}
		}
	}()
	return ordered
}

func decode(line []byte, makers map[string]func() any) decoded {
	row, err := cutRow(line)
	switch {
	case err != nil:
		return decoded{err: err}
	case row.Rows != nil:
		return decoded{footer: row.Rows}
	}
	mk, ok := makers[row.Table]
	if !ok {
		return decoded{err: fmt.Errorf("unknown table %q", row.Table)}
	}
	o := mk()
	return decoded{table: row.Table, object: o, err: json.Unmarshal(row.Object, o)}
}

// cutRow parts a line into table and object. Lines as WriteSnapshot writes them
// are cut by hand, which saves reading every object twice.
func cutRow(line []byte) (snapshotRow, error) {
	if rest, ok := bytes.CutPrefix(line, []byte(`{"t":"`)); ok {
		name, object, found := bytes.Cut(rest, []byte(`","o":`))
		if object, whole := bytes.CutSuffix(object, []byte("}\n")); found && whole && !bytes.ContainsAny(name, `"\`) {
			return snapshotRow{Table: string(name), Object: object}, nil
		}
	}
	var row snapshotRow
	err := json.Unmarshal(line, &row)
	return row, err
}

// loader puts the rows of a snapshot into an empty state. What is kept in rows
// for many containers is made at the end, each row once.
type loader struct {
	txn        *memdb.Txn
	services   map[string]*model.Service
	nodes      map[string]string // id -> the same id, in the memory that all have in common
	words      map[string]string // reasons of assignments, likewise
	containers []*model.Container
	addresses  []address
}

func (l *loader) load(table string, o any) error {
	switch o := o.(type) {
	case *model.Service:
		l.services[o.ID] = o
	case *model.Node:
		l.nodes[o.ID] = o.ID
	case *model.Container:
		if s, ok := l.services[o.ServiceID]; ok { // services come before containers
			shareSpec(o, s)
		}
		if id, ok := l.nodes[o.Assign.NodeID]; ok {
			o.Assign.NodeID = id
		}
		if word, ok := l.words[o.Assign.Reason]; ok {
			o.Assign.Reason = word
		} else if len(l.words) < 10_000 {
			l.words[o.Assign.Reason] = o.Assign.Reason
		}
		o.Status.Phase = shared(o.Status.Phase)
		if n := len(l.containers); n > 0 && l.containers[n-1].ID >= o.ID {
			return fmt.Errorf("container %s is there twice or not in the order of ids", o.ID)
		}
		l.containers = append(l.containers, o)
	case *address:
		if !o.Addr.IsValid() {
			return errors.New("no address")
		}
		l.addresses = append(l.addresses, *o)
		return nil
	}
	return l.txn.Insert(table, o)
}

// rowsLoaded is how many containers a part has after a restore, which leaves
// room for some that come.
const rowsLoaded = groupRows * 3 / 4

// finish makes the rows for many containers.
func (l *loader) finish() error {
	for _, g := range groupings {
		slices.SortFunc(l.containers, func(a, b *model.Container) int {
			if d := strings.Compare(g.of(a), g.of(b)); d != 0 {
				return d
			}
			return strings.Compare(g.by(a), g.by(b))
		})
		var row *group
		for i, c := range l.containers {
			of := g.of(c)
			if of == "" {
				continue
			}
			same := i > 0 && g.of(l.containers[i-1]) == of
			if same && g.by(l.containers[i-1]) == g.by(c) {
				return fmt.Errorf("container %s is there twice", c.Name)
			}
			if !same || len(row.Rows) == rowsLoaded {
				if err := l.keep(g.table, row); err != nil {
					return err
				}
				row = &group{Of: of, Rows: make([]*model.Container, 0, rowsLoaded)}
				if same {
					row.Low = g.by(c)
				}
			}
			row.Rows = append(row.Rows, c)
		}
		if err := l.keep(g.table, row); err != nil {
			return err
		}
	}
	slices.SortFunc(l.addresses, func(a, b address) int { return a.Addr.Compare(b.Addr) })
	var block *addressBlock
	for i, a := range l.addresses {
		if i > 0 && l.addresses[i-1].Addr == a.Addr {
			return fmt.Errorf("address %s is there twice", a.Addr)
		}
		if base := baseOf(a.Addr); block == nil || block.Base != base {
			if err := l.keepBlock(block); err != nil {
				return err
			}
			block = &addressBlock{Base: base}
		}
		block.Owners = append(block.Owners, a)
	}
	return l.keepBlock(block)
}

func (l *loader) keep(table string, row *group) error {
	if row == nil {
		return nil
	}
	row.Rows = tight(row.Rows)
	return l.txn.Insert(table, row)
}

func (l *loader) keepBlock(b *addressBlock) error {
	if b == nil {
		return nil
	}
	b.Owners = tight(b.Owners)
	return l.txn.Insert(tabAddresses, b)
}
