package logd

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// fdStore asks the process parent to hold a descriptor of every pipe. A pipe lives as long as anyone has it open:
// so the shim sees no end of stdin when this daemon is killed, and output of a container that ends while the
// daemon is away is not gone with its shim. The protocol is systemd's notify socket, which the supervisor of hosts
// without systemd speaks too. Without such a parent the store does nothing. Safe for concurrent use.
type fdStore struct {
	socket string // empty: no parent that keeps descriptors
	log    *slog.Logger

	mu   sync.Mutex
	kept map[string]kept
	seen string // which socket knows all of kept
}

type kept struct {
	path string
	mode int
}

func newFDStore(socket string, log *slog.Logger) *fdStore {
	return &fdStore{socket: socket, log: log, kept: map[string]kept{}}
}

func storeName(id, pipe string) string { return id + "." + pipe }

// add has one end of the pipe kept.
func (s *fdStore) add(id, pipe, path string, mode int) {
	if s.socket == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	name := storeName(id, pipe)
	s.kept[name] = kept{path: path, mode: mode}
	if err := s.send(name, s.kept[name]); err != nil {
		s.seen = "" // refresh sends it again
		s.log.Warn("descriptor is not kept", "name", name, "err", err)
	}
}

// remove ends the keeping.
func (s *fdStore) remove(id, pipe string) {
	if s.socket == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	name := storeName(id, pipe)
	if _, ok := s.kept[name]; !ok {
		return
	}
	delete(s.kept, name)
	if err := s.tell("FDSTOREREMOVE=1\nFDNAME="+name, nil); err != nil {
		s.log.Warn("descriptor is still kept", "name", name, "err", err)
	}
}

// refresh sends everything again when another parent has taken the socket over.
func (s *fdStore) refresh() {
	if s.socket == "" {
		return
	}
	var st unix.Stat_t
	if err := unix.Stat(s.socket, &st); err != nil {
		return // nobody there now; the next one is noticed by its socket
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := fmt.Sprint(st.Ino, st.Ctim)
	if s.seen == now {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(s.kept)) {
		if err := s.send(name, s.kept[name]); err != nil {
			s.log.Warn("descriptor is not kept", "name", name, "err", err)
			return
		}
	}
	s.seen = now
}

func (s *fdStore) send(name string, k kept) error {
	f, err := os.OpenFile(k.path, k.mode|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open pipe to keep: %w", err)
	}
	defer f.Close()
	// FDPOLL=0: an end without its counterpart is no reason to drop it.
	return s.tell("FDSTORE=1\nFDPOLL=0\nFDNAME="+name, unix.UnixRights(int(f.Fd())))
}

func (s *fdStore) tell(text string, rights []byte) error {
	sock, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("make notify socket: %w", err)
	}
	defer unix.Close(sock)
	// The parent takes messages at once; if it hangs, logs are more important.
	timeout := unix.NsecToTimeval(int64(200e6))
	if err := unix.SetsockoptTimeval(sock, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &timeout); err != nil {
		return fmt.Errorf("bound notify: %w", err)
	}
	for {
		err = unix.Sendmsg(sock, []byte(text), rights, &unix.SockaddrUnix{Name: s.socket}, unix.MSG_NOSIGNAL)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("tell %s: %w", s.socket, err)
	}
	return nil
}
