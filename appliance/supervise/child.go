package supervise

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// goFD is a socket on which a child hears from its parent what to execute, once it is registered, and tells why it
// could not. It closes when the program is executed.
const goFD = 3

// BecomeChild is the small binary's part between fork and the wanted program. It waits until the parent has written
// the pid file, so a parent killed in between leaves nothing that the next one does not know; then it joins its
// cgroups and executes the program under the same pid. It returns only an error, which the parent has heard too.
func BecomeChild() error {
	line := os.NewFile(goFD, "go")
	err := becomeChild(line)
	_, _ = io.WriteString(line, err.Error()) // without a parent there is nobody to tell
	return err
}

func becomeChild(in io.Reader) error {
	// Nothing that this process or its parent inherited from whoever started them goes further.
	if err := unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		unix.CloseOnExec(goFD) // an older kernel
	}
	body, err := io.ReadAll(in)
	if err != nil {
		return fmt.Errorf("read what to start: %w", err)
	}
	if len(body) == 0 {
		return errors.New("the parent ended before it said what to start")
	}
	var spec Spec
	if err := json.Unmarshal(body, &spec); err != nil {
		return fmt.Errorf("read what to start: %w", err)
	}
	self := []byte(strconv.Itoa(os.Getpid()))
	for _, dir := range spec.Cgroup {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), self, 0); err != nil {
			return fmt.Errorf("join cgroup: %w", err)
		}
	}
	err = os.WriteFile("/proc/self/oom_score_adj", []byte(strconv.Itoa(spec.OOMScoreAdj)), 0)
	// Lowering it takes a capability that a nested host may lack; the process is less protected then, and runs.
	if err != nil && !errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("set oom score: %w", err)
	}
	dir := spec.Dir
	if dir == "" {
		dir = "/"
	}
	if err := os.Chdir(dir); err != nil {
		return fmt.Errorf("enter folder: %w", err)
	}
	err = syscall.Exec(spec.Argv[0], spec.Argv, spec.Env)
	return fmt.Errorf("execute %s: %w", spec.Argv[0], err)
}

// running is a process that this parent started or adopted.
type running struct {
	pidRecord
	fd      int           // pidfd, or -1 where the kernel has none
	adopted bool          // not our child: its exit status goes to somebody else
	exited  chan struct{} // closed at its end
	how     string        // set before exited is closed
	began   time.Time     // by this parent
}

// signal reaches exactly this process or nobody.
func (r *running) signal(sig unix.Signal, boot string) error {
	var err error
	switch {
	case r.fd >= 0:
		err = unix.PidfdSendSignal(r.fd, sig, nil, 0)
	case !r.adopted || r.alive(boot): // a child's pid is not reused before we reap it
		err = unix.Kill(r.pid, sig)
	}
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("send %s to process %d: %w", unix.SignalName(sig), r.pid, err)
	}
	return nil
}

// reaper collects the exit status of every child, whoever it is, and tells those who wait for theirs.
type reaper struct {
	mu    sync.Mutex // held from fork to registration, so that no status arrives before its owner
	wards map[int]*running
}

// collect reaps all that have ended.
func (r *reaper) collect() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		var ws unix.WaitStatus
		pid, err := unix.Wait4(-1, &ws, unix.WNOHANG, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		if w := r.wards[pid]; w != nil {
			delete(r.wards, pid)
			w.how = describe(ws)
			close(w.exited)
		}
	}
}

func describe(ws unix.WaitStatus) string {
	switch {
	case ws.Signaled() && ws.CoreDump():
		return "signal " + unix.SignalName(ws.Signal()) + ", core dumped"
	case ws.Signaled():
		return "signal " + unix.SignalName(ws.Signal())
	default:
		return "exit status " + strconv.Itoa(ws.ExitStatus())
	}
}

