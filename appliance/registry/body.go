package registry

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// moving is how long a client may take for one piece of a body, either way.
const moving = time.Minute

// body is what a client sends: of any length, as long as it keeps coming.
type body struct {
	r       io.Reader
	ctl     *http.ResponseController
	stopped atomic.Bool
}

func bodyOf(w http.ResponseWriter, req *http.Request) *body {
	return &body{r: req.Body, ctl: http.NewResponseController(w)}
}

// errBroken says that the client's body ended before its end, or not in time.
var errBroken = errors.New("the upload broke off")

// Read gives the client a minute for each piece.
func (b *body) Read(p []byte) (int, error) {
	if b.stopped.Load() {
		return 0, fmt.Errorf("%w: another request took over", errBroken)
	}
	_ = b.ctl.SetReadDeadline(time.Now().Add(moving)) // not every connection can
	if b.stopped.Load() {
		b.stop() // it came between
	}
	n, err := b.r.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // only the bare one is the end
		err = fmt.Errorf("%w: %w", errBroken, err)
	}
	return n, err
}

// hurry gives a Read that waits for the client little time: what comes is not
// wanted any more.
func (b *body) hurry() { _ = b.ctl.SetReadDeadline(time.Now().Add(handover)) }

// stop ends a Read that waits for the client. It may be called from anywhere.
func (b *body) stop() {
	b.stopped.Store(true)
	_ = b.ctl.SetReadDeadline(time.Unix(1, 0))
}

// paced is an answer's writer that gives the client a minute for each piece and
// moves large ones.
type paced struct {
	http.ResponseWriter
	ctl    *http.ResponseController
	direct io.ReaderFrom // where the kernel can copy a file to the connection; else nil
}

func pacedOf(w http.ResponseWriter, req *http.Request) paced {
	p := paced{ResponseWriter: w, ctl: http.NewResponseController(w)}
	if req.TLS != nil {
		return p
	}
	base := w
	for {
		u, ok := base.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			break
		}
		base = u.Unwrap()
	}
	p.direct, _ = base.(io.ReaderFrom)
	return p
}

// Unwrap gives the writer below.
func (p paced) Unwrap() http.ResponseWriter { return p.ResponseWriter }

func (p paced) Write(b []byte) (int, error) {
	_ = p.ctl.SetWriteDeadline(time.Now().Add(moving))
	return p.ResponseWriter.Write(b)
}

// stride is how much the kernel copies before the client's time begins anew.
const stride = 64 << 20

// ReadFrom copies by large pieces: net/http's own are small.
func (p paced) ReadFrom(src io.Reader) (int64, error) {
	lim, ok := src.(*io.LimitedReader)
	if p.direct == nil || !ok {
		pool := &windows
		if sending.Add(1) > crowd {
			pool = &narrowWindows
		}
		defer sending.Add(-1)
		buf := pool.Get().(*[]byte)
		defer pool.Put(buf)
		return io.CopyBuffer(struct{ io.Writer }{p}, struct{ io.Reader }{src}, *buf)
	}
	if late, ok := p.ResponseWriter.(interface{ WriteHeaderNow() }); ok {
		late.WriteHeaderNow() // a router's writer that keeps the status until the first Write
	}
	var total int64
	for lim.N > 0 {
		_ = p.ctl.SetWriteDeadline(time.Now().Add(moving))
		part := &io.LimitedReader{R: lim.R, N: min(lim.N, stride)}
		n, err := p.direct.ReadFrom(part)
		total, lim.N = total+n, lim.N-n
		if err != nil || n == 0 {
			return total, err
		}
	}
	return total, nil
}

// span is the Content-Range of a chunk: "start-end", both included.
func span(req *http.Request) (start, end int64, given bool, err error) {
	h := req.Header.Get("Content-Range")
	if h == "" {
		return 0, 0, false, nil
	}
	text := strings.TrimPrefix(strings.TrimPrefix(h, "bytes "), "bytes=")
	text, _, _ = strings.Cut(text, "/")
	a, b, ok := strings.Cut(text, "-")
	start, errA := strconv.ParseInt(a, 10, 64)
	end, errB := strconv.ParseInt(b, 10, 64)
	if !ok || errA != nil || errB != nil || start < 0 || end < start-1 {
		return 0, 0, false, fail(http.StatusBadRequest, codeUploadInvalid, "the Content-Range of a chunk is START-END in bytes, such as 0-1048575").about("Content-Range", clip(h))
	}
	if n := req.ContentLength; n >= 0 && n != end-start+1 {
		return 0, 0, false, fail(http.StatusBadRequest, codeSizeInvalid, "the Content-Range says %d bytes, the Content-Length %d", end-start+1, n)
	}
	return start, end, true, nil
}
