package api

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// redirecting is a listener for TLS that answers plain HTTP with a redirect to
// HTTPS. The first byte tells them apart; it is looked at when the TLS server
// first reads, so a silent client holds nobody up.
type redirecting struct{ net.Listener }

// Accept gives the next connection.
func (l redirecting) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &sniffed{Conn: c}, nil
}

const (
	tlsHandshake    = 0x16 // first byte of a ClientHello
	maxPlainRequest = 8 << 10
	plainTimeout    = 5 * time.Second
)

// sniffed is a connection whose first byte has yet to be seen. Only the TLS
// server reads it, from one goroutine.
type sniffed struct {
	net.Conn
	seen bool
}

// Read looks at the first byte, once.
func (c *sniffed) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n == 0 || c.seen {
		return n, err
	}
	c.seen = true
	if b[0] == tlsHandshake || !looksLikeHTTP(b[:n]) {
		return n, err
	}
	c.redirect(io.MultiReader(bytes.NewReader(bytes.Clone(b[:n])), c.Conn))
	_ = c.Conn.Close()
	return 0, io.EOF
}

func looksLikeHTTP(b []byte) bool { return b[0] >= 'A' && b[0] <= 'Z' }

func (c *sniffed) redirect(from io.Reader) {
	_ = c.SetDeadline(time.Now().Add(plainTimeout))
	req, err := http.ReadRequest(bufio.NewReader(io.LimitReader(from, maxPlainRequest)))
	if err != nil {
		return
	}
	host := req.Host
	if host == "" {
		host = c.LocalAddr().String()
	}
	const text = "this port speaks HTTPS\n"
	_, _ = fmt.Fprintf(c.Conn, "HTTP/1.1 308 Permanent Redirect\r\nLocation: https://%s%s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		host, req.URL.RequestURI(), len(text), text)
}
