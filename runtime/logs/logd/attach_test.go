package logd_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skerryhq/skerry/runtime/logs"
	"github.com/skerryhq/skerry/runtime/logs/internal/wire"
)

// collector gathers what one attacher sees.
type collector struct {
	mu       sync.Mutex
	out, err bytes.Buffer
	done     chan error
}

func collect(a *logs.Attachment) *collector {
	c := &collector{done: make(chan error, 1)}
	go func() {
		for {
			s, data, err := a.Recv()
			if err != nil {
				c.done <- err
				return
			}
			c.mu.Lock()
			if s == logs.Stderr {
				c.err.Write(data)
			} else {
				c.out.Write(data)
			}
			c.mu.Unlock()
		}
	}()
	return c
}

func (c *collector) saw() (stdout, stderr string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.String(), c.err.String()
}

func (h *host) attach(id string, o logs.AttachOptions) *logs.Attachment {
	h.t.Helper()
	a, err := h.Attach(h.t.Context(), id, o)
	h.must(err)
	h.t.Cleanup(func() { _ = a.Close() })
	return a
}

func TestAttachersSeeEverythingOnce(t *testing.T) {
	h := newHost(t)
	h.start()
	s := h.open("c", logs.OpenOptions{})
	fmt.Fprint(s.stdout, "old\n")
	eventually(t, "first line kept", func() bool { return len(h.text("c", logs.Options{})) == 1 })
	first := collect(h.attach("c", logs.AttachOptions{}))
	fmt.Fprint(s.stdout, "new\nprompt> ") // an unfinished line is live at once
	eventually(t, "live output", func() bool { out, _ := first.saw(); return out == "new\nprompt> " })

	// One that comes later and asks for what was: kept lines, the unfinished one, then what comes.
	second := collect(h.attach("c", logs.AttachOptions{Replay: 1 << 10}))
	fmt.Fprint(s.stdout, "typed\n")
	eventually(t, "the line is kept", func() bool { return len(h.text("c", logs.Options{})) == 3 })
	fmt.Fprint(s.stderr, "oops\n")
	eventually(t, "stderr is kept", func() bool { return len(h.text("c", logs.Options{})) == 4 })
	eventually(t, "both see the rest", func() bool {
		a, aErr := first.saw()
		b, bErr := second.saw()
		return a == "new\nprompt> typed\n" && b == "old\nnew\nprompt> typed\n" && aErr == "oops\n" && bErr == "oops\n"
	})
	third := collect(h.attach("c", logs.AttachOptions{Replay: 20})) // whole lines that fit
	eventually(t, "bounded replay", func() bool { out, errs := third.saw(); return out == "prompt> typed\n" && errs == "oops\n" })

	h.must(h.Close(t.Context(), "c"))
	for i, c := range []*collector{first, second, third} {
		if err := <-c.done; !errors.Is(err, io.EOF) {
			t.Errorf("attacher %d ended with %v, want EOF", i, err)
		}
	}
	equal(t, h.text("c", logs.Options{}), []string{"stdout F old", "stdout F new", "stdout F prompt> typed", "stderr F oops"})
}

func TestSlowAttacherIsDroppedAndHoldsNobodyUp(t *testing.T) {
	h := newHost(t)
	h.start()
	s := h.open("c", logs.OpenOptions{MaxBytes: 64 << 20})
	slow := h.attach("c", logs.AttachOptions{})
	// A reader that keeps up ends by itself only when the log is closed.
	quick := collect(h.attach("c", logs.AttachOptions{}))
	line := append(bytes.Repeat([]byte("z"), 1023), '\n')
	began := time.Now()
	const lines = 8 << 10
	for i := range lines {
		if _, err := s.stdout.Write(line); err != nil {
			t.Fatal(err)
		}
		if i%256 == 255 { // as fast as the quick one reads
			eventually(t, "the quick reader follows", func() bool { out, _ := quick.saw(); return len(out) >= (i-255)*len(line) })
		}
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the container was held up for %v", took)
	}
	eventually(t, "the slow one is dropped", func() bool {
		st, err := h.Status(t.Context())
		h.must(err)
		return st.Logs[0].Attached == 1
	})
	if err := slow.Copy(io.Discard, io.Discard); !errors.Is(err, logs.ErrSlow) {
		t.Errorf("the slow attacher was told %v, want ErrSlow", err)
	}
	eventually(t, "the quick one has all", func() bool { out, _ := quick.saw(); return len(out) == lines*len(line) })
	h.must(h.Close(t.Context(), "c"))
	if n := len(h.text("c", logs.Options{})); n != lines {
		t.Errorf("%d lines kept, want %d", n, lines)
	}
}

