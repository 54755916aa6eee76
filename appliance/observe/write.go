package observe

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

const (
	tendEvery = 10 * time.Minute
	openAgain = time.Minute
	patience  = 12 // failures of tending in a row
)

// write stores batches until there are no more. What goes wrong is told once
// and tried again; meanwhile the figures are in memory only.
func (r *Recorder) write(ctx context.Context, batches <-chan []point) {
	// Closing is worth little without room: everything is in the log on disk.
	defer func() {
		if db := r.swap(nil); db != nil && lowDisk(r.cfg.Dir) == nil {
			if err := db.close(); err != nil {
				r.log.Warn("the stored figures were not closed well", "err", err)
			}
		}
	}()
	var told bool
	tell := func(err error) {
		if told {
			r.log.Debug("figures are still in memory only", "err", err)
			return
		}
		told = true
		if errors.Is(err, unix.ENOSPC) {
			r.log.Warn("the disk is full: the last 15 minutes of this node's figures are in memory, none are stored until there is room", "err", err)
			return
		}
		r.log.Warn("the figures of this node cannot be stored, trying again; the last 15 minutes are in memory", "err", err)
	}
	var tried, tended time.Time
	var failed int
	ensure := func() bool {
		r.dbMu.RLock()
		open := r.db != nil
		r.dbMu.RUnlock()
		if open || time.Since(tried) < openAgain {
			return open
		}
		tried = time.Now()
		db, err := openStore(r.cfg.Dir, r.log)
		if err != nil {
			tell(err)
			return false
		}
		r.swap(db)
		tended = time.Now()
		return true
	}
	ensure()
	for batch := range batches {
		if !ensure() {
			continue
		}
		if err := lowDisk(r.cfg.Dir); err != nil {
			tell(err)
			continue
		}
		r.dbMu.RLock()
		err := r.db.add(context.WithoutCancel(ctx), batch)
		r.dbMu.RUnlock()
		if err != nil {
			tell(err)
			continue
		}
		if told {
			r.log.Info("the figures of this node are stored again")
		}
		told = false
		if time.Since(tended) >= tendEvery && ctx.Err() == nil {
			tended = time.Now()
			r.dbMu.RLock()
			err := r.db.tend(ctx, tended.Unix())
			r.dbMu.RUnlock()
			switch {
			case err == nil:
				failed = 0
			case ctx.Err() == nil:
				tell(err)
				failed++
			}
			if failed >= patience { // what is not written as blocks stays in memory: opening again may mend it
				failed = 0
				if err := r.swap(nil).close(); err != nil {
					tell(err)
				}
			}
		}
	}
}

// swap puts a store in the place of the present one, which nobody uses then.
func (r *Recorder) swap(db *store) (before *store) {
	r.dbMu.Lock()
	defer r.dbMu.Unlock()
	before, r.db = r.db, db
	return before
}
