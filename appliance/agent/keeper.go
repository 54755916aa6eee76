package agent

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/skerryhq/skerry/netfw/link"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/runtime/workload"
)

// keeper keeps one container as asked, one step at a time.
type keeper struct {
	a   *Agent
	id  string
	log *slog.Logger

	status model.ContainerStatus // only run touches it; ahead of the replicated one

	mu     sync.Mutex
	want   *model.Container // newest wish; guarded by mu
	seen   seen             // what the engine said last; guarded by mu
	sure   bool             // seen is current; guarded by mu
	heard  *workload.State  // an exit that was told while seen was not sure; guarded by mu
	over   bool             // nobody asks for this container any more; guarded by mu
	again  bool             // the status is to be said once more; guarded by mu
	given  bool             // all is given back, and the row is about to go; guarded by mu
	poke   chan struct{}    // one wake-up is enough: run reads everything again
	gone   bool             // only run: all is given back and confirmed
	leaves time.Time        // only run: when it ends although others answer; zero: not to go
	failed int              // only run: attempts in a row that failed before a task began
	cancel func()           // ends run at once, in the middle of anything
	ended  chan struct{}    // closed when run has returned
}

func newKeeper(a *Agent, c *model.Container) *keeper {
	return &keeper{
		a: a, id: c.ID, status: c.Status, sure: true, poke: make(chan struct{}, 1), ended: make(chan struct{}),
		log: a.log.With("container", c.ID, "name", c.Name),
	}
}

func (k *keeper) wake() {
	select {
	case k.poke <- struct{}{}:
	default:
	}
}

// ask gives the newest wish; an unchanged one wakes nobody.
func (k *keeper) ask(c *model.Container) {
	k.mu.Lock()
	same := k.want != nil && k.want.Intent == c.Intent && k.want.Assign == c.Assign
	k.want = c
	k.mu.Unlock()
	if !same {
		k.wake()
	}
}

// saw gives what the engine holds, before run begins.
func (k *keeper) saw(s workload.State) { k.seen = seen{made: true, state: s} }

// exited gives the engine's word that the task has ended. Such words may come
// late, when the next task runs already: they end only the task that they are
// about.
func (k *keeper) exited(s workload.State) {
	k.mu.Lock()
	switch {
	case !k.sure:
		k.heard = &s
	case k.seen.running() && !k.seen.state.StartedAt.Equal(s.StartedAt):
		k.sure = false
	default:
		k.seen = seen{made: true, state: s}
	}
	k.mu.Unlock()
	k.wake()
}

// beginning says that until begun anything may be half done.
func (k *keeper) beginning() {
	k.mu.Lock()
	k.sure, k.heard = false, nil
	k.mu.Unlock()
}

// begun says that a task runs, unless its exit has overtaken the news.
func (k *keeper) begun(s workload.State) {
	k.mu.Lock()
	k.seen, k.sure = seen{made: true, state: s}, true
	if k.heard != nil {
		k.sure = k.heard.StartedAt.Equal(s.StartedAt)
		if k.sure {
			k.seen.state = *k.heard
		}
		k.heard = nil
	}
	k.mu.Unlock()
}

// doubt makes the keeper look at the engine again.
func (k *keeper) doubt() {
	k.mu.Lock()
	k.sure = false
	k.mu.Unlock()
	k.wake()
}

// repeat makes the keeper say its status once more.
func (k *keeper) repeat() {
	k.mu.Lock()
	k.again = true
	k.mu.Unlock()
	k.wake()
}

// repeats says the status once more if that was asked for.
func (k *keeper) repeats() {
	k.mu.Lock()
	again := k.again
	k.again = false
	k.mu.Unlock()
	if again && k.status.Phase != "" && k.status.Phase != model.PhasePending {
		k.a.report.put(k.id, k.status)
	}
}

// end makes run return: the row is gone. It reports whether that is our own
// doing: nothing of the container is left then.
func (k *keeper) end() (given bool) {
	k.mu.Lock()
	k.over, given = true, k.given
	k.mu.Unlock()
	k.wake()
	return given
}

func (k *keeper) confirms() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.given
}

// address is the one that was last asked for.
func (k *keeper) address() netip.Addr {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.want.Assign.Address
}

