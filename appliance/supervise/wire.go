package supervise

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
)

type op string

const (
	opStatus   op = "status"
	opEnsure   op = "ensure"
	opStop     op = "stop"
	opShutdown op = "shutdown"
	opWatch    op = "watch" // answered at once; then the connection stays open as long as the parent lives
)

type request struct {
	Op   op     `json:"op"`
	Spec *Spec  `json:"spec,omitempty"` // opEnsure
	Name string `json:"name,omitempty"` // opStop
}

type reply struct {
	Error  string  `json:"error,omitempty"`
	Status *Status `json:"status,omitempty"` // opStatus
}

// maxMessage bounds a message in bytes.
const maxMessage = 4 << 20

// send writes v as its length in four bytes and JSON.
func send(w io.Writer, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode message: %w", err)
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...))
	return err
}

func receive(r io.Reader, v any) error {
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
