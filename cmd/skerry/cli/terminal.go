package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/coder/websocket"
	"golang.org/x/term"
)

// The channels of a session's frames: the first byte of each.
const (
	chStdin   = 0
	chStdout  = 1
	chStderr  = 2
	chControl = 3
)

// control is a frame of channel 3, in either direction.
type control struct {
	Resize     *winsize `json:"resize,omitempty"`
	CloseStdin bool     `json:"closeStdin,omitempty"`
	Signal     string   `json:"signal,omitempty"`
	Exit       *int     `json:"exit,omitempty"`
	Error      string   `json:"error,omitempty"`
}

type winsize struct {
	Cols int `json:"cols"`
	Rows int `json:"rows"`
}

// session is a terminal or command that runs elsewhere. Its writes may come
// from several goroutines.
type session struct {
	a      *app
	ws     *websocket.Conn
	mu     sync.Mutex
	stdin  bool // send our standard input
	tty    bool
	detach bool // ctrl-p ctrl-q leaves it running
	quiet  bool // its output is shown by somebody else
}

// errDetached says that the user left the session with the detach keys.
var errDetached = errors.New("detached")

// open switches a prepared request to a WebSocket.
func (a *app) open(ctx context.Context, req *http.Request, err error) (*session, error) {
	if err != nil {
		return nil, fmt.Errorf("prepare the request: %w", err)
	}
	c, err := a.connect()
	if err != nil {
		return nil, err
	}
	req.URL.RawQuery = stripQuery(req.URL.RawQuery)
	ws, resp, err := websocket.Dial(ctx, req.URL.String(), &websocket.DialOptions{HTTPClient: c.http, HTTPHeader: c.header.Clone()})
	if err != nil {
		if resp != nil && resp.StatusCode >= 400 {
			return nil, readRefusal(resp)
		}
		return nil, unreachable(err)
	}
	ws.SetReadLimit(-1)
	return &session{a: a, ws: ws}, nil
}

// terminalSize is that of our terminal, or 0, 0.
func (a *app) terminalSize() (cols, rows int) {
	f, ok := a.Stdout.(*os.File)
	if !ok {
		return 0, 0
	}
	w, h, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0, 0
	}
	return w, h
}

// run carries the session until it ends and gives its exit status.
func (s *session) run(ctx context.Context) (int, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer func() { _ = s.ws.CloseNow() }()
	if s.tty {
		restore := s.raw()
		defer restore()
		defer s.watchSize(ctx)()
	}
	if !s.tty {
		defer s.a.takeSignals(func(sig os.Signal) {
			if name := signalName(sig); name != "" {
				_ = s.control(ctx, control{Signal: name})
			}
		})()
	}
	if s.stdin {
		go func() {
			if err := s.sendInput(ctx, s.a.Stdin); err != nil {
				cancel(err)
			}
		}()
	}
	code, err := s.receive(ctx)
	if errors.Is(context.Cause(ctx), errDetached) {
		_ = s.ws.Close(websocket.StatusNormalClosure, "detached")
		return 0, errDetached
	}
	return code, err
}

// receive writes what comes until the exit status comes.
func (s *session) receive(ctx context.Context) (int, error) {
	for {
		kind, frame, err := s.ws.Read(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return 0, context.Cause(ctx)
			}
			return 0, errors.New(s.a.say("session.lost"))
		}
		if kind != websocket.MessageBinary && len(frame) > 0 && frame[0] == '{' {
			frame = append([]byte{chControl}, frame...)
		}
		if len(frame) == 0 {
			continue
		}
		switch frame[0] {
		case chStdout, chStderr:
			out := s.a.Stdout
			if frame[0] == chStderr {
				out = s.a.Stderr
			}
			if s.quiet {
				continue
			}
			if _, err := out.Write(frame[1:]); err != nil {
				return 0, fmt.Errorf("write the output: %w", err)
			}
		case chControl:
			var c control
			if err := json.Unmarshal(frame[1:], &c); err != nil {
				return 0, fmt.Errorf("the server's answer cannot be read: %w", err)
			}
			if c.Error != "" {
				return 0, errors.New(c.Error)
			}
			if c.Exit != nil {
				return *c.Exit, nil
			}
		}
	}
}

// sendInput copies in to the session; its end closes the other side's.
func (s *session) sendInput(ctx context.Context, in io.Reader) error {
	buf := make([]byte, 1+32<<10)
	var keys detachKeys
	for {
		n, err := in.Read(buf[1:])
		if n > 0 {
			data := buf[1 : 1+n]
			if s.detach {
				var left bool
				if data, left = keys.filter(data); left {
					return errDetached
				}
			}
			if len(data) > 0 && s.write(ctx, chStdin, data) != nil {
				return nil //nolint:nilerr // the session has ended; receive knows why
			}
		}
		if err != nil {
			_ = s.control(ctx, control{CloseStdin: true})
			return nil //nolint:nilerr // however the input ended, the command may still have output
		}
	}
}

func (s *session) write(ctx context.Context, channel byte, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ws.Write(ctx, websocket.MessageBinary, append([]byte{channel}, data...))
}

func (s *session) control(ctx context.Context, c control) error {
	b, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("write a control frame: %w", err)
	}
	return s.write(ctx, chControl, b)
}

// raw hands every key to the other side; the result gives the terminal back.
func (s *session) raw() func() {
	f, ok := s.a.Stdin.(*os.File)
	if !ok || !s.stdin || !term.IsTerminal(int(f.Fd())) {
		return func() {}
	}
	state, err := term.MakeRaw(int(f.Fd()))
	if err != nil {
		return func() {}
	}
	return func() { _ = term.Restore(int(f.Fd()), state) }
}

// watchSize tells the other side our terminal's size, now and at each change.
func (s *session) watchSize(ctx context.Context) (stop func()) {
	send := func() {
		if cols, rows := s.a.terminalSize(); cols > 0 {
			_ = s.control(ctx, control{Resize: &winsize{cols, rows}})
		}
	}
	send()
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, syscall.SIGWINCH)
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-changed:
				send()
			}
		}
	}()
	return func() { signal.Stop(changed); cancel() }
}

// detachKeys finds ctrl-p ctrl-q in what is typed. A lone ctrl-p waits for the
// next key, because it may be the first half.
type detachKeys struct{ half bool }

const (
	ctrlP = 0x10
	ctrlQ = 0x11
)

func (d *detachKeys) filter(in []byte) (out []byte, detached bool) {
	for _, b := range in {
		if d.half {
			d.half = false
			if b == ctrlQ {
				return out, true
			}
			out = append(out, ctrlP)
		}
		if b == ctrlP {
			d.half = true
			continue
		}
		out = append(out, b)
	}
	return out, false
}

func signalName(s os.Signal) string {
	switch s {
	case os.Interrupt:
		return "INT"
	case syscall.SIGTERM:
		return "TERM"
	case syscall.SIGHUP:
		return "HUP"
	}
	return ""
}
