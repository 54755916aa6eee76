package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/gin-gonic/gin"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
)

// The channels of a terminal's frames: their first byte.
const (
	channelStdin   = 0
	channelStdout  = 1
	channelStderr  = 2
	channelControl = 3
)

const (
	maxFrame      = 256 << 10 // bytes that a client may send in one frame
	terminalAlive = 25 * time.Second
)

// control is what control frames carry.
type control struct {
	Resize     *Size   `json:"resize,omitempty"`     // from the client
	CloseStdin bool    `json:"closeStdin,omitempty"` // from the client
	Signal     string  `json:"signal,omitempty"`     // from the client
	Exit       *int    `json:"exit,omitempty"`       // from the server
	Error      *string `json:"error,omitempty"`      // from the server
}

// ExecContainer runs a command in a container.
func (s *Server) ExecContainer(c *gin.Context, ref Ref, q ExecContainerParams) {
	if len(q.Command) == 0 || q.Command[0] == "" {
		s.fail(c, invalid("command_missing", "there is no command to run; give at least one `command`").At("command"))
		return
	}
	if i := slices.IndexFunc(q.Env, func(e string) bool { return strings.IndexByte(e, '=') < 1 }); i >= 0 {
		s.fail(c, invalid("env_invalid", "%q is no variable; write NAME=value", q.Env[i]).At("env"))
		return
	}
	spec := ExecSpec{Command: q.Command, TTY: q.Tty, Stdin: q.Stdin, User: q.User, WorkingDir: q.Workdir, Env: q.Env, Size: sizeOf(q.Cols, q.Rows)}
	s.terminal(c, ref, "container.exec", q.Stdin, Size{}, func(ctx context.Context, o *model.Container, st Streams) (int, error) {
		return s.runtime.Exec(ctx, o, spec, st)
	})
}

// AttachContainer joins a container's own streams.
func (s *Server) AttachContainer(c *gin.Context, ref Ref, q AttachContainerParams) {
	s.terminal(c, ref, "container.attach", q.Stdin, sizeOf(q.Cols, q.Rows), func(ctx context.Context, o *model.Container, st Streams) (int, error) {
		return s.runtime.Attach(ctx, o, q.Stdin, st)
	})
}

func sizeOf(cols, rows int) Size {
	if cols < 1 || rows < 1 || cols > 1000 || rows > 1000 {
		return Size{}
	}
	return Size{Cols: uint16(cols), Rows: uint16(rows)}
}

// terminal switches to a WebSocket and carries the streams of run over it. The
// user and the container are audited before the first byte.
func (s *Server) terminal(c *gin.Context, ref, action string, stdin bool, first Size, run func(context.Context, *model.Container, Streams) (int, error)) {
	r := of(c)
	o, err := r.enterable(ref)
	switch {
	case err == nil && o.Status.Phase != model.PhaseRunning:
		err = notRunning(o)
	case err == nil && !strings.EqualFold(c.GetHeader("Upgrade"), "websocket"):
		err = invalid("websocket_needed", "this operation speaks WebSocket; connect with a WebSocket client")
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	s.record(r, action, "", command.Ref{Kind: "container", ID: o.ID, Name: o.Name})
	patient(c)
	ws, err := websocket.Accept(c.Writer, c.Request, &websocket.AcceptOptions{InsecureSkipVerify: true}) // the gate compared the origin
	if err != nil {
		_ = c.Error(err)
		return
	}
	ws.SetReadLimit(maxFrame)
	s.carry(c.Request.Context(), ws, o, stdin, first, run)
}

// carry runs until the command has ended or the client is gone.
func (s *Server) carry(ctx context.Context, ws *websocket.Conn, o *model.Container, stdin bool, first Size, run func(context.Context, *model.Container, Streams) (int, error)) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	t := &terminal{ws: ws, resize: make(chan Size, 1), signals: make(chan string, 4)}
	st := Streams{Stdout: channel{ctx, ws, channelStdout}, Stderr: channel{ctx, ws, channelStderr}, Resize: t.resize, Signals: t.signals}
	if stdin {
		var in *io.PipeReader
		in, t.stdin = io.Pipe()
		st.Stdin = in
		defer func() { _ = in.Close() }()
	}
	if first != (Size{}) {
		t.resize <- first
	}
	var wg sync.WaitGroup
	wg.Go(func() { t.receive(ctx); cancel() })
	wg.Go(func() { t.ping(ctx) })
	code, err := run(ctx, o, st)
	t.finish(context.WithoutCancel(ctx), code, err)
	_ = ws.Close(websocket.StatusNormalClosure, "") // before cancel: that would cut the socket
	cancel()
	if stdin {
		_ = st.Stdin.(*io.PipeReader).Close() // lets receive go on if it waits for the command to read
	}
	wg.Wait()
}

