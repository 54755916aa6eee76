package noderuntime

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/appliance/peer"
	"github.com/skerryhq/skerry/raft/model"
)

// terminal runs an exec or attach on another node: its exit code, which is 0 for
// attach.
func (t there) terminal(ctx context.Context, op string, c *model.Container, a ask, stdin bool, s api.Streams) (int, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	what := "the container " + c.Name
	body, in := io.Pipe()
	defer in.Close()
	up := &frames{w: in}
	stop := make(chan struct{})
	defer close(stop)
	a.Container, a.Stdin = about(c), stdin
	go func() {
		if err := up.sendJSON(frameAsk, a); err == nil {
			upward(up, s, stdin, stop)
		}
	}()
	resp, err := t.do(ctx, op, what, nil, body)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	down := bufio.NewReaderSize(resp.Body, 64<<10)
	for {
		kind, p, err := readFrame(down)
		switch {
		case err != nil && ctx.Err() != nil:
			return 0, context.Cause(ctx)
		case isAway(err):
			return 0, err
		case err != nil:
			return 0, t.away(what, err)
		}
		switch kind {
		case frameStdout:
			_, err = s.Stdout.Write(p)
		case frameStderr:
			_, err = cmpWriter(s.Stderr, s.Stdout).Write(p)
		case frameExit:
			if len(p) != 4 {
				return 0, fmt.Errorf("the node %s sent an exit code of %d bytes", t.name, len(p))
			}
			return int(int32(binary.BigEndian.Uint32(p))), nil
		case frameError:
			var why peer.Problem
			if err := json.Unmarshal(p, &why); err != nil {
				return 0, fmt.Errorf("read an error of the node %s: %w", t.name, err)
			}
			return 0, why.Err()
		default:
			err = fmt.Errorf("the node %s sent a frame of kind %d", t.name, kind)
		}
		if err != nil {
			return 0, err
		}
	}
}

// terminal serves an exec or attach: run gives the exit code.
func (h *Handler) terminal(w http.ResponseWriter, req *http.Request, run func(ctx context.Context, a *ask, s api.Streams) (int, error)) error {
	body := bufio.NewReaderSize(req.Body, 64<<10)
	kind, p, err := readFrame(body)
	var a ask
	if err == nil && kind == frameAsk {
		err = json.Unmarshal(p, &a)
	}
	if err != nil || kind != frameAsk {
		return model.Errorf(model.KindInvalid, "invalid", "a terminal begins with what it is for: %v", err)
	}
	if err := h.here(&a); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(req.Context())
	defer cancel()
	down := downstream(w)
	s := newStreamed(down)
	pumped := make(chan struct{})
	go func() {
		defer close(pumped)
		_ = s.pump(body) // a client that is gone ends the request, and that its context
	}()
	code, err := run(ctx, &a, s.Streams)
	_ = s.in.CloseWithError(io.ErrClosedPipe)
	if err != nil {
		_ = down.sendJSON(frameError, peer.ProblemOf(err)) // nobody listens any more if it fails
	} else {
		var end [4]byte
		binary.BigEndian.PutUint32(end[:], uint32(int32(code)))
		_ = down.send(frameExit, end[:])
	}
	_ = http.NewResponseController(w).SetReadDeadline(unixEpoch) // ends the pump
	<-pumped
	return nil
}
