package logs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// watcher shares one inotify instance among all followers of a client: the kernel grants a user few instances.
// It exists only while someone follows. Where the kernel refuses, followers live by their tick.
type watcher struct {
	mu   sync.Mutex
	f    *os.File // nil while nobody follows
	fd   int      // of f; the file's own accessor would make it blocking
	subs map[*subscription]struct{}
	dirs map[int32]map[*subscription]struct{} // by watch descriptor
}

type subscription struct {
	w       *watcher
	changed chan struct{} // holds one wake-up
	wds     []int32
}

func (s *subscription) wake() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

const watchMask = unix.IN_MODIFY | unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_TO | unix.IN_DELETE_SELF

// subscribe watches folders. One that is missing is left out.
func (w *watcher) subscribe(dirs ...string) *subscription {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := &subscription{w: w, changed: make(chan struct{}, 1)}
	if w.subs == nil {
		w.subs = map[*subscription]struct{}{}
		w.dirs = map[int32]map[*subscription]struct{}{}
	}
	w.subs[s] = struct{}{}
	if w.f == nil && w.start() != nil {
		return s
	}
	for _, dir := range dirs {
		n, err := unix.InotifyAddWatch(w.fd, dir, watchMask)
		if err != nil {
			continue
		}
		wd := int32(n)
		if w.dirs[wd] == nil {
			w.dirs[wd] = map[*subscription]struct{}{}
		}
		w.dirs[wd][s] = struct{}{}
		s.wds = append(s.wds, wd)
	}
	return s
}

func (w *watcher) start() error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return fmt.Errorf("watch log folders: %w", err)
	}
	w.fd, w.f = fd, os.NewFile(uintptr(fd), "inotify")
	go w.run(w.f) // ends when the last subscription closes the file
	return nil
}

// cancel ends the subscription; with the last one the instance goes.
func (s *subscription) cancel() {
	w := s.w
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.subs, s)
	if w.f == nil {
		return
	}
	for _, wd := range s.wds {
		delete(w.dirs[wd], s)
		if len(w.dirs[wd]) == 0 {
			delete(w.dirs, wd)
			_, _ = unix.InotifyRmWatch(w.fd, uint32(wd)) // the folder may be gone, and the watch with it
		}
	}
	if len(w.subs) == 0 {
		_ = w.f.Close() // nothing is written to it
		w.f = nil
	}
}

func (w *watcher) run(f *os.File) {
	buf := make([]byte, 16<<10)
	for {
		n, err := f.Read(buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return
		}
		w.dispatch(f, buf[:n])
	}
}

func (w *watcher) dispatch(f *os.File, events []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.f != f {
		return
	}
	for len(events) >= unix.SizeofInotifyEvent {
		wd := int32(binary.NativeEndian.Uint32(events))
		mask := binary.NativeEndian.Uint32(events[4:])
		length := int(binary.NativeEndian.Uint32(events[12:]))
		events = events[min(unix.SizeofInotifyEvent+length, len(events)):]
		targets := w.dirs[wd]
		if mask&unix.IN_Q_OVERFLOW != 0 {
			targets = w.subs
		}
		for s := range targets {
			s.wake()
		}
		if mask&unix.IN_IGNORED != 0 {
			delete(w.dirs, wd)
		}
	}
}
