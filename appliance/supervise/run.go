package supervise

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// RunConfig is what the parent needs.
type RunConfig struct {
	RunDir, DataDir string // absolute
	// ChildArgv starts this binary again so that it calls BecomeChild; empty: the running binary with ChildCommand.
	ChildArgv []string
	Log       *slog.Logger
}

const (
	lockPatience = 5 * time.Second
	trimEvery    = 2 * time.Second
)

// supervisor is the running parent.
type supervisor struct {
	layout    layout
	log       *slog.Logger
	boot      string
	childArgv []string
	reaper    *reaper
	bye       context.CancelFunc // ends Run after a shutdown
	tasks     sync.WaitGroup     // run goroutines and keepers

	ops sync.Mutex // one ensure, stop or shutdown changes the set at a time

	mu        sync.Mutex
	processes map[string]*process
	nextOrder int
	closed    bool // a shutdown has begun
}

// Run is the process parent. It blocks until a client asks for a shutdown or ctx ends (SIGTERM); both end every
// process, the last one first. There is one parent for each run dir; a second is refused.
func Run(ctx context.Context, cfg RunConfig) error {
	l := layout{runDir: cfg.RunDir, dataDir: cfg.DataDir}
	if err := errors.Join(l.check(), l.make()); err != nil {
		return fmt.Errorf("process parent: %w", err)
	}
	lock, err := takeLock(ctx, l.lock(), func() bool {
		_, err := (&Client{layout: l}).Status(ctx)
		return err == nil
	})
	if err != nil {
		return err
	}
	defer lock.Close()
	boot, err := bootID()
	if err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become the reaper of orphans: %w", err)
	}
	if cfg.ChildArgv == nil {
		cfg.ChildArgv = []string{"/proc/self/exe", ChildCommand}
	}
	s := &supervisor{
		layout: l, log: cfg.Log, boot: boot, childArgv: cfg.ChildArgv,
		reaper: &reaper{wards: map[int]*running{}}, processes: map[string]*process{},
	}
	// Processes outlive ctx: they are ended in order, not all at once.
	alive, bye := context.WithCancel(context.WithoutCancel(ctx))
	defer bye()
	s.bye = bye
	stopReaping := s.reap()
	defer stopReaping()
	if err := s.resume(alive); err != nil {
		return err
	}
	err = s.serve(ctx, alive)
	s.shutdown(err != nil)
	s.tasks.Wait()
	return err
}

// reap collects children until the returned function is called.
func (s *supervisor) reap() (stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGCHLD)
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-signals:
				s.reaper.collect()
			case <-done:
				return
			}
		}
	})
	return func() {
		signal.Stop(signals)
		close(done)
		wg.Wait()
	}
}

var errServed = errors.New("another process parent serves this run dir")

// takeLock waits for a predecessor to be gone, unless taken says that waiting is no use.
func takeLock(ctx context.Context, path string, taken func() bool) (*os.File, error) {
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
		if taken() {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, errServed), f.Close())
		}
		select {
		case <-patience.Done():
			return nil, errors.Join(fmt.Errorf("lock %s: another process parent serves this run dir but does not answer", path), f.Close())
		case <-tick.C:
		}
	}
}

// resume goes on with what an earlier parent had.
func (s *supervisor) resume(alive context.Context) error {
	paths, err := filepath.Glob(filepath.Join(s.layout.dir(), "*.json"))
	if err != nil {
		return fmt.Errorf("list processes: %w", err)
	}
	var all []saved
	for _, path := range paths {
		var one saved
		body, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(body, &one)
		}
		if err != nil || s.layout.spec(one.Spec.Name) != path {
			s.log.Error("process is forgotten: its file cannot be used", "path", path, "err", err)
			continue
		}
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b saved) int { return cmp.Compare(a.Order, b.Order) })
	for _, one := range all {
		s.nextOrder = max(s.nextOrder, one.Order+1)
		p := newProcess(s, one.Spec, one.Order)
		if err := s.begin(alive, p); err != nil {
			s.log.Error("process cannot be resumed", "name", p.name, "err", err)
		}
	}
	return nil
}

// begin gives p its goroutine. The caller is the only one that changes the set.
func (s *supervisor) begin(alive context.Context, p *process) error {
	if p.spec.KeepFDs > 0 {
		k, err := newKeeper(s.layout.notify(p.name), p.name, p.spec.KeepFDs, s.log)
		if err != nil {
			return err
		}
		p.keep = k
		s.tasks.Go(k.run)
	}
	s.mu.Lock()
	s.processes[p.name] = p
	s.mu.Unlock()
	s.tasks.Go(func() { p.run(alive) })
	return nil
}

// ordered returns the processes in the order in which they were first asked for.
func (s *supervisor) ordered() []*process {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*process, 0, len(s.processes))
	for _, p := range s.processes {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b *process) int { return cmp.Compare(a.order, b.order) })
	return all
}

// ensure makes the process run as spec says and waits until it does or cannot.
func (s *supervisor) ensure(ctx, alive context.Context, spec Spec) error {
	if err := spec.validate(); err != nil {
		return err
	}
	p, err := s.prepare(ctx, alive, spec)
	if err != nil {
		return err
	}
	return p.settled(ctx, spec)
}

