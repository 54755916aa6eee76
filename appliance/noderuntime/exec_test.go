package noderuntime

import (
	"context"
	"testing"

	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/runtime/ctrd"
	"github.com/skerryhq/skerry/runtime/workload"
)

// listener runs commands that end with the number of signals that wait.
type listener struct{ Containers }

func (listener) Exec(_ context.Context, _ workload.ID, _ workload.ExecSpec, s ctrd.ExecIO) (int, error) {
	n := 0
	for s.Signals != nil {
		if _, ok := <-s.Signals; !ok {
			break
		}
		n++
	}
	return n, nil
}

func TestExecPassesSignalsOn(t *testing.T) {
	w := newWorld(t)
	signals := make(chan string, 2)
	signals <- "INT"
	signals <- "TERM"
	close(signals)
	code, err := w.runtime(nil, listener{}).Exec(t.Context(), w.container(), api.ExecSpec{Command: []string{"sh"}}, api.Streams{Signals: signals})
	if err != nil || code != 2 {
		t.Errorf("the command heard %d signals, %v; want 2", code, err)
	}
}