func (k *keeper) run(ctx context.Context) {
	var timer <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.poke:
		case <-timer:
		}
		timer = nil
		k.repeats()
		for {
			wait, more, err := k.once(ctx)
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				wait = k.trouble(err)
			case more:
				continue
			}
			if k.isOver() {
				k.a.report.drop(k.id)
				return
			}
			if wait > 0 {
				timer = time.After(wait)
			}
			break
		}
	}
}

func (k *keeper) isOver() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.over
}

// now reads the wish and what is seen, looking at the engine where that is in
// doubt.
func (k *keeper) now(ctx context.Context) (*model.Container, seen, error) {
	k.mu.Lock()
	c, s, sure := k.want, k.seen, k.sure
	k.mu.Unlock()
	if sure {
		return c, s, nil
	}
	st, err := k.a.cfg.Containers.Inspect(ctx, workload.ID(k.id))
	switch {
	case errors.Is(err, workload.ErrNotFound):
		s = seen{}
	case err != nil:
		return c, s, err
	default:
		s = seen{made: true, state: k.a.judge(st)}
	}
	k.mu.Lock()
	k.seen, k.sure = s, true
	k.mu.Unlock()
	return c, s, nil
}

// once does one step. more says that another may follow at once.
func (k *keeper) once(ctx context.Context) (wait time.Duration, more bool, err error) {
	c, s, err := k.now(ctx)
	if err != nil {
		return 0, false, err
	}
	if k.gone {
		return 0, false, nil
	}
	do, wait := next(c, k.status, s, time.Now())
	switch do {
	case stepNone:
		return wait, false, nil
	case stepStart:
		err = k.start(ctx, c, s)
	case stepStop:
		if wait := k.linger(c, time.Now()); wait > 0 {
			return wait, false, nil
		}
		err = k.stop(ctx, c)
	case stepSettle:
		if !s.running() {
			k.drain(ctx)
		}
		k.settle(c, s)
	case stepBackOff:
		k.drain(ctx)
		k.backOff(s.state)
	case stepRemove:
		err = k.remove(ctx)
	}
	return 0, err == nil, err
}

// drain keeps what the ended task wrote last and ends its followers, before
// anybody hears that the task has ended.
func (k *keeper) drain(ctx context.Context) {
	if err := k.a.cfg.Logs.Close(ctx, k.id); err != nil {
		k.log.Warn("the end of the log may be missing", "err", err)
	}
}

// set replaces the status and reports it.
func (k *keeper) set(st model.ContainerStatus) {
	k.status = st
	k.a.report.put(k.id, st)
}

// start makes what is missing, all at once, and begins a task.
func (k *keeper) start(ctx context.Context, c *model.Container, s seen) error {
	if err := k.a.vacated(ctx, c.Assign.Address); err != nil {
		return reason("AddressInUse", err)
	}
	select {
	case k.a.starts <- struct{}{}:
		defer func() { <-k.a.starts }()
	case <-ctx.Done():
		return ctx.Err()
	}
	begun := time.Now()
	st := model.ContainerStatus{Phase: model.PhaseStarting, Task: k.status.Task + 1, Restarts: c.Intent.Restarts, Failures: k.status.Failures}
	if k.status.Restarts != c.Intent.Restarts {
		st.Failures = 0
	}
	if k.status.Phase == model.PhaseStarting || k.status.Phase == model.PhaseFailed {
		st.Task = max(1, k.status.Task) // that one never ran
	}
	k.set(st)

	k.beginning()
	var linked, made time.Duration
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		_, err := k.a.cfg.Links.Ensure(gctx, link.Spec{ID: k.id, Address: c.Assign.Address})
		linked = time.Since(begun)
		return reason("NetworkFailed", err)
	})
	g.Go(func() error {
		err := k.create(gctx, c, s)
		made = time.Since(begun)
		return err
	})
	if err := g.Wait(); err != nil {
		return err
	}
	prepared := time.Since(begun)
	state, err := k.a.cfg.Containers.Start(ctx, workload.ID(k.id))
	var cmd *workload.CommandError
	if errors.As(err, &cmd) {
		k.neverRan(c, cmd)
		return nil
	}
	if err != nil {
		return reason("StartFailed", err)
	}
	k.failed = 0
	k.begun(state)
	st.Phase, st.PID, st.StartedAt = model.PhaseRunning, state.PID, state.StartedAt.UTC()
	k.set(st)
	k.a.timing.note(k.id, []span{
		{"plan", max(0, begun.Sub(c.CreatedAt))}, {"network", linked}, {"create", made}, {"start", time.Since(begun) - prepared}, {"agent", time.Since(begun)},
	})
	k.log.Debug("container running", "task", st.Task, "link_ms", ms(linked), "create_ms", ms(made), "prepared_ms", ms(prepared), "total_ms", ms(time.Since(begun)))
	return nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// create opens the pipes and, unless there is one, makes the container.
