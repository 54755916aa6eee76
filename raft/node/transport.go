package node

import (
	"net"
	"time"

	"github.com/hashicorp/raft"
)

// newTransport gives the transport of a node that is alone, or one over the
// stream layer. Either way a node's address is its id.
func newTransport(cfg Config) (raft.Transport, func() error) {
	if cfg.Stream == nil {
		_, t := raft.NewInmemTransport(raft.ServerAddress(cfg.ID))
		return t, t.Close
	}
	t := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: stream{cfg.Stream}, MaxPool: 4, Timeout: 10 * time.Second, Logger: newLogger(cfg.Log.With("component", "raft")),
		ServerAddressProvider: byID{},
	})
	return named{t, raft.ServerAddress(cfg.ID)}, t.Close
}

// stream fits a StreamLayer to raft.
type stream struct{ StreamLayer }

// Dial connects to the node whose id is the address.
func (s stream) Dial(a raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return s.StreamLayer.Dial(string(a), timeout)
}

// byID makes raft dial ids.
type byID struct{}

// ServerAddr is the id itself.
func (byID) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	return raft.ServerAddress(id), nil
}

// named is a transport whose own address is the node's id.
type named struct {
	*raft.NetworkTransport
	addr raft.ServerAddress
}

// LocalAddr is the node's id.
func (t named) LocalAddr() raft.ServerAddress { return t.addr }