func TestStdin(t *testing.T) {
	h := newHost(t)
	h.start()
	p, err := h.Open(t.Context(), "in", logs.OpenOptions{Stdin: true})
	h.must(err)
	a, b := h.attach("in", logs.AttachOptions{}), h.attach("in", logs.AttachOptions{})
	seen := collect(a)
	_, err = a.Write([]byte("one "))
	h.must(err)
	// The end of input comes before the shim has opened its side: nothing may be lost.
	h.must(a.CloseStdin())
	h.must(a.CloseStdin())
	eventually(t, "stdin closed", func() bool {
		st, err := h.Status(t.Context())
		h.must(err)
		return st.Logs[0].StdinClosed
	})
	shim, err := os.OpenFile(p.Stdin, os.O_RDONLY, 0)
	h.must(err)
	defer shim.Close()
	h.must(shim.SetReadDeadline(time.Now().Add(10 * time.Second)))
	got, err := io.ReadAll(shim)
	if err != nil || string(got) != "one " {
		t.Errorf("the container read %q, %v", got, err)
	}
	eventually(t, "writing is refused", func() bool {
		_, err := a.Write([]byte("x"))
		return errors.Is(err, logs.ErrNoStdin)
	})
	h.must(b.Close())
	h.must(h.Close(t.Context(), "in"))
	if err := <-seen.done; !errors.Is(err, io.EOF) {
		t.Errorf("ended with %v", err)
	}
}

func TestStdinOfManyAttachers(t *testing.T) {
	h := newHost(t)
	h.start()
	p, err := h.Open(t.Context(), "in", logs.OpenOptions{Stdin: true, TTY: true})
	h.must(err)
	shim, err := os.OpenFile(p.Stdin, os.O_RDONLY, 0)
	h.must(err)
	defer shim.Close()
	var wg sync.WaitGroup
	const each = 200 << 10 // more than a pipe's default: writing waits for the reader
	for _, c := range "ab" {
		wg.Go(func() {
			a := h.attach("in", logs.AttachOptions{})
			if _, err := a.Write(bytes.Repeat([]byte(string(c)), each)); err != nil {
				t.Error(err)
			}
		})
	}
	h.must(shim.SetReadDeadline(time.Now().Add(20 * time.Second)))
	got := make([]byte, 2*each)
	if _, err := io.ReadFull(shim, got); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if a, b := bytes.Count(got, []byte("a")), bytes.Count(got, []byte("b")); a != each || b != each {
		t.Errorf("%d and %d bytes, want %d of each", a, b, each)
	}
	h.must(h.CloseStdin(t.Context(), "in"))
	if n, err := shim.Read(got); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %d, %v", n, err)
	}
}

func TestAttachEndsWithItsContextAndTheDaemon(t *testing.T) {
	h := newHost(t)
	h.start()
	h.open("c", logs.OpenOptions{})
	ctx, cancel := context.WithCancelCause(t.Context())
	a, err := h.Attach(ctx, "c", logs.AttachOptions{})
	h.must(err)
	defer a.Close()
	reason := errors.New("the user left")
	cancel(reason)
	if err := a.Copy(nil, nil); !errors.Is(err, reason) {
		t.Errorf("ended with %v, want %v", err, reason)
	}
	b := collect(h.attach("c", logs.AttachOptions{}))
	h.kill()
	if err := <-b.done; !errors.Is(err, logs.ErrDaemonGone) {
		t.Errorf("ended with %v, want ErrDaemonGone", err)
	}
	h.start()
	h.attach("c", logs.AttachOptions{}) // waits for the new daemon
}