func (k *keeper) create(ctx context.Context, c *model.Container, s seen) error {
	stdio, err := k.a.cfg.Logs.Open(ctx, k.id, LogOptions{TTY: c.Spec.TTY, Stdin: c.Spec.Stdin, MaxBytes: c.Spec.LogMaxBytes, MaxFiles: c.Spec.LogMaxFiles})
	if err != nil {
		return reason("LogFailed", err)
	}
	files, err := writeFiles(k.a.cfg.FilesDir, c, hostname(c), k.a.cfg.Resolver)
	if err != nil {
		return reason("StartFailed", err)
	}
	spec, err := k.a.translate(c, files, stdio)
	if err != nil {
		return reason("VolumeFailed", err)
	}
	if s.made && s.state.Phase != workload.PhaseCreated {
		return nil
	}
	// One that never ran may be half made: the engine may have died meanwhile.
	waiting, end := k.whilePreparing(ctx)
	err = k.a.cfg.Containers.Create(waiting, spec)
	end()
	if errors.Is(err, workload.ErrNoImage) {
		return reason("ImageMissing", err)
	}
	return reason("CreateFailed", err)
}

// neverRan writes down a task whose command could not be begun: it counts as
// one that ended with 126 or 127, and the restart policy answers it.
func (k *keeper) neverRan(c *model.Container, e *workload.CommandError) {
	code, word := e.ExitCode(), "CommandNotFound"
	if code == workload.ExitNotExecutable {
		word = "CommandNotExecutable"
	}
	now := time.Now().UTC()
	st := k.status
	st.Phase, st.ExitCode, st.FinishedAt, st.PID = model.PhaseExited, &code, now, 0
	st.Conditions = []model.Condition{{Type: "Running", Reason: word, Message: e.Error(), Since: now}}
	if restarts(c.Spec, code, st.Failures) {
		st.Phase, st.RetryAt = model.PhaseBackoff, now.Add(pause(st.Failures))
		st.Failures++
	}
	k.set(st)
	k.doubt()
}

// stop ends the task. A harsher wish that comes meanwhile takes over.
func (k *keeper) stop(ctx context.Context, c *model.Container) error {
	if k.status.Phase != model.PhaseStopping {
		st := k.status
		st.Phase = model.PhaseStopping
		k.set(st)
	}
	for {
		o := stopOptions(c)
		sctx, cancel := context.WithCancel(ctx)
		type answer struct {
			state workload.State
			err   error
		}
		done := make(chan answer, 1)
		go func() {
			s, err := k.a.cfg.Containers.Stop(sctx, workload.ID(k.id), o)
			done <- answer{s, err}
		}()
		var got answer
		poked, harsher := false, false
		for waiting := true; waiting; {
			select {
			case got = <-done:
				waiting = false
			case <-k.poke:
				poked = true
				k.mu.Lock()
				c = k.want
				k.mu.Unlock()
				if stopOptions(c).Grace < o.Grace {
					harsher = true
					cancel()
				}
			}
		}
		cancel()
		if poked {
			k.wake() // a wish that came meanwhile must not be lost; without one, a failure is answered by waiting
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case harsher && errors.Is(got.err, context.Canceled):
			continue // our own doing; the engine may say it by itself, too, and for ever
		case errors.Is(got.err, workload.ErrNotRunning), errors.Is(got.err, workload.ErrNotFound):
			k.doubt()
			return nil
		case got.err != nil:
			return reason("StopFailed", got.err)
		}
		k.mu.Lock()
		k.seen, k.sure = seen{made: true, state: got.state}, true
		k.mu.Unlock()
		return nil
	}
}

// stopOptions is the signal and the patience of the stop that is asked for.
func stopOptions(c *model.Container) workload.StopOptions {
	const usual = 10
	grace := c.Intent.GraceSecs
	if grace == 0 {
		grace = c.Spec.StopGraceSecs
	}
	if grace == 0 {
		grace = usual
	}
	signal := c.Intent.Signal
	if signal == "" {
		signal = c.Spec.StopSignal
	}
	return workload.StopOptions{Signal: signal, Grace: max(0, time.Duration(grace)*time.Second)}
}

