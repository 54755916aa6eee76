package apptest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Session is a command that runs while the test goes on, on pipes or on a
// terminal of its own.
type Session struct {
	t    testing.TB
	cmd  *exec.Cmd
	out  *buffer
	errs *buffer
	tty  *os.File // our end of its terminal; nil on pipes
	over chan struct{}
}

// Begin starts a skerry command on pipes. It is killed when the test ends.
func (n *Node) Begin(args ...string) *Session {
	n.t.Helper()
	s := &Session{t: n.t, out: &buffer{}, errs: &buffer{}, over: make(chan struct{}), cmd: n.command(context.Background(), args...)}
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.errs
	s.start(n)
	return s
}

// Terminal starts a skerry command on a terminal of the given size.
func (n *Node) Terminal(cols, rows uint16, args ...string) *Session {
	n.t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _ = master.Close() })
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		n.t.Fatalf("make a terminal: %v", err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		n.t.Fatal(err)
	}
	defer slave.Close()
	s := &Session{t: n.t, out: &buffer{}, errs: &buffer{}, over: make(chan struct{}), cmd: n.command(context.Background(), args...), tty: master}
	s.size(cols, rows)
	s.cmd.Env = append(s.cmd.Env, "TERM=xterm")
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = slave, slave, slave
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	s.start(n)
	go func() {
		b := make([]byte, 4096)
		for {
			got, err := master.Read(b)
			_, _ = s.out.Write(b[:got])
			if err != nil {
				return // its last holder is gone
			}
		}
	}()
	return s
}

func (s *Session) start(n *Node) {
	n.t.Helper()
	var err error
	n.Host.Must(func() error {
		err = s.cmd.Start()
		return err
	})
	n.t.Cleanup(func() {
		_ = s.cmd.Process.Kill() // it may have ended
		<-s.over
	})
	go func() {
		_ = s.cmd.Wait() // the status is read by Wait
		close(s.over)
	}()
}

func (s *Session) size(cols, rows uint16) {
	s.t.Helper()
	if err := unix.IoctlSetWinsize(int(s.tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: cols, Row: rows}); err != nil {
		s.t.Fatalf("resize the terminal: %v", err)
	}
}

// Resize changes the terminal's size; the kernel tells the command.
func (s *Session) Resize(cols, rows uint16) { s.size(cols, rows) }

// Type types on the terminal.
func (s *Session) Type(text string) {
	s.t.Helper()
	if _, err := s.tty.WriteString(text); err != nil {
		s.t.Fatalf("type %q: %v", text, err)
	}
}

// Expect waits until the terminal or stdout showed a text.
func (s *Session) Expect(text string) {
	s.t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !strings.Contains(s.Output(), text); {
		if time.Now().After(deadline) {
			s.t.Fatalf("%q was not shown, but %q %q", text, s.Output(), s.errs.String())
		}
		select {
		case <-s.t.Context().Done():
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Output is all that was shown or written to stdout.
func (s *Session) Output() string { return s.out.String() }

// Errors is all that was written to stderr; on a terminal it is in Output.
func (s *Session) Errors() string { return s.errs.String() }

// Signal sends a signal to the command.
func (s *Session) Signal(sig os.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatalf("send %s: %v", sig, err)
	}
}

// Wait waits for the end and gives the exit status.
func (s *Session) Wait() int {
	s.t.Helper()
	select {
	case <-s.over:
	case <-time.After(60 * time.Second):
		s.t.Fatalf("the command does not end; it showed %q %q", s.out.String(), s.errs.String())
	}
	return s.cmd.ProcessState.ExitCode()
}