// terminal is the client's side of a socket.
type terminal struct {
	ws      *websocket.Conn
	stdin   *io.PipeWriter // nil if not asked for
	resize  chan Size
	signals chan string
}

var errClientGone = errors.New("the client is gone")

// receive reads frames until the client goes; then the streams end.
func (t *terminal) receive(ctx context.Context) {
	defer close(t.resize)
	defer close(t.signals)
	for {
		kind, b, err := t.ws.Read(ctx)
		if err != nil {
			if t.stdin != nil {
				// Not the end of the input: a container's own goes on for whoever attaches next.
				_ = t.stdin.CloseWithError(errClientGone)
			}
			return
		}
		if kind != websocket.MessageBinary || len(b) == 0 {
			continue
		}
		switch b[0] {
		case channelStdin:
			if t.stdin != nil {
				_, _ = t.stdin.Write(b[1:]) // a command that reads no more is its own affair
			}
		case channelControl:
			t.control(b[1:])
		}
	}
}

func (t *terminal) closeStdin() {
	if t.stdin != nil {
		_ = t.stdin.Close()
	}
}

func (t *terminal) control(b []byte) {
	var m control
	if json.Unmarshal(b, &m) != nil {
		return
	}
	if m.Resize != nil {
		if size := sizeOf(int(m.Resize.Cols), int(m.Resize.Rows)); size != (Size{}) {
			select { // only the latest size matters
			case <-t.resize:
			default:
			}
			t.resize <- size
		}
	}
	if m.CloseStdin {
		t.closeStdin()
	}
	if m.Signal != "" && checkSignal(m.Signal) == nil {
		select {
		case t.signals <- m.Signal:
		default: // four wait already
		}
	}
}

// ping finds out that a client is gone that never said so.
func (t *terminal) ping(ctx context.Context) {
	tick := time.NewTicker(terminalAlive)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			pctx, cancel := context.WithTimeout(ctx, terminalAlive)
			err := t.ws.Ping(pctx)
			cancel()
			if err != nil {
				_ = t.ws.CloseNow()
				return
			}
		}
	}
}

// finish says how the command ended.
func (t *terminal) finish(ctx context.Context, code int, err error) {
	m := control{Exit: &code}
	if err != nil {
		if errors.Is(err, context.Canceled) {
			return // the client has gone
		}
		p := problemFor(err, "")
		m = control{Error: &p.Detail}
	}
	b, err := json.Marshal(m)
	if err != nil {
		return
	}
	_, _ = channel{ctx, t.ws, channelControl}.Write(b)
}

// channel writes one channel's frames.
type channel struct {
	ctx context.Context //nolint:containedctx // io.Writer has no context; this one is the socket's
	ws  *websocket.Conn
	n   byte
}

// Write sends one frame.
func (w channel) Write(b []byte) (int, error) {
	ctx, cancel := context.WithTimeout(w.ctx, streamWrite)
	defer cancel()
	frame := make([]byte, 1+len(b))
	frame[0] = w.n
	copy(frame[1:], b)
	if err := w.ws.Write(ctx, websocket.MessageBinary, frame); err != nil {
		return 0, err
	}
	return len(b), nil
}
