// Package wire is what the log daemon and its client agree on: where things lie, how a request looks on the
// socket and how attached bytes are framed. It does no I/O of its own except reading and writing the stream
// that it is given, keeps no state, and every function may be called from any goroutine.
package wire

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
)

// Names inside one container's folder below the run dir.
const (
	MetaFile    = "meta.json" // options of the open log; its presence means "open"
	JournalFile = "journal"
	StdinFIFO   = "stdin"
	StdoutFIFO  = "stdout"
	StderrFIFO  = "stderr"
)

// Layout knows every path of the log daemon. Both folders are absolute.
type Layout struct{ RunDir, DataDir string }

// Socket is the daemon's unix socket.
func (l Layout) Socket() string { return filepath.Join(l.RunDir, "logd.sock") }

// Lock is the file whose lock makes the daemon the only one of its run dir.
func (l Layout) Lock() string { return filepath.Join(l.RunDir, "logd.lock") }

// Pipes is the folder with one folder of pipes for each open log.
func (l Layout) Pipes() string { return filepath.Join(l.RunDir, "logd") }

// Pipe is the folder of one container's pipes.
func (l Layout) Pipe(id string) string { return filepath.Join(l.Pipes(), id) }

// Meta is the file whose presence means that the container's log is open.
func (l Layout) Meta(id string) string { return filepath.Join(l.Pipe(id), MetaFile) }

// Logs is the folder with one folder of log files for each container.
func (l Layout) Logs() string { return filepath.Join(l.DataDir, "logs") }

// Log is the folder of one container's log files.
func (l Layout) Log(id string) string { return filepath.Join(l.Logs(), id) }

var idPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$`)

// CheckID refuses an id that could leave its folder or that no container can have.
func CheckID(id string) error {
	if !idPattern.MatchString(id) {
		return fmt.Errorf("container id %.140q: use 1 to 128 letters, digits, '.', '_' or '-', beginning with a letter or digit", id)
	}
	return nil
}

// Op names a request.
type Op string

// The requests of the socket. One connection carries one request.
const (
	OpOpen       Op = "open"
	OpClose      Op = "close"
	OpRemove     Op = "remove"
	OpStatus     Op = "status"
	OpAttach     Op = "attach"
	OpCloseStdin Op = "close_stdin"
)

// Meta is how a log was opened; it is also the content of MetaFile.
type Meta struct {
	TTY      bool  `json:"tty"`
	Stdin    bool  `json:"stdin"`
	MaxBytes int64 `json:"max_bytes"` // of one file
	MaxFiles int   `json:"max_files"` // including the one being written
}

// Request is the message from client to daemon.
type Request struct {
	Op     Op     `json:"op"`
	ID     string `json:"id,omitempty"`
	Meta   *Meta  `json:"meta,omitempty"`   // OpOpen
	Replay int64  `json:"replay,omitempty"` // OpAttach: bytes of kept output to send first
}

// Kind classes an error across the socket.
type Kind string

// Error kinds.
const (
	KindNone     Kind = ""
	KindInvalid  Kind = "invalid"
	KindNotOpen  Kind = "not_open"
	KindInternal Kind = "internal"
)

// Reply is the message from daemon to client.
type Reply struct {
	Kind   Kind    `json:"kind,omitempty"`
	Error  string  `json:"error,omitempty"`
	Status *Status `json:"status,omitempty"` // OpStatus
}

// Status is what the daemon says about itself.
type Status struct {
	PID  int         `json:"pid"`
	Logs []LogStatus `json:"logs"` // sorted by ID
}

// LogStatus is one open log.
type LogStatus struct {
	ID          string `json:"id"`
	Bytes       int64  `json:"bytes"`        // raw bytes taken from the pipes since the log was opened or the daemon started
	Lost        int64  `json:"lost"`         // raw bytes dropped in that time because the disk refused them
	Attached    int    `json:"attached"`     // attachers now
	StdinClosed bool   `json:"stdin_closed"` // true also when it was opened without stdin
	LastError   string `json:"last_error,omitempty"`
}

// maxMessage bounds a request or reply, so that a broken peer cannot make the other side allocate without end.
const maxMessage = 4 << 20

// WriteJSON sends v as one message: its length in four bytes, then JSON.
func WriteJSON(w io.Writer, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode message: %w", err)
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...))
	return err
}

// ReadJSON receives one message into v. It reads not a byte beyond it.
func ReadJSON(r io.Reader, v any) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxMessage {
		return fmt.Errorf("message of %d bytes: at most %d are accepted", n, maxMessage)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return err
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("decode message: %w", err)
	}
	return nil
}

// FrameType says what an attach frame carries.
type FrameType byte

// Frame types. Stdin and CloseStdin go to the daemon, the others to the client.
const (
	FrameStdin      FrameType = 0
	FrameStdout     FrameType = 1
	FrameStderr     FrameType = 2
	FrameCloseStdin FrameType = 3
	FrameClosed     FrameType = 4 // the log was closed: no more output comes
	FrameSlow       FrameType = 5 // the attacher did not read fast enough and is cut off
	FrameStdinGone  FrameType = 6 // stdin is closed or was never opened; payload is a sentence
)

// MaxFrame is the largest payload of one frame in bytes.
const MaxFrame = 64 << 10

// AppendFrame appends one frame to dst. The payload must not exceed MaxFrame.
func AppendFrame(dst []byte, t FrameType, payload []byte) []byte {
	dst = append(dst, byte(t))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(payload)))
	return append(dst, payload...)
}

// ReadFrame reads one frame; the payload lies in buf, which must hold MaxFrame bytes.
func ReadFrame(r io.Reader, buf []byte) (FrameType, []byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > MaxFrame {
		return 0, nil, fmt.Errorf("attach frame of %d bytes: at most %d are accepted", n, MaxFrame)
	}
	if _, err := io.ReadFull(r, buf[:n]); err != nil {
		return 0, nil, err
	}
	return FrameType(head[0]), buf[:n], nil
}
