// Package logd is the log daemon: one small process a host that owns the stdout, stderr and stdin pipes of every
// container. It takes output from the pipes, stamps it, keeps it in rotated files of bounded size, and hands it
// live to whoever is attached.
//
// It never starts, stops or judges containers and never talks to the engine. Reading what is kept needs no daemon:
// that is package logs, which is also the client.
//
// What holds whatever happens:
//   - A byte leaves its pipe only after its record is in the file. A look into the pipe is a tee(2); a journal page
//     in shared memory says how far a batch came. So kill -9 at any moment loses no line of the file and repeats
//     none; whoever follows it live may see lines of the batch that was torn twice.
//   - A container is never blocked by a slow attacher or a full disk: the one is dropped, the other's output is
//     counted and told by a marker.
//   - Everything about open logs is below the run dir, so a new daemon goes on by itself.
//
// Concurrency: one goroutine a stream, one a connection; a container's lock is held for one batch.
package logd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skerryhq/skerry/runtime/logs"
	"github.com/skerryhq/skerry/runtime/logs/internal/wire"
)

// Config is what the daemon needs. Both folders must be absolute; they are made when missing.
type Config struct {
	RunDir       string // socket, lock and pipes; must be the same after a restart
	DataDir      string // log files, below "logs"
	NotifySocket string // where descriptors are kept (systemd's protocol); empty: nowhere
	Log          *slog.Logger
}

// lockPatience is how long a daemon waits for its predecessor to be gone.
const lockPatience = 5 * time.Second

// refreshEvery is how often a new process parent is looked for.
const refreshEvery = 2 * time.Second

type daemon struct {
	layout wire.Layout
	log    *slog.Logger
	peeker *peeker
	keep   *fdStore
	ops    keyedLock

	mu   sync.Mutex
	open map[string]*container
}

// Run serves until ctx ends, which closes no log and loses nothing. It goes on with every log that an earlier
// daemon of the same run dir had open. A second daemon of one run dir is refused.
func Run(ctx context.Context, cfg Config) error {
	if !filepath.IsAbs(cfg.RunDir) || !filepath.IsAbs(cfg.DataDir) {
		return fmt.Errorf("log daemon: run dir %q and data dir %q must be absolute paths", cfg.RunDir, cfg.DataDir)
	}
	layout := wire.Layout{RunDir: cfg.RunDir, DataDir: cfg.DataDir}
	for _, dir := range []string{layout.Pipes(), layout.Logs()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make folder: %w", err)
		}
	}
	lock, err := takeLock(ctx, layout.Lock())
	if err != nil {
		return err
	}
	defer lock.Close()
	pk, err := newPeeker()
	if err != nil {
		return err
	}
	defer pk.close()
	d := &daemon{
		layout: layout, log: cfg.Log, peeker: pk, keep: newFDStore(cfg.NotifySocket, cfg.Log),
		ops: keyedLock{held: map[string]*keyedEntry{}}, open: map[string]*container{},
	}
	defer d.letGo()
	if err := d.resume(); err != nil {
		return err
	}
	d.keep.refresh()
	return d.serve(ctx)
}

// takeLock makes this process the only daemon of the run dir.
func takeLock(ctx context.Context, path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	patience, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
		}
		select {
		case <-patience.Done():
			return nil, errors.Join(fmt.Errorf("lock %s: another log daemon serves this run dir; end it first or choose another --run-dir", path), f.Close())
		case <-tick.C:
		}
	}
}

// resume goes on with the logs of the run dir. A log that cannot be resumed is reported and skipped: one broken
// folder must not silence all other containers.
func (d *daemon) resume() error {
	entries, err := os.ReadDir(d.layout.Pipes())
	if err != nil {
		return fmt.Errorf("list open logs: %w", err)
	}
	for _, e := range entries {
		id := e.Name()
		if wire.CheckID(id) != nil || !e.IsDir() {
			continue
		}
		meta, err := readMeta(d.layout.Pipe(id))
		if errors.Is(err, fs.ErrNotExist) {
			if err := removeDir(d.layout.Pipe(id)); err != nil { // its opening or closing was cut short
				d.log.Warn("unfinished log stays", "container", id, "err", err)
			}
			continue
		}
		var c *container
		if err == nil {
			c, err = d.load(id, meta)
		}
		if err != nil {
			d.log.Error("log cannot be resumed", "container", id, "err", err)
			continue
		}
		d.put(id, c)
	}
	if n := len(d.list()); n > 0 {
		d.log.Info("logs resumed", "count", n)
	}
	return nil
}

func (d *daemon) serve(ctx context.Context) error {
	path := d.layout.Socket()
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) { // a killed predecessor's; the lock is ours
		return fmt.Errorf("remove old socket: %w", err)
	}
	if len(path) > 107 {
		return fmt.Errorf("socket %s: the path has %d bytes, the kernel takes 107; choose a shorter --run-dir", path, len(path))
	}
	old := unix.Umask(0o177)
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	unix.Umask(old)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() }) // Accept below then returns
	defer stop()

	var conns sync.WaitGroup
	defer conns.Wait()
	defer d.letGo() // ends attachers that wait for a container to read its input
	conns.Go(func() {
		tick := time.NewTicker(refreshEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				d.keep.refresh()
			}
		}
	})
	d.log.Info("log daemon ready", "socket", path)
	for {
		conn, err := ln.AcceptUnix()
		if err != nil {
			cancel()
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			return fmt.Errorf("accept: %w", err)
		}
		conns.Go(func() {
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
			defer stop()
			defer conn.Close()
			d.handle(conn)
		})
	}
}