// With a parent that keeps descriptors, a killed daemon neither ends a container's stdin nor loses the output of a
// container that ended meanwhile.
func TestKeptDescriptorsOutliveTheDaemon(t *testing.T) {
	h := newHost(t)
	path := filepath.Join(h.run, "n")
	keep := func() (count func() int, end func()) {
		conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
		h.must(err)
		var mu sync.Mutex
		fds := map[string]int{}
		go func() {
			buf, oob := make([]byte, 4096), make([]byte, 4096)
			for {
				n, oobn, _, _, err := conn.ReadMsgUnix(buf, oob)
				if err != nil {
					return
				}
				_, name, _ := strings.Cut(string(buf[:n]), "FDNAME=")
				mu.Lock()
				if messages, err := unix.ParseSocketControlMessage(oob[:oobn]); err == nil && len(messages) == 1 {
					got, _ := unix.ParseUnixRights(&messages[0])
					fds[name] = got[0]
				} else if fd, ok := fds[name]; ok {
					_ = unix.Close(fd)
					delete(fds, name)
				}
				mu.Unlock()
			}
		}()
		return func() int { mu.Lock(); defer mu.Unlock(); return len(fds) }, func() {
			_ = conn.Close()
			mu.Lock()
			defer mu.Unlock()
			for _, fd := range fds {
				_ = unix.Close(fd)
			}
		}
	}
	count, end := keep()
	h.env = []string{"NOTIFY_SOCKET=" + path}
	h.start()
	p, err := h.Open(t.Context(), "c", logs.OpenOptions{Stdin: true})
	h.must(err)
	stdin, err := os.OpenFile(p.Stdin, os.O_RDONLY, 0)
	h.must(err)
	defer stdin.Close()
	eventually(t, "three descriptors kept", func() bool { return count() == 3 })
	h.kill()
	h.must(stdin.SetReadDeadline(time.Now().Add(200 * time.Millisecond)))
	if _, err := stdin.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("stdin ended with the daemon: %v", err)
	}
	// A container writes and ends, and its shim with it, while no daemon is there.
	out, err := os.OpenFile(p.Stdout, os.O_WRONLY, 0)
	h.must(err)
	fmt.Fprint(out, "last words\n")
	h.must(out.Close())
	// Another parent takes over, as after its own death.
	h.start()
	eventually(t, "last words kept", func() bool { return len(h.text("c", logs.Options{})) == 1 })
	end()
	h.must(os.RemoveAll(path))
	count, end = keep()
	defer end()
	eventually(t, "the new parent has all descriptors", func() bool { return count() == 3 })
	h.must(h.Close(t.Context(), "c"))
	eventually(t, "nothing kept", func() bool { return count() == 0 })
	equal(t, h.text("c", logs.Options{}), []string{"stdout F last words"})
}

// What is no request does no harm.
func TestGarbageOnTheSocket(t *testing.T) {
	h := newHost(t)
	h.start()
	h.open("c", logs.OpenOptions{})
	for _, garbage := range [][]byte{{}, {0xff, 0xff, 0xff, 0xff}, []byte("GET / HTTP/1.1\r\n\r\n"), {0, 0, 0, 2, '{', '{'}} {
		conn, err := net.Dial("unix", wire.Layout{RunDir: h.run}.Socket())
		h.must(err)
		_, err = conn.Write(garbage)
		h.must(err)
		h.must(conn.Close())
	}
	st, err := h.Status(t.Context())
	if err != nil || len(st.Logs) != 1 {
		t.Errorf("after garbage: %+v %v", st, err)
	}
}
