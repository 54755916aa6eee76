package state

import (
	"fmt"
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
	meta      meta
	index     uint64
	now       time.Time // of the present command's origin, never the clock
	origin    *model.Origin
	events    int // written under the present index
	newEvents bool
	journal   []change // of the present command, to undo it
}

// change is one write, remembered so that a refusal leaves nothing behind.
type change struct {
	table    string
	old, new any
}

func (t *tx) begin(index uint64) {
	t.v = View{txn: t.txn}
	if m, ok := first[meta](&t.v, tabMeta, idxID, key("meta")); ok {
		t.meta = *m
	}
	t.index, t.events = index, 0
}

func (t *tx) end() {
	m := t.meta
	m.Index = t.index
	must(t.txn.Insert(tabMeta, &m))
}

// put writes an object; id is its key in the table.
func (t *tx) put(table string, id []byte, o any) {
	old, err := t.txn.First(table, idxID, id)
	must(err)
	must(t.txn.Insert(table, o))
	t.journal = append(t.journal, change{table: table, old: old, new: o})
}

// del deletes an object that is there.
func (t *tx) del(table string, o any) {
	must(t.txn.Delete(table, o))
	t.journal = append(t.journal, change{table: table, old: o})
}

// undo takes back what the present command wrote.
func (t *tx) undo() {
	for i := len(t.journal) - 1; i >= 0; i-- {
		c := t.journal[i]
		switch {
		case c.old == nil:
			must(t.txn.Delete(c.table, c.new))
		default:
			must(t.txn.Insert(c.table, c.old))
		}
	}
}

// apply applies one command; a refusal leaves nothing behind.
func (t *tx) apply(c command.Command) command.Outcome {
	t.origin = c.From()
	t.now = t.origin.Time
	t.journal = t.journal[:0]
	events, total := t.events, t.meta.Events
	refused, err := t.dispatch(c)
	if err != nil {
		t.undo()
		t.events, t.meta.Events = events, total
		return command.Outcome{Err: err}
	}
	return command.Outcome{Refused: refused}
}

func (t *tx) dispatch(c command.Command) ([]command.Refusal, *model.Error) {
	switch c := c.(type) {
	default:
		// The FSM refuses unknown types before they come here.
		panic(fmt.Sprintf("state: no rule for %s", c.Type().Name()))
	}
}