// settle writes down what is seen.
func (k *keeper) settle(_ *model.Container, s seen) {
	st := k.status
	st.Conditions = nil
	if s.running() {
		st.Phase, st.PID, st.StartedAt, st.Task = model.PhaseRunning, s.state.PID, s.state.StartedAt.UTC(), max(1, st.Task)
		st.ExitCode, st.FinishedAt = nil, time.Time{}
		k.set(st)
		return
	}
	k.set(ended(st, model.PhaseExited, s))
}

// ended fills in how a task ended.
func ended(st model.ContainerStatus, phase model.Phase, s seen) model.ContainerStatus {
	st.Phase, st.PID = phase, 0
	if st.Task == 0 || !s.made || s.state.Phase != workload.PhaseStopped {
		return st
	}
	code := s.state.ExitCode
	st.ExitCode, st.OOMKilled, st.FinishedAt = &code, s.state.OOMKilled, s.state.FinishedAt.UTC()
	if s.state.OOMKilled {
		st.Conditions = []model.Condition{{Type: "Running", Reason: "OutOfMemory", Since: st.FinishedAt,
			Message: "the kernel ended it because it used more memory than its limit: raise the limit or use less"}}
	}
	return st
}

// backOff writes down an end that the restart policy answers.
func (k *keeper) backOff(s workload.State) {
	st := ended(k.status, model.PhaseBackoff, seen{made: true, state: s})
	if s.FinishedAt.Sub(s.StartedAt) >= calmAfter {
		st.Failures = 0
	}
	st.RetryAt = time.Now().UTC().Add(pause(st.Failures))
	st.Failures++
	k.set(st)
}

// remove gives everything back and confirms it.
func (k *keeper) remove(ctx context.Context) error {
	if err := k.a.giveBack(ctx, k.id); err != nil {
		k.doubt()
		return reason("RemoveFailed", err)
	}
	k.mu.Lock()
	k.given = true
	k.mu.Unlock()
	k.a.report.drop(k.id)
	cmd := &command.ForgetContainers{Head: command.By(origin("agent")), NodeID: k.a.cfg.NodeID, IDs: []string{k.id}}
	if _, err := k.a.cfg.Proposer.Propose(ctx, cmd); err != nil {
		k.mu.Lock()
		k.seen, k.sure = seen{}, true
		k.mu.Unlock()
		return err
	}
	k.gone = true
	return nil
}

// because is an error that a person reads as a condition of the container.
type because struct {
	code string
	err  error
}

func (b *because) Error() string { return b.err.Error() }
func (b *because) Unwrap() error { return b.err }

func reason(code string, err error) error {
	if err == nil {
		return nil
	}
	return &because{code, err}
}

// engineTries is how often an engine that does not answer is tried before its
// containers count as failed: some ten seconds.
const engineTries = 13

// trouble writes down why a step could not be done, and says when to try again.
func (k *keeper) trouble(err error) time.Duration {
	k.mu.Lock()
	k.sure = false // and no wake-up: the answer to trouble is to wait
	k.mu.Unlock()
	code := "Failed"
	if b, ok := errors.AsType[*because](err); ok {
		code = b.code
	}
	wait, worth := pause(k.failed), true
	if errors.Is(err, workload.ErrUnavailable) {
		// The engine is started again within a second or two: nothing has failed yet.
		code, wait, worth = "EngineAway", min(wait, time.Second), k.failed >= engineTries
	}
	if k.confirms() {
		wait = min(wait, time.Second) // a name and an address wait for our word, and saying it again is cheap
	}
	k.failed++
	now := time.Now().UTC()
	k.log.Warn("container step failed, trying again", "err", err, "retry_ms", wait.Milliseconds())
	st := k.status
	since := now
	if len(st.Conditions) == 1 && st.Conditions[0].Reason == code {
		since = st.Conditions[0].Since
	}
	st.Conditions = []model.Condition{{Type: "Running", Reason: code, Message: err.Error(), Since: since}}
	if worth && (st.Phase == model.PhaseStarting || st.Phase == model.PhasePending || st.Phase == model.PhaseFailed) {
		st.Phase, st.RetryAt = model.PhaseFailed, now.Add(wait)
	}
	k.set(st)
	return wait
}
