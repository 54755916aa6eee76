package logd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skerryhq/skerry/runtime/logs"
	"github.com/skerryhq/skerry/runtime/logs/internal/wire"
)

// container is one open log: its pipes, its files and whoever is attached.
type container struct {
	id     string
	dir    string // of the pipes
	meta   wire.Meta
	log    *slog.Logger
	peeker *peeker
	keep   *fdStore
	pumps  sync.WaitGroup
	over   chan struct{} // closed when the log is being closed or let go

	letting atomic.Bool // the daemon lets go of the log without closing it

	mu        sync.Mutex
	journal   *journal
	file      *logFile
	stamps    logs.Stamper
	streams   []*stream
	stdin     *os.File // nil when there is none or it is closed
	attachers map[*attacher]struct{}
	taken     int64
	lost      int64
	lostWhy   string
	lastErr   string // why output is dropped now; empty while it is kept
	ending    bool   // no further pump may start
}

// prepareDir makes the folder of an open log. The meta file comes last: it says that all the rest is there.
func prepareDir(dir string, meta wire.Meta) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make pipe folder: %w", err)
	}
	names := []string{wire.StdoutFIFO}
	if !meta.TTY {
		names = append(names, wire.StderrFIFO)
	}
	if meta.Stdin {
		names = append(names, wire.StdinFIFO)
	}
	for _, name := range names {
		if err := makeFIFO(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	body, err := json.Marshal(meta)
	if err != nil {
		return fmt.Errorf("encode log options: %w", err)
	}
	part := filepath.Join(dir, wire.MetaFile+".part")
	if err := os.WriteFile(part, body, 0o600); err != nil {
		return fmt.Errorf("write log options: %w", err)
	}
	if err := os.Rename(part, filepath.Join(dir, wire.MetaFile)); err != nil {
		return fmt.Errorf("write log options: %w", err)
	}
	return nil
}

// readMeta returns fs.ErrNotExist for a folder whose making was not finished.
func readMeta(dir string) (wire.Meta, error) {
	var meta wire.Meta
	body, err := os.ReadFile(filepath.Join(dir, wire.MetaFile))
	if err != nil {
		return meta, err
	}
	if err := json.Unmarshal(body, &meta); err != nil {
		return meta, fmt.Errorf("log options in %s: %w", dir, err)
	}
	return meta, nil
}

// removeDir removes what prepareDir made, the meta file first.
func removeDir(dir string) error {
	if err := os.Remove(filepath.Join(dir, wire.MetaFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove log options: %w", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove pipe folder: %w", err)
	}
	return nil
}

// load opens everything of a prepared folder, finishes what a killed daemon left half done and begins reading.
func (d *daemon) load(id string, meta wire.Meta) (_ *container, err error) {
	c := &container{
		id: id, dir: d.layout.Pipe(id), meta: meta, log: d.log, peeker: d.peeker, keep: d.keep,
		over: make(chan struct{}), attachers: map[*attacher]struct{}{}, lostWhy: "the log daemon was restarted while the disk refused output",
	}
	defer func() {
		if err != nil {
			c.release()
		}
	}()
	if c.journal, err = openJournal(filepath.Join(c.dir, wire.JournalFile)); err != nil {
		return nil, err
	}
	if c.file, err = openLogFile(d.layout.Log(id), meta.MaxBytes, meta.MaxFiles); err != nil {
		return nil, err
	}
	names := map[logs.Stream]string{logs.Stdout: wire.StdoutFIFO}
	if !meta.TTY {
		names[logs.Stderr] = wire.StderrFIFO
	}
	for _, name := range []logs.Stream{logs.Stdout, logs.Stderr} {
		if names[name] == "" {
			continue
		}
		path := filepath.Join(c.dir, names[name])
		s, err := newStream(c, name, path)
		if err != nil {
			return nil, err
		}
		c.streams = append(c.streams, s)
		c.keep.add(id, names[name], path, unix.O_RDONLY)
	}
	if meta.Stdin && c.journal.closed == 0 {
		path := filepath.Join(c.dir, wire.StdinFIFO)
		if c.stdin, err = openFIFO(path); err != nil {
			return nil, err
		}
		c.keep.add(id, wire.StdinFIFO, path, unix.O_WRONLY)
	}
	if err := c.recover(); err != nil {
		return nil, fmt.Errorf("recover log of %s: %w", id, err)
	}
	for _, s := range c.streams {
		c.pumps.Go(s.pump)
	}
	return c, nil
}

// recover finishes the batch that was under way when the last daemon was killed. Nobody else uses c yet.
func (c *container) recover() error {
	j, l := c.journal, c.file
	step := j.step.Load()
	if step == stepAppend && l.f != nil && j.seq == l.seq {
		switch {
		case l.size == j.offset+j.length:
			step = stepConsume
			j.step.Store(step)
		case l.size > j.offset:
			if err := l.truncate(j.offset); err != nil {
				return err
			}
		}
	}
	if step == stepConsume {
		if j.mark != j.want {
			if err := c.finishConsume(); err != nil {
				return err
			}
		}
		j.done()
	}
	j.clears = 0
	j.step.Store(stepIdle)
	return l.mend()
}

// finishConsume takes the bytes that are in the file already, if this is still the pipe they came from.
func (c *container) finishConsume() error {
	j := c.journal
	for _, s := range c.streams {
		if uint32(s.name) != j.stream || j.raw <= 0 || j.raw > peekSize {
			continue
		}
		raw := make([]byte, j.raw)
		return s.control(func(fd uintptr) error {
			n, err := c.peeker.peek(fd, raw)
			if err != nil || n != len(raw) || crc32.Checksum(raw, castagnoli) != j.crc {
				return err
			}
			return consume(fd, raw, &j.mark)
		})
	}
	return nil
}

// batchLimit keeps one batch from filling more than a file.
func (c *container) batchLimit() int { return int(min(batchOut, c.meta.MaxBytes/2)) }

// finish drains the pipes, tells the attachers and forgets the pipes.
func (c *container) finish() error {
	c.stopPumps()
	for _, s := range c.streams {
		s.close()
	}
	c.pumps.Wait()
	c.mu.Lock()
	var err error
	for _, s := range c.streams { // output dropped at the end deserves its marker too, if there is room for that
		err = errors.Join(err, c.tellLost(s.name))
	}
	for a := range c.attachers {
		a.end(wire.FrameClosed, "")
	}
	clear(c.attachers)
	c.mu.Unlock()
	if err != nil {
		c.log.Warn("lost output could not be noted", "container", c.id, "err", err)
	}
	for _, name := range []string{wire.StdinFIFO, wire.StdoutFIFO, wire.StderrFIFO} {
		c.keep.remove(c.id, name)
	}
	c.release()
	return removeDir(c.dir)
}

// tellLost writes the marker for output that was dropped. The caller holds c.mu.
func (c *container) tellLost(name logs.Stream) error {
	n := c.journal.lost[name]
	if n == 0 {
		return nil
	}
	c.stamps.Set(time.Now().UnixNano())
	record := logs.AppendLost(nil, &c.stamps, name, n, c.lostWhy)
	if err := c.file.makeRoom(len(record)); err != nil {
		return err
	}
	if err := c.file.write(record); err != nil {
		return err
	}
	c.journal.lost[name] = 0
	return nil
}

// letGo stops reading and leaves pipes, journal and shim as they are; a next daemon goes on.
func (c *container) letGo() {
	c.letting.Store(true)
	c.stopPumps()
	c.mu.Lock()
	for a := range c.attachers {
		a.cut()
	}
	c.mu.Unlock()
	for _, s := range c.streams {
		_ = s.f.Close() // waits for a batch under way, so none is cut in two
	}
	c.pumps.Wait()
	c.release()
}

func (c *container) stopPumps() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ending = true
	close(c.over)
}

// release closes every descriptor. No pump runs.
func (c *container) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.streams {
		_ = s.f.Close() // only reading ends; there is nothing an error could tell
	}
	if c.stdin != nil {
		_ = c.stdin.Close()
		c.stdin = nil
	}
	if c.file != nil {
		if err := c.file.close(); err != nil {
			c.log.Warn("close log file", "container", c.id, "err", err)
		}
	}
	if c.journal != nil {
		if err := c.journal.close(); err != nil {
			c.log.Warn("close journal", "container", c.id, "err", err)
		}
		c.journal = nil
	}
}

func (c *container) status() wire.LogStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	return wire.LogStatus{ID: c.id, Bytes: c.taken, Lost: c.lost, Attached: len(c.attachers), StdinClosed: c.stdin == nil, LastError: c.lastErr}
}

// sameMeta compares through the file's form, so that a later field cannot be forgotten.
func sameMeta(a, b wire.Meta) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}
