package rafttest

import (
	"errors"
	"sync"
	"syscall"

	"github.com/hashicorp/raft"

	"github.com/skerryhq/skerry/raft/model"
)

// Disk is the log and the stable store of a member, which a test can make hang
// or refuse.
type Disk struct {
	*raft.InmemStore

	mu    sync.Mutex
	gate  chan struct{} // guarded by mu; not nil while the disk hangs
	full  bool          // guarded by mu
	fatal error         // guarded by mu; what the node said when it gave up
}

// Hang holds every write back until Resume.
func (d *Disk) Hang() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gate == nil {
		d.gate = make(chan struct{})
	}
}

// Fill makes every write fail for want of space until Resume.
func (d *Disk) Fill() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.full = true
}

// Resume makes the disk work again.
func (d *Disk) Resume() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gate != nil {
		close(d.gate)
		d.gate = nil
	}
	d.full = false
}

// Fatal is what the node said when its disk made it give up; nil if it did not.
func (d *Disk) Fatal() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.fatal
}

// broke keeps the sentence of a node that gave up because of its disk.
func (d *Disk) broke(err error) bool {
	if model.CodeOf(err) != "disk_full" && !errors.Is(err, syscall.ENOSPC) {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fatal = err
	return true
}

// wait is the way of every write.
func (d *Disk) wait() error {
	d.mu.Lock()
	gate, full := d.gate, d.full
	d.mu.Unlock()
	if gate != nil {
		<-gate
	}
	if full {
		return syscall.ENOSPC
	}
	return nil
}

// StoreLog writes one entry.
func (d *Disk) StoreLog(l *raft.Log) error { return d.StoreLogs([]*raft.Log{l}) }

// StoreLogs writes entries.
func (d *Disk) StoreLogs(logs []*raft.Log) error {
	if err := d.wait(); err != nil {
		return err
	}
	return d.InmemStore.StoreLogs(logs)
}

// DeleteRange deletes entries.
func (d *Disk) DeleteRange(from, to uint64) error {
	if err := d.wait(); err != nil {
		return err
	}
	return d.InmemStore.DeleteRange(from, to)
}

// Set writes a value.
func (d *Disk) Set(key, val []byte) error {
	if err := d.wait(); err != nil {
		return err
	}
	return d.InmemStore.Set(key, val)
}

// SetUint64 writes a number.
func (d *Disk) SetUint64(key []byte, val uint64) error {
	if err := d.wait(); err != nil {
		return err
	}
	return d.InmemStore.SetUint64(key, val)
}
