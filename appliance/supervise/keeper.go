package supervise

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// keeper holds descriptors for one process, so that what they refer to outlives it. It speaks the part of systemd's
// notify protocol that stores and removes; nothing is handed back, because its users reopen by path.
type keeper struct {
	conn *net.UnixConn
	most int
	log  *slog.Logger
	name string

	mu  sync.Mutex
	fds map[string]int
}

func newKeeper(path, name string, most int, log *slog.Logger) (*keeper, error) {
	if err := removeFiles(path); err != nil {
		return nil, err
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("listen for descriptors of %s: %w", name, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("listen for descriptors of %s: %w", name, err), conn.Close())
	}
	return &keeper{conn: conn, most: most, log: log, name: name, fds: map[string]int{}}, nil
}

// run takes messages until close.
func (k *keeper) run() {
	buf, oob := make([]byte, 4096), make([]byte, 4096)
	for {
		n, oobn, _, _, err := k.conn.ReadMsgUnix(buf, oob)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			k.log.LogAttrs(context.Background(), slog.LevelWarn, "message not received", slog.String("name", k.name), slog.Any("err", err))
			return
		}
		if err := k.message(string(buf[:n]), rights(oob[:oobn])); err != nil {
			k.log.LogAttrs(context.Background(), slog.LevelWarn, "message refused", slog.String("name", k.name), slog.Any("err", err))
		}
	}
}

func rights(oob []byte) []int {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	var fds []int
	for i := range messages {
		if got, err := unix.ParseUnixRights(&messages[i]); err == nil {
			fds = append(fds, got...)
		}
	}
	for _, fd := range fds {
		unix.CloseOnExec(fd)
	}
	return fds
}

// message stores or removes. A name that is stored again replaces the old descriptor.
func (k *keeper) message(text string, fds []int) error {
	words := map[string]string{}
	for line := range strings.SplitSeq(text, "\n") {
		if key, value, ok := strings.Cut(line, "="); ok {
			words[key] = value
		}
	}
	name := words["FDNAME"]
	k.mu.Lock()
	defer k.mu.Unlock()
	if words["FDSTORE"] == "1" && len(fds) == 1 && name != "" && k.fds != nil {
		old, ok := k.fds[name]
		if ok || len(k.fds) < k.most {
			if ok {
				_ = unix.Close(old)
			}
			k.fds[name] = fds[0]
			return nil
		}
	}
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
	switch {
	case words["FDSTOREREMOVE"] == "1":
		if fd, ok := k.fds[name]; ok {
			delete(k.fds, name)
			_ = unix.Close(fd)
		}
		return nil
	case words["FDSTORE"] == "1":
		return fmt.Errorf("descriptor %.80q with %d attached: at most %d are kept, one a message", name, len(fds), k.most)
	default:
		return nil // READY, STATUS and the like
	}
}

func (k *keeper) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.fds)
}

// close lets go of all descriptors. Closing again does nothing.
func (k *keeper) close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fds == nil {
		return nil
	}
	for _, fd := range k.fds {
		_ = unix.Close(fd)
	}
	k.fds = nil
	if err := k.conn.Close(); err != nil {
		return fmt.Errorf("close descriptor socket of %s: %w", k.name, err)
	}
	return nil
}