func (s *supervisor) prepare(ctx, alive context.Context, spec Spec) (*process, error) {
	s.ops.Lock()
	defer s.ops.Unlock()
	s.mu.Lock()
	p, closed := s.processes[spec.Name], s.closed
	s.mu.Unlock()
	if closed {
		return nil, fmt.Errorf("start process %s: the process parent is shutting down", spec.Name)
	}
	if p != nil && p.keepsDiffer(spec) { // the descriptor socket belongs to the entry: make a new one
		if err := s.remove(ctx, p); err != nil {
			return nil, err
		}
		p = nil
	}
	if p != nil {
		if err := p.remember(spec); err != nil {
			return nil, err
		}
		p.want(spec)
		return p, nil
	}
	p = newProcess(s, spec, s.nextOrder)
	s.nextOrder++
	if err := p.remember(spec); err != nil {
		return nil, err
	}
	return p, s.begin(alive, p)
}

func (p *process) keepsDiffer(spec Spec) bool {
	old, _, _ := p.wanted()
	return old.KeepFDs != spec.KeepFDs
}

// remove ends a process and forgets it. The caller holds s.ops.
func (s *supervisor) remove(ctx context.Context, p *process) error {
	p.quit(false)
	select {
	case <-p.done:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	s.mu.Lock()
	delete(s.processes, p.name)
	s.mu.Unlock()
	return p.forget()
}

func (s *supervisor) stopOne(ctx context.Context, name string) error {
	s.ops.Lock()
	defer s.ops.Unlock()
	s.mu.Lock()
	p := s.processes[name]
	s.mu.Unlock()
	if p == nil {
		return nil
	}
	return s.remove(ctx, p)
}

// shutdown ends all processes in reverse order; with leave it leaves them to a next parent.
func (s *supervisor) shutdown(leave bool) {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.ops.Lock()
	defer s.ops.Unlock()
	for _, p := range slices.Backward(s.ordered()) {
		if leave {
			p.quit(true)
			<-p.done
			if p.keep != nil {
				_ = p.keep.close() // the reason for leaving is reported already
			}
			continue
		}
		if err := s.remove(context.Background(), p); err != nil {
			s.log.Error("process is not forgotten", "name", p.name, "err", err)
		}
	}
}

func (s *supervisor) trimLogs() {
	sizes := map[string]int64{s.layout.log("supervise"): defaultLogMaxBytes}
	for _, p := range s.ordered() {
		spec, _, _ := p.wanted()
		sizes[s.layout.log(p.name)] = spec.logMaxBytes()
	}
	for path, most := range sizes {
		if err := trim(path, most); err != nil {
			s.log.Warn("log file cannot be bounded", "path", path, "err", err)
		}
	}
}

// serve answers clients until ctx or alive ends.
func (s *supervisor) serve(ctx, alive context.Context) error {
	path := s.layout.socket()
	if err := removeFiles(path); err != nil { // a killed predecessor's; the lock is ours
		return err
	}
	part := path + ".part" // nobody must connect before its mode is right
	if err := removeFiles(part); err != nil {
		return err
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: part, Net: "unix"})
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	ln.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(part, 0o600), os.Rename(part, path)); err != nil {
		return errors.Join(fmt.Errorf("listen: %w", err), ln.Close())
	}
	serving, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(alive, cancel)()
	defer context.AfterFunc(serving, func() { _ = ln.Close() })()
	var conns sync.WaitGroup
	defer conns.Wait()
	defer cancel()
	conns.Go(func() {
		tick := time.NewTicker(trimEvery)
		defer tick.Stop()
		for {
			select {
			case <-serving.Done():
				return
			case <-tick.C:
				s.trimLogs()
			}
		}
	})
	s.log.Info("process parent ready", "socket", path)
	for {
		conn, err := ln.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return removeFiles(path)
		}
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		conns.Go(func() {
			defer conn.Close()
			defer context.AfterFunc(serving, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })()
			s.handle(serving, alive, conn)
		})
	}
}

func (s *supervisor) handle(ctx, alive context.Context, conn *net.UnixConn) {
	var req request
	if err := receive(conn, &req); err != nil {
		return // whoever it was left, or is none of ours
	}
	var out reply
	var err error
	switch req.Op {
	case opStatus:
		out.Status = &Status{PID: os.Getpid(), Processes: []ProcessStatus{}}
		for _, p := range s.ordered() {
			st, _ := p.snapshot()
			out.Status.Processes = append(out.Status.Processes, st)
		}
	case opEnsure:
		if req.Spec == nil {
			err = errors.New("request to ensure a process names none")
		} else {
			err = s.ensure(ctx, alive, *req.Spec)
		}
	case opStop:
		err = s.stopOne(ctx, req.Name)
	case opShutdown:
		s.shutdown(false)
		defer s.bye()
	case opWatch:
		if send(conn, out) == nil {
			_ = receive(conn, &req) // returns when either side ends, which is all that is waited for
		}
		return
	default:
		err = fmt.Errorf("request %q is not known to this process parent", req.Op)
	}
	if err != nil {
		out = reply{Error: err.Error()}
	}
	_ = send(conn, out) // the client left; it will ask again
}
