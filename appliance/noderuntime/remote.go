package noderuntime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"time"

	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/appliance/peer"
	"github.com/skerryhq/skerry/raft/model"
)

// signOfLife is how long a node may take to say that it has got a question. A node
// answers that before it begins to work, so a slow disk is no absence.
const signOfLife = 2 * time.Second

// codeAway says that a node does not answer.
const codeAway = "node_away"

func isAway(err error) bool { return model.CodeOf(err) == codeAway }

// there reaches one other node.
type there struct {
	id, name string
	http     *http.Client
}

// away is the error of a node that does not answer. what names what is wanted.
func (t there) away(what string, err error) error {
	return &model.Error{Kind: model.KindUnavailable, Code: codeAway, Err: err,
		Detail: fmt.Sprintf("the node %s does not answer, and %s is there; try again when it is back", t.name, what)}
}

// errSilent says that a node gave no sign of life.
var errSilent = errors.New("no sign of life")

// do asks a node and gives its answer, whose body the caller closes. The answer
// ends when ctx does.
func (t there) do(ctx context.Context, op, what string, a *ask, body io.Reader) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	silent := time.AfterFunc(signOfLife, func() { cancel(errSilent) })
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		Got1xxResponse: func(int, textproto.MIMEHeader) error { silent.Stop(); return nil },
	})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://peer"+Prefix+op, body)
	if err != nil {
		cancel(nil)
		return nil, fmt.Errorf("ask the node %s: %w", t.name, err)
	}
	if a != nil {
		text, err := encodeHeader(a)
		if err != nil {
			cancel(nil)
			return nil, err
		}
		req.Header.Set(headerAsk, text)
	}
	resp, err := t.http.Do(req)
	if err != nil {
		outer := context.Cause(ctx)
		cancel(nil)
		silent.Stop()
		if outer != nil && !errors.Is(outer, errSilent) {
			return nil, outer
		}
		return nil, t.away(what, err)
	}
	silent.Stop()
	if resp.StatusCode != http.StatusOK {
		err := peer.ReadError(resp)
		cancel(nil)
		return nil, err
	}
	resp.Body = &answer{ReadCloser: resp.Body, t: t, what: what, ctx: ctx, cancel: func() { cancel(nil) }}
	return resp, nil
}

// answer is a body that says who went away where it breaks off.
type answer struct {
	io.ReadCloser
	t      there
	what   string
	ctx    context.Context //nolint:containedctx // io.Reader has no room for it
	cancel func()
}

func (b *answer) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // only the bare one is the end
		if b.ctx.Err() != nil {
			return n, context.Cause(b.ctx)
		}
		err = b.t.away(b.what, err)
	}
	return n, err
}

func (b *answer) Close() error {
	b.cancel()
	return b.ReadCloser.Close()
}

// call asks a node and reads its answer.
func call[T any](ctx context.Context, t there, op, what string, a ask, body io.Reader) (T, error) {
	var out T
	resp, err := t.do(ctx, op, what, &a, body)
	if err != nil {
		return out, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		if isAway(err) {
			return out, err
		}
		return out, fmt.Errorf("read the answer of the node %s: %w", t.name, err)
	}
	return out, nil
}

// nothing is an answer that only says that it worked.
type nothing struct{}

// logItem is a line of a log between nodes, or why there are no more.
type logItem struct {
	Line  *api.LogLine  `json:"line,omitempty"`
	Error *peer.Problem `json:"error,omitempty"`
	End   bool          `json:"end,omitempty"`
}

// readLog is Local.ReadLog on another node.
func (t there) readLog(ctx context.Context, c *model.Container, q api.LogQuery) iter.Seq2[api.LogLine, error] {
	return func(yield func(api.LogLine, error) bool) {
		what := "the container " + c.Name
		resp, err := t.do(ctx, "logs", what, &ask{Container: about(c), Query: &q}, nil)
		if err != nil {
			yield(api.LogLine{}, err)
			return
		}
		defer resp.Body.Close()
		in := json.NewDecoder(resp.Body)
		for {
			var item logItem
			err := in.Decode(&item)
			switch {
			case err != nil && (isAway(err) || ctx.Err() != nil):
			case err != nil:
				err = t.away(what, err) // it ended without its end
			case item.Error != nil:
				err = item.Error.Err()
			case item.End:
				return
			case item.Line == nil:
				continue // a sign of life
			}
			if err != nil {
				yield(api.LogLine{}, err)
				return
			}
			if !yield(*item.Line, nil) {
				return
			}
		}
	}
}

// file is a file of another node that is read from where somebody wants it.
type file struct {
	open func(offset int64) (api.FileEntry, io.ReadCloser, error)
	size int64
	at   int64
	body io.ReadCloser // nil: not open at this place
}

func (f *file) Read(p []byte) (int, error) {
	if f.at >= f.size {
		return 0, io.EOF
	}
	if f.body == nil {
		_, body, err := f.open(f.at)
		if err != nil {
			return 0, err
		}
		f.body = body
	}
	n, err := f.body.Read(p)
	f.at += int64(n)
	return n, err
}

func (f *file) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += f.at
	case io.SeekEnd:
		offset += f.size
	}
	if offset < 0 {
		return 0, errors.New("a place before the beginning of a file")
	}
	if offset != f.at && f.body != nil {
		_ = f.body.Close()
		f.body = nil
	}
	f.at = offset
	return offset, nil
}

func (f *file) close() {
	if f.body != nil {
		_ = f.body.Close()
	}
}