// start forks a child and lets it go on when register has noted it.
func (r *reaper) start(argv []string, spec Spec, logPath string, register func(pid int) (pidRecord, error)) (_ *running, err error) {
	body, err := json.Marshal(spec)
	if err != nil {
		return nil, fmt.Errorf("encode process %s: %w", spec.Name, err)
	}
	out, err := os.OpenFile(logPath, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log of process %s: %w", spec.Name, err)
	}
	defer out.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", os.DevNull, err)
	}
	defer null.Close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make line to process %s: %w", spec.Name, err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "line"), os.NewFile(uintptr(pair[1]), "line")
	defer ours.Close()
	w, err := r.fork(argv, []uintptr{null.Fd(), out.Fd(), out.Fd(), theirs.Fd()})
	if err = errors.Join(err, theirs.Close()); err != nil {
		return w, fmt.Errorf("start process %s: %w", spec.Name, err)
	}
	record, err := register(w.pid)
	if err != nil {
		return w, err // the line closes without a word, and the child ends
	}
	w.pidRecord = record
	return w, tell(ours, body, spec.Name)
}

// fork starts the small binary as a child that waits for what to become.
func (r *reaper) fork(argv []string, files []uintptr) (*running, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	pid, err := syscall.ForkExec(argv[0], argv, &syscall.ProcAttr{Dir: "/", Files: files, Sys: &syscall.SysProcAttr{Setsid: true}})
	if err != nil {
		return nil, err
	}
	w := &running{fd: openPidfd(pid), exited: make(chan struct{}), began: time.Now()}
	w.pid = pid
	r.wards[pid] = w
	return w, nil
}

// execPatience bounds the time from fork to the wanted program.
const execPatience = 10 * time.Second

// tell sends what to become and waits until it has, which is when the line closes without an answer.
func tell(line *os.File, body []byte, name string) error {
	fd := int(line.Fd())
	timeout := unix.NsecToTimeval(int64(execPatience))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return fmt.Errorf("bound the start of process %s: %w", name, err)
	}
	if _, err := line.Write(body); err != nil {
		return fmt.Errorf("tell process %s what to start: %w", name, err)
	}
	if err := unix.Shutdown(fd, unix.SHUT_WR); err != nil {
		return fmt.Errorf("tell process %s what to start: %w", name, err)
	}
	answer, err := io.ReadAll(line)
	if err != nil {
		return fmt.Errorf("wait for process %s to start: %w", name, err)
	}
	if len(answer) > 0 {
		return errors.New(string(answer))
	}
	return nil
}

// openPidfd returns -1 where the kernel has no pidfds.
func openPidfd(pid int) int {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return -1
	}
	return fd
}

// adopt takes a process over that an earlier parent started. It returns nil when that is gone.
func adopt(rec pidRecord, boot string) *running {
	w := &running{pidRecord: rec, fd: openPidfd(rec.pid), adopted: true, exited: make(chan struct{}), began: time.Now()}
	if !rec.alive(boot) { // asked after the descriptor was opened, so that means this very process
		w.release()
		return nil
	}
	w.how = "unknown status: it was started by an earlier parent"
	return w
}

// watch waits for the end of an adopted process. ctx ends the waiting.
func (r *running) watch(ctx context.Context, boot string) {
	if r.fd >= 0 {
		fd, err := unix.FcntlInt(uintptr(r.fd), unix.F_DUPFD_CLOEXEC, 3)
		if err == nil {
			f := os.NewFile(uintptr(fd), "pidfd")
			defer f.Close()
			stop := context.AfterFunc(ctx, func() { _ = f.Close() })
			defer stop()
			if rc, err := f.SyscallConn(); err == nil && rc.Read(ended) == nil {
				close(r.exited)
				return
			}
		}
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for r.alive(boot) {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
	close(r.exited)
}

// ended says whether the process of a pidfd is no more.
func ended(fd uintptr) bool {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(p, 0)
	return err == nil && n > 0
}

func (r *running) release() {
	if r.fd >= 0 {
		_ = unix.Close(r.fd)
		r.fd = -1
	}
}
