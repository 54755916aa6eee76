package noderuntime

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/skerryhq/skerry/appliance/api"
)

// A terminal between nodes is one request: frames go up in its body and come down
// in the answer's. A frame is a byte that says what it is, four with the length
// of the rest, most significant first, and the rest.
type frameKind byte

const (
	frameAsk    frameKind = iota + 1 // up, first: an ask
	frameStdin                       // up: bytes for the command; none: its input ends
	frameResize                      // up: an api.Size
	frameSignal                      // up: the name of a signal
	frameStdout                      // down: bytes
	frameStderr                      // down: bytes
	frameExit                        // down, last: the exit code
	frameError                       // down, last: a problem
)

// maxFrame bounds what is taken at once; a command with its environment fits.
const maxFrame = 4 << 20

// frames writes frames, each at once. Safe for concurrent use.
type frames struct {
	mu    sync.Mutex
	w     io.Writer // guarded by mu
	flush func() error
}

func (f *frames) send(kind frameKind, p []byte) error {
	var head [5]byte
	head[0] = byte(kind)
	binary.BigEndian.PutUint32(head[1:], uint32(len(p)))
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.w.Write(append(head[:], p...)); err != nil {
		return err
	}
	if f.flush != nil {
		return f.flush()
	}
	return nil
}

func (f *frames) sendJSON(kind frameKind, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write a frame: %w", err)
	}
	return f.send(kind, b)
}

// as gives a writer whose bytes are frames of a kind.
func (f *frames) as(kind frameKind) io.Writer { return frameWriter{f, kind} }

type frameWriter struct {
	to   *frames
	kind frameKind
}

func (w frameWriter) Write(p []byte) (int, error) {
	for sent := 0; sent < len(p); {
		n := min(len(p)-sent, 64<<10)
		if err := w.to.send(w.kind, p[sent:sent+n]); err != nil {
			return sent, err
		}
		sent += n
	}
	return len(p), nil
}

// readFrame gives the next frame; io.EOF where they end between two.
func readFrame(r io.Reader) (frameKind, []byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:1]); err != nil {
		return 0, nil, err
	}
	if _, err := io.ReadFull(r, head[1:]); err != nil {
		return 0, nil, noEOF(err)
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > maxFrame {
		return 0, nil, fmt.Errorf("a frame of %d bytes, at most %d are taken", n, maxFrame)
	}
	p := make([]byte, n)
	if _, err := io.ReadFull(r, p); err != nil {
		return 0, nil, noEOF(err)
	}
	return frameKind(head[0]), p, nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// downstream writes frames into an answer; its head goes out at once.
func downstream(w http.ResponseWriter) *frames {
	ctl := http.NewResponseController(w)
	w.WriteHeader(http.StatusOK)
	_ = ctl.Flush() // a broken connection shows at the first frame
	return &frames{w: w, flush: ctl.Flush}
}

// upward sends what a client does until its streams have ended or stop is closed.
func upward(up *frames, s api.Streams, stdin bool, stop <-chan struct{}) {
	if stdin && s.Stdin != nil {
		go func() {
			if _, err := io.Copy(up.as(frameStdin), s.Stdin); err == nil {
				_ = up.send(frameStdin, nil) // where it cannot be sent the answer ends too
			}
		}()
	}
	resize, signals := s.Resize, s.Signals
	for resize != nil || signals != nil {
		var err error
		select {
		case <-stop:
			return
		case size, ok := <-resize:
			if !ok {
				resize = nil
			} else {
				err = up.sendJSON(frameResize, size)
			}
		case name, ok := <-signals:
			if !ok {
				signals = nil
			} else {
				err = up.send(frameSignal, []byte(name))
			}
		}
		if err != nil {
			return
		}
	}
}

// streamed are the ends of a terminal as the node holds them where it runs.
type streamed struct {
	api.Streams
	in     *io.PipeWriter
	resize chan api.Size
	signal chan string
}

func newStreamed(down *frames) *streamed {
	r, w := io.Pipe()
	s := &streamed{in: w, resize: make(chan api.Size, 1), signal: make(chan string, 16)}
	s.Streams = api.Streams{Stdin: r, Stdout: down.as(frameStdout), Stderr: down.as(frameStderr), Resize: s.resize, Signals: s.signal}
	return s
}

// pump takes frames until the client's end breaks off or the streams are closed.
// Its error is io.EOF where the client has ended its side in good order.
func (s *streamed) pump(body io.Reader) error {
	defer close(s.resize)
	defer close(s.signal)
	for {
		kind, p, err := readFrame(body)
		if err != nil {
			s.in.CloseWithError(noEOF(err))
			return err
		}
		switch kind {
		case frameStdin:
			if len(p) == 0 {
				_ = s.in.Close() // never fails
				continue
			}
			if _, err := s.in.Write(p); err != nil && !errors.Is(err, io.ErrClosedPipe) {
				return err
			}
		case frameResize:
			var size api.Size
			if err := json.Unmarshal(p, &size); err != nil {
				return fmt.Errorf("read a size: %w", err)
			}
			select { // the latest wins
			case <-s.resize:
			default:
			}
			s.resize <- size
		case frameSignal:
			select {
			case s.signal <- string(p):
			default: // nobody takes them
			}
		default:
			return fmt.Errorf("a frame of kind %d, which goes the other way", kind)
		}
	}
}
