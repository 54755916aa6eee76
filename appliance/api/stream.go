package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
)

const (
	mediaSSE    = "text/event-stream"
	mediaNDJSON = "application/x-ndjson"

	streamWrite = 30 * time.Second // a reader that takes longer for one piece is gone
	streamQuiet = 15 * time.Second // a silent stream says that it lives
)

// accepts says whether the client asked for a media type by name.
func accepts(c *gin.Context, media string) bool {
	for part := range strings.SplitSeq(c.GetHeader("Accept"), ",") {
		if m, _, err := mime.ParseMediaType(part); err == nil && m == media {
			return true
		}
	}
	return false
}

// stream is a reply that grows. It begins with its first piece, so that what is
// refused before gets a proper status. Its methods may be called from several
// goroutines; the first failed write ends it.
type stream struct {
	s     *Server
	c     *gin.Context
	ctl   *http.ResponseController
	media string
	mu    sync.Mutex // guards the reply and everything below
	begun bool
	err   error
	last  time.Time
}

// stream prepares a reply of a media type. Nothing but the stream may write to
// the client from now on.
func (s *Server) stream(c *gin.Context, media string) *stream {
	st := &stream{s: s, c: c, ctl: http.NewResponseController(c.Writer), media: media, last: time.Now()}
	patient(c)
	return st
}

// begin sends the header, once, so that the client knows that it is connected.
func (st *stream) begin() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.head()
	_ = st.ctl.Flush()
}

func (st *stream) head() {
	if st.begun {
		return
	}
	st.begun = true
	st.s.stamp(st.c)
	st.c.Header("Content-Type", st.media)
	st.c.Header("X-Accel-Buffering", "no") // proxies must not collect it
	st.c.Status(http.StatusOK)
	st.c.Writer.WriteHeaderNow()
}

// send writes one event (or JSON line) and flushes it. id may be empty.
func (st *stream) send(event, id string, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode event %s: %w", event, err)
	}
	var b bytes.Buffer
	if st.media == mediaNDJSON {
		fmt.Fprintf(&b, "{%q:%s}\n", event, body)
	} else {
		if id != "" {
			fmt.Fprintf(&b, "id: %s\n", id)
		}
		fmt.Fprintf(&b, "event: %s\ndata: %s\n\n", event, body)
	}
	_, err = st.Write(b.Bytes())
	return err
}

// Write sends raw bytes and flushes them.
func (st *stream) Write(b []byte) (int, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.err != nil {
		return 0, st.err
	}
	_ = st.ctl.SetWriteDeadline(time.Now().Add(streamWrite))
	st.head()
	n, err := st.c.Writer.Write(b)
	if err == nil {
		err = st.ctl.Flush()
	}
	st.err, st.last = err, time.Now()
	return n, err
}

// alive writes something that means nothing, if nothing was written for long.
func (st *stream) alive() error {
	st.mu.Lock()
	quiet := time.Since(st.last) >= streamQuiet
	st.mu.Unlock()
	if !quiet {
		return nil
	}
	if st.media == mediaNDJSON {
		_, err := st.Write([]byte("\n"))
		return err
	}
	_, err := st.Write([]byte(": alive\n\n"))
	return err
}

// end sends the problem that err is, or what is done. Nobody else writes any
// more when it is called.
func (s *Server) end(st *stream, done any, err error) {
	if err != nil && !st.begun {
		s.fail(st.c, err)
		return
	}
	if err != nil {
		_ = st.c.Error(err)
		_ = st.send("problem", "", problemFor(err, requestID(st.c)))
		return
	}
	_ = st.send("done", "", done)
}

// work runs long work. Where the client accepts a stream its steps are sent as
// they happen, else it gets the result at the end. render gives what is sent.
func (s *Server) work(c *gin.Context, status int, run func(Report) (any, error)) {
	for _, media := range []string{mediaSSE, mediaNDJSON} {
		if accepts(c, media) {
			st := s.stream(c, media)
			stop := s.keepAlive(st)
			done, err := run(func(p Progress) { _ = st.send("progress", "", p) })
			stop()
			s.end(st, done, err)
			return
		}
	}
	patient(c)
	done, err := run(func(Progress) {})
	s.reply(c, status, done, err)
}

// keepAlive lets a stream say that it lives until stop is called.
func (s *Server) keepAlive(st *stream) (stop func()) {
	end := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(streamQuiet)
		defer tick.Stop()
		for {
			select {
			case <-end:
				return
			case <-tick.C:
				if st.alive() != nil {
					return
				}
			}
		}
	})
	return func() { close(end); wg.Wait() }
}

// patient lifts the time limits of a request whose work may take long.
func patient(c *gin.Context) {
	ctl := http.NewResponseController(c.Writer)
	_ = ctl.SetReadDeadline(time.Time{})
	_ = ctl.SetWriteDeadline(time.Time{})
}

// upload is a body of any size that must keep coming.
type upload struct {
	body io.Reader
	ctl  *http.ResponseController
}

func uploaded(c *gin.Context) upload {
	return upload{body: c.Request.Body, ctl: http.NewResponseController(c.Writer)}
}

// Read gives the sender a minute for each piece.
func (u upload) Read(b []byte) (int, error) {
	_ = u.ctl.SetReadDeadline(time.Now().Add(bodyTimeout))
	return u.body.Read(b)
}

// download writes a body of any size to a client that must keep taking it.
type download struct {
	w   io.Writer
	ctl *http.ResponseController
}

func downloading(c *gin.Context) download {
	return download{w: c.Writer, ctl: http.NewResponseController(c.Writer)}
}

// Write gives the client a minute for each piece.
func (d download) Write(b []byte) (int, error) {
	_ = d.ctl.SetWriteDeadline(time.Now().Add(bodyTimeout))
	return d.w.Write(b)
}