// handle serves the one request of a connection.
func (d *daemon) handle(conn *net.UnixConn) {
	var req wire.Request
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return
	}
	if err := wire.ReadJSON(conn, &req); err != nil {
		return // whoever it was left, or is none of ours
	}
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		return
	}
	reply := wire.Reply{}
	var err error
	switch req.Op {
	case wire.OpOpen:
		err = d.openLog(req)
	case wire.OpClose:
		err = d.closeLog(req.ID)
	case wire.OpRemove:
		err = d.removeLog(req.ID)
	case wire.OpStatus:
		reply.Status = d.status()
	case wire.OpCloseStdin:
		err = d.with(req.ID, func(c *container) error { c.closeStdin(); return nil })
	case wire.OpAttach:
		if err = d.with(req.ID, func(c *container) error { return c.serveAttach(conn, req.Replay) }); err == nil {
			return
		}
	default:
		err = invalidError{fmt.Errorf("request %q is not known to this log daemon", req.Op)}
	}
	if err != nil {
		reply = wire.Reply{Kind: kindOf(err), Error: err.Error()}
		if reply.Kind == wire.KindInternal {
			d.log.Error("request failed", "op", string(req.Op), "container", req.ID, "err", err)
		}
	}
	_ = wire.WriteJSON(conn, reply) // the client left; it will ask again
}

type invalidError struct{ error }

func kindOf(err error) wire.Kind {
	var invalid invalidError
	switch {
	case errors.As(err, &invalid):
		return wire.KindInvalid
	case errors.Is(err, logs.ErrNotOpen):
		return wire.KindNotOpen
	default:
		return wire.KindInternal
	}
}

// openLog makes pipes and files and begins reading. For a log that is open with the same options it does nothing.
func (d *daemon) openLog(req wire.Request) error {
	if err := wire.CheckID(req.ID); err != nil {
		return invalidError{err}
	}
	if req.Meta == nil || req.Meta.MaxBytes < 64<<10 || req.Meta.MaxFiles < 1 {
		return invalidError{fmt.Errorf("open log of %s: the size of a file must be at least 65536 bytes and the number of files at least 1", req.ID)}
	}
	defer d.ops.lock(req.ID)()
	if c := d.get(req.ID); c != nil {
		if sameMeta(c.meta, *req.Meta) {
			return nil
		}
		return invalidError{fmt.Errorf("open log of %s: it is open already with other options; close it first", req.ID)}
	}
	dir := d.layout.Pipe(req.ID)
	if err := prepareDir(dir, *req.Meta); err != nil {
		return errors.Join(err, removeDir(dir))
	}
	c, err := d.load(req.ID, *req.Meta)
	if err != nil {
		return errors.Join(fmt.Errorf("open log of %s: %w", req.ID, err), removeDir(dir))
	}
	d.put(req.ID, c)
	return nil
}

// closeLog drains and forgets the pipes. For a log that is not open it does nothing.
func (d *daemon) closeLog(id string) error {
	if err := wire.CheckID(id); err != nil {
		return invalidError{err}
	}
	defer d.ops.lock(id)()
	return d.closeLocked(id)
}

func (d *daemon) closeLocked(id string) error {
	c := d.take(id)
	if c == nil {
		return removeDir(d.layout.Pipe(id)) // one that could not be resumed, or nothing
	}
	return c.finish()
}

// removeLog closes the log and deletes its files. For an unknown log it does nothing.
func (d *daemon) removeLog(id string) error {
	if err := wire.CheckID(id); err != nil {
		return invalidError{err}
	}
	defer d.ops.lock(id)()
	if err := d.closeLocked(id); err != nil {
		return err
	}
	if err := os.RemoveAll(d.layout.Log(id)); err != nil {
		return fmt.Errorf("remove log files: %w", err)
	}
	return nil
}

func (d *daemon) status() *wire.Status {
	s := &wire.Status{PID: os.Getpid(), Logs: []wire.LogStatus{}}
	for _, c := range d.list() {
		s.Logs = append(s.Logs, c.status())
	}
	return s
}

func (d *daemon) with(id string, fn func(*container) error) error {
	c := d.get(id)
	if c == nil {
		return fmt.Errorf("log of %.140q: %w", id, logs.ErrNotOpen)
	}
	return fn(c)
}

func (d *daemon) get(id string) *container {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.open[id]
}

func (d *daemon) put(id string, c *container) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open[id] = c
}

// take removes a log from the open ones; whoever takes it ends it.
func (d *daemon) take(id string) *container {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.open[id]
	delete(d.open, id)
	return c
}

// list returns the open logs sorted by id.
func (d *daemon) list() []*container {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([]*container, 0, len(d.open))
	for _, c := range d.open {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b *container) int { return strings.Compare(a.id, b.id) })
	return all
}

// letGo leaves every log to a next daemon. A log opened meanwhile is left by the next call.
func (d *daemon) letGo() {
	d.mu.Lock()
	open := d.open
	d.open = map[string]*container{}
	d.mu.Unlock()
	for _, c := range open {
		c.letGo()
	}
}

// keyedLock lets one operation at a time work on one container and many on different ones.
type keyedLock struct {
	mu   sync.Mutex
	held map[string]*keyedEntry
}

type keyedEntry struct {
	mu    sync.Mutex
	users int
}

// lock waits for id and returns what ends the hold.
func (k *keyedLock) lock(id string) (unlock func()) {
	k.mu.Lock()
	e := k.held[id]
	if e == nil {
		e = &keyedEntry{}
		k.held[id] = e
	}
	e.users++
	k.mu.Unlock()
	e.mu.Lock()
	return func() {
		e.mu.Unlock()
		k.mu.Lock()
		defer k.mu.Unlock()
		if e.users--; e.users == 0 {
			delete(k.held, id)
		}
	}
}
