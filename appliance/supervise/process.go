package supervise

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// process is one supervised process. Its run goroutine alone starts, adopts and ends it; others say what they want.
type process struct {
	s     *supervisor
	name  string
	order int
	keep  *keeper       // nil when no descriptors are kept
	kick  chan struct{} // holds one wake-up
	done  chan struct{} // closed when run has ended

	mu      sync.Mutex
	spec    Spec
	stop    bool // end it and forget it
	leave   bool // let it run and forget it
	status  ProcessStatus
	changed chan struct{} // closed and replaced with every change of status
}

func newProcess(s *supervisor, spec Spec, order int) *process {
	return &process{
		s: s, name: spec.Name, order: order, spec: spec, kick: make(chan struct{}, 1), done: make(chan struct{}), changed: make(chan struct{}),
		status: ProcessStatus{Name: spec.Name, State: StateStarting, Since: time.Now()},
	}
}

func (p *process) wake() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

// want sets the spec and wakes run when something changed.
func (p *process) want(spec Spec) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spec = spec
	p.wake()
}

// quit ends run: with the process, or leaving it to the next parent.
func (p *process) quit(leave bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if leave {
		p.leave = true
	} else {
		p.stop = true
	}
	p.wake()
}

func (p *process) wanted() (spec Spec, stop, leave bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.spec, p.stop, p.leave
}

// report changes the status and tells who waits.
func (p *process) report(change func(*ProcessStatus)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.status.State
	change(&p.status)
	if p.status.State != before {
		p.status.Since = time.Now()
	}
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *process) snapshot() (ProcessStatus, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	st := p.status
	if p.keep != nil {
		st.KeptFDs = p.keep.count()
	}
	return st, p.changed
}

// settled waits until the process runs as spec says, or returns why it could not be started.
func (p *process) settled(ctx context.Context, spec Spec) error {
	for {
		st, changed := p.snapshot()
		if st.identity == spec.identity() {
			switch st.State {
			case StateRunning:
				return nil
			case StateWaiting:
				return fmt.Errorf("start process %s: %s", p.name, st.LastExit)
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-p.done:
			return fmt.Errorf("start process %s: it was stopped meanwhile", p.name)
		case <-changed:
		}
	}
}

// run keeps the process as it is wanted until it shall stop or be left.
func (p *process) run(ctx context.Context) {
	defer close(p.done)
	cur := p.adopt(ctx)
	var back backoff
	var next time.Time // of the next start
	lastIdentity := ""
	for {
		spec, stop, leave := p.wanted()
		switch {
		case leave:
			if cur != nil {
				cur.release()
			}
			return
		case stop:
			if cur != nil {
				p.end(cur, spec.stopTimeout())
			}
			return
		case cur != nil && cur.spec != spec.identity():
			p.s.log.Info("process is restarted for its new arguments", "name", p.name, "pid", cur.pid)
			p.end(cur, spec.stopTimeout())
			cur, next = nil, time.Time{}
			continue
		}
		if cur == nil {
			if lastIdentity != spec.identity() {
				back, next, lastIdentity = backoff{}, time.Time{}, spec.identity()
			}
			if wait := time.Until(next); wait > 0 {
				p.sleep(wait)
				continue
			}
			var err error
			if cur, err = p.start(spec); err != nil {
				wait := back.after(0)
				next = time.Now().Add(wait)
				p.s.log.Error("process cannot be started", "name", p.name, "retry_in_ms", wait.Milliseconds(), "err", err)
				p.report(func(st *ProcessStatus) {
					st.State, st.PID, st.LastExit, st.identity = StateWaiting, 0, err.Error(), spec.identity()
				})
				continue
			}
		}
		lastIdentity = cur.spec
		select {
		case <-p.kick:
		case <-cur.exited:
			ran := time.Since(cur.began)
			wait := back.after(ran)
			next = time.Now().Add(wait)
			p.s.log.LogAttrs(ctx, slog.LevelWarn, "process ended", slog.String("name", p.name), slog.Int("pid", cur.pid), slog.String("how", cur.how),
				slog.Int64("ran_ms", ran.Milliseconds()), slog.Int64("restart_in_ms", wait.Milliseconds()))
			p.report(func(st *ProcessStatus) {
				st.State, st.PID, st.LastExit, st.Adopted = StateWaiting, 0, cur.how, false
				st.Restarts++
			})
			cur.release()
			cur = nil
		}
	}
}

func (p *process) sleep(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.kick:
	}
}

