package peer

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"syscall"
)

// The protocols among nodes, as TLS negotiates them (ALPN).
const (
	protoRaft    = "skerry-raft/1"
	protoPeer    = "skerry-peer/1"
	protoPropose = "skerry-propose/1"
	protoJoin    = "skerry-join/1"
)

// The bounds of a connection's beginning and of its silence.
const (
	helloTimeout = 10 * time.Second // from accept to the end of the hello
	dialTimeout  = 5 * time.Second  // the same, seen from the other side
	deadAfter    = 10 * time.Second // without an acknowledgement by the other host the connection is given up
	maxHello     = 8 << 10          // bytes
	maxJoin      = 1 << 20          // bytes of a join request or reply
)

// writeMessage writes v as JSON behind its length (4 bytes, big endian), in one
// write.
func writeMessage(w io.Writer, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %T: %w", v, err)
	}
	out := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(body)), uint32(len(body)))
	_, err = w.Write(append(out, body...))
	return err
}

// readMessage reads what writeMessage wrote, of at most most bytes.
func readMessage(r io.Reader, v any, most int) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > uint32(most) {
		return fmt.Errorf("a message of %d bytes is announced; at most %d are taken", n, most)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return err
	}
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(v); err != nil {
		return fmt.Errorf("read %T: %w", v, err)
	}
	return nil
}

// keepAlive notices within seconds that the other host is gone.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3}

// dialer connects to other nodes.
var dialer = net.Dialer{
	Timeout:         dialTimeout,
	KeepAliveConfig: keepAlive,
	Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { giveUpAfter(int(fd), deadAfter) })
	},
}

// giveUpAfter ends a connection whose data is not acknowledged for so long. A
// kernel that refuses keeps its own, longer patience.
func giveUpAfter(fd int, d time.Duration) {
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
}

// watchOver makes an accepted connection notice that the other host is gone.
func watchOver(c net.Conn) {
	for {
		inner, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		c = inner.NetConn()
	}
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	_ = tcp.SetKeepAliveConfig(keepAlive) // best effort, as above
	if raw, err := tcp.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { giveUpAfter(int(fd), deadAfter) })
	}
}

// buffered is a connection of which some was read ahead.
type buffered struct {
	net.Conn
	r *bufio.Reader
}

// Read gives what was read ahead first.
func (c *buffered) Read(b []byte) (int, error) { return c.r.Read(b) }
