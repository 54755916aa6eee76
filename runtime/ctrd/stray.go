package ctrd

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skerryhq/skerry/runtime/engine"
	"github.com/skerryhq/skerry/runtime/workload"
)

const (
	// strayGrace is how long a shim that the engine has given up may take to end.
	strayGrace = time.Second
	// strayGone bounds the wait for one that was killed.
	strayGone = 5 * time.Second
)

// endStray ends a shim of the container that the engine knows nothing of. The
// caller holds the container's lock and has heard from the engine that there is
// no task.
//
// Such a shim is left when a create is given up in the moment in which the shim
// begins: because the daemon was killed, or the create's context has ended. The
// engine then closes and deletes the pipe into which the shim is about to log, and
// the shim waits for ever for a reader of it, with its socket open behind it. The
// next create finds the socket, takes the shim for its own and never gets an
// answer.
func (r *Runtime) endStray(ctx context.Context, id workload.ID) error {
	socket := r.cfg.Engine.ShimSocket(string(id))
	if quietWithin(ctx, socket, strayGrace) {
		return nil // the usual: none, or one that the engine ends itself
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	killed, err := killShim(string(id), r.cfg.Engine.Socket())
	if err != nil {
		return fmt.Errorf("end the shim that an interrupted start of container %s left: %w", id, err)
	}
	if !quietWithin(ctx, socket, strayGone) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("container %s: something answers at %s in place of a shim; %d processes were ended and it still does", id, socket, killed)
	}
	r.log.Warn("ended a shim that an interrupted start had left", "container", string(id), "processes", killed)
	return nil
}

// listens reports whether somebody has the socket open to take connections,
// whether or not he ever does.
func listens(ctx context.Context, socket string) bool {
	d := net.Dialer{Timeout: 100 * time.Millisecond}
	c, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return false
	}
	_ = c.Close() // nothing was said
	return true
}

// quietWithin waits until nobody listens any more; false when that takes longer,
// or longer than ctx.
func quietWithin(ctx context.Context, socket string, limit time.Duration) bool {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); listens(ctx, socket); {
		if time.Now().After(end) {
			return false
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return ctx.Err() == nil
}

// killShim kills the shims that an engine has begun for a container.
func killShim(id, engineSocket string) (killed int, err error) {
	procs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, err
	}
	for _, dir := range procs {
		if !isShim(dir, id, engineSocket) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			return killed, err
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue // it has ended meanwhile
		}
		if isShim(dir, id, engineSocket) { // still the same process, which fd holds now
			if err = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err == nil {
				killed++
			}
		}
		_ = unix.Close(fd)
		if err != nil {
			return killed, fmt.Errorf("kill process %d: %w", pid, err)
		}
	}
	return killed, nil
}

// isShim looks at how a process was begun: as the engine's shims are, for this
// container.
func isShim(dir, id, engineSocket string) bool {
	b, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	if err != nil {
		return false
	}
	var args []string
	for a := range bytes.SplitSeq(bytes.TrimRight(b, "\x00"), []byte{0}) {
		args = append(args, string(a))
	}
	want := []string{"-namespace", engine.Namespace, "-id", id, "-address", engineSocket}
	return len(args) > len(want) && filepath.Base(args[0]) == engine.ShimName && slices.Equal(args[1:1+len(want)], want)
}