// adopt takes over what an earlier parent started, or returns nil.
func (p *process) adopt(ctx context.Context) *running {
	rec, ok := readPidRecord(p.s.layout.pidFile(p.name))
	if !ok {
		return nil
	}
	cur := adopt(rec, p.s.boot)
	if cur == nil {
		return nil
	}
	go cur.watch(ctx, p.s.boot) // ends with the process or with ctx
	p.s.log.Info("process adopted", "name", p.name, "pid", rec.pid)
	p.report(func(st *ProcessStatus) {
		st.State, st.PID, st.Adopted, st.identity = StateRunning, rec.pid, true, rec.spec
	})
	return cur
}

func (p *process) start(spec Spec) (*running, error) {
	p.report(func(st *ProcessStatus) { st.State = StateStarting })
	child := spec
	if p.keep != nil {
		child.Env = append(child.Env[:len(child.Env):len(child.Env)], "NOTIFY_SOCKET="+p.s.layout.notify(p.name))
	}
	cur, err := p.s.reaper.start(p.s.childArgv, child, p.s.layout.log(p.name), func(pid int) (pidRecord, error) {
		start, _, err := processStart(pid)
		if err != nil {
			return pidRecord{}, err
		}
		rec := pidRecord{pid: pid, start: start, boot: p.s.boot, spec: spec.identity()}
		return rec, rec.write(p.s.layout.pidFile(p.name))
	})
	if err != nil {
		if cur != nil {
			p.end(cur, 0)
		}
		return nil, err
	}
	p.s.log.Info("process started", "name", p.name, "pid", cur.pid)
	p.report(func(st *ProcessStatus) {
		st.State, st.PID, st.Adopted, st.identity = StateRunning, cur.pid, false, spec.identity()
	})
	return cur, nil
}

// end asks the process to end and kills it when it does not within the time given.
func (p *process) end(cur *running, patience time.Duration) {
	defer cur.release()
	p.report(func(st *ProcessStatus) { st.State = StateStopping })
	for _, step := range []struct {
		sig  unix.Signal
		wait time.Duration
	}{{unix.SIGTERM, patience}, {unix.SIGKILL, time.Minute}} {
		if err := cur.signal(step.sig, p.s.boot); err != nil {
			p.s.log.Error("process cannot be signalled", "name", p.name, "err", err)
		}
		timer := time.NewTimer(step.wait)
		select {
		case <-cur.exited:
			timer.Stop()
			p.s.log.Info("process stopped", "name", p.name, "pid", cur.pid, "how", cur.how)
			p.report(func(st *ProcessStatus) { st.PID, st.LastExit = 0, cur.how })
			return
		case <-timer.C:
		}
	}
	p.s.log.Error("process does not end", "name", p.name, "pid", cur.pid)
}

// remember writes the spec for a next parent.
func (p *process) remember(spec Spec) error {
	body, err := json.Marshal(saved{Order: p.order, Spec: spec})
	if err != nil {
		return fmt.Errorf("encode process %s: %w", p.name, err)
	}
	return writeFile(p.s.layout.spec(p.name), body)
}

// forget removes what remember and start wrote.
func (p *process) forget() error {
	var err error
	if p.keep != nil {
		err = p.keep.close()
	}
	l := p.s.layout
	return errors.Join(err, removeFiles(l.spec(p.name), l.pidFile(p.name), l.notify(p.name)))
}

// saved is a process in the run dir.
type saved struct {
	Order int  `json:"order"`
	Spec  Spec `json:"spec"`
}
