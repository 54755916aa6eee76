package peer

import (
	"context"
	"fmt"
	"net"
	"time"
)

// stream carries raft: node.StreamLayer.
type stream struct {
	s        *Server
	incoming *handed
}

// Accept gives the next connection of another member.
func (l *stream) Accept() (net.Conn, error) { return l.incoming.Accept() }

// Close ends Accept.
func (l *stream) Close() error { return l.incoming.Close() }

// Addr is the node's id.
func (l *stream) Addr() net.Addr { return l.incoming.Addr() }

// Dial connects to a member by its id, wherever it is now.
func (l *stream) Dial(nodeID string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), min(timeout, dialTimeout)) // raft has none
	defer cancel()
	c, err := l.s.peers.dial(ctx, nodeID, protoRaft)
	if err != nil {
		return nil, fmt.Errorf("reach node %s: %w", nodeID, err)
	}
	return c, nil
}
