package node

import (
	"context"
	"time"
)

// The watchdog's patience. Heartbeats go out beside the log, so a leader whose
// disk hangs would lead for ever without getting anything done.
const (
	stuckAfter   = 3 * time.Second        // a write to the log or the application of an entry that takes longer is stuck
	lookEvery    = 250 * time.Millisecond // how often the watchdog looks
	handOverTime = time.Second            // how long handing over may take before the node falls silent
)

// watchdog takes the lead from this node while it is stuck: it hands over where
// raft still listens, and otherwise stops the heartbeats, so that the others
// elect another. It speaks again when the work goes on.
func (n *Node) watchdog() {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var asked time.Time // when handing over was tried
	for {
		select {
		case <-tick.C:
		case <-n.closing:
			return
		}
		write, apply := n.logs.writing.lasts(), n.timed.applying.lasts()
		if max(write, apply) < stuckAfter {
			asked = time.Time{}
			if !n.broken.Load() && n.watched.silent.CompareAndSwap(true, false) {
				n.log.Info("what was stuck goes on; this node takes part again")
			}
			continue
		}
		if n.watched.silent.Load() {
			continue
		}
		if !n.Leads() {
			n.watched.silent.Store(true) // it must not become leader either
			n.log.Warn("this node is stuck and seeks no votes", "log_write", write, "apply", apply)
			continue
		}
		if n.alone() {
			continue // nobody else could lead
		}
		switch {
		case write < stuckAfter && asked.IsZero():
			asked = time.Now()
			n.log.Error("this node leads but its state machine is stuck; it hands the lead to another", "apply", apply)
			ctx, cancel := context.WithTimeout(context.Background(), handOverTime)
			if err := n.TransferLeadership(ctx); err != nil {
				n.log.Warn("handing over failed", "err", err)
			}
			cancel()
		default:
			n.watched.silent.Store(true)
			n.log.Error("this node leads but is stuck; it stops its heartbeats, so that another takes over", "log_write", write, "apply", apply)
		}
	}
}

// diskFailed notes that the disk refused a write: this node must neither lead
// nor vote any more, and the process should end.
func (n *Node) diskFailed(cause error) {
	select {
	case <-n.closing:
		return // the files are being closed
	default:
	}
	if n.broken.Swap(true) {
		return
	}
	n.watched.silent.Store(true)
	err := brokenDisk(n.cfg.Dir, cause)
	n.log.Error("this node takes no further part", "err", err)
	go n.fatal(err) // Fatal may close this node, which waits for the goroutine that is here
}
