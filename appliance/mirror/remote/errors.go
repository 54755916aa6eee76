package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
)

// Kind says why a registry did not give what was asked for.
type Kind uint8

// The kinds.
const (
	Unreachable Kind = iota + 1 // no connection, or it broke
	Untrusted                   // its certificate, or no TLS at all
	ProxyFailed                 // the proxy in between
	NotAllowed                  // this installation does not reach for such addresses
	SignIn                      // 401 or 403, and no credentials were given
	Denied                      // 401 or 403 with credentials
	NotFound                    // 404
	Throttled                   // 429
	Broken                      // 5xx and other statuses
	Nonsense                    // it does not keep to the protocol
)

// Error is one sentence about one registry.
type Error struct {
	Kind     Kind
	Host     string // of the registry, as in image names
	Endpoint string // that was tried last
	Reason   string // a clause: "connection refused"
	Err      error  // the cause, for the log; may be nil
}

// Error gives the sentence.
func (e *Error) Error() string {
	at := ""
	if e.Endpoint != "" && !strings.HasSuffix(e.Endpoint, "//"+e.Host) {
		at = " at " + e.Endpoint
	}
	switch e.Kind {
	case Unreachable, ProxyFailed, NotAllowed:
		return fmt.Sprintf("%s could not be reached%s (%s)", e.Host, at, e.Reason)
	case Untrusted:
		return fmt.Sprintf("%s could not be trusted%s (%s)", e.Host, at, e.Reason)
	case SignIn, Denied, NotFound, Throttled:
		return fmt.Sprintf("%s%s %s", e.Host, at, e.Reason)
	default:
		return fmt.Sprintf("%s%s answered %s", e.Host, at, e.Reason)
	}
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf finds the kind of err; 0 if it is none of a registry.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return 0
}

// Away says that a registry cannot be asked at the moment, whatever it has.
func Away(err error) bool {
	switch KindOf(err) {
	case Unreachable, Untrusted, ProxyFailed, Throttled, Broken:
		return true
	}
	return false
}

// summary makes one error of those of all endpoints: the last one's, and what
// the ones before said in short.
func summary(all []*Error) error {
	last := *all[len(all)-1]
	if len(all) > 1 {
		var before []string
		for _, f := range all[:len(all)-1] {
			before = append(before, f.Endpoint+": "+f.Reason)
		}
		last.Reason += "; before that " + strings.Join(before, ", ")
	}
	return &last
}

func (c *Client) nonsense(at, format string, args ...any) *Error {
	return &Error{Kind: Nonsense, Host: c.cfg.Host, Endpoint: at, Reason: fmt.Sprintf(format, args...)}
}

// broken is a connection that ended in the middle.
func (c *Client) broken(at string, err error) *Error {
	kind, why := reason(err)
	return &Error{Kind: kind, Host: c.cfg.Host, Endpoint: at, Reason: "the connection broke off: " + why, Err: err}
}

// unreachable is a request without an answer.
func (c *Client) unreachable(at string, err error) *Error {
	kind, why := reason(err)
	e := &Error{Kind: kind, Host: c.cfg.Host, Endpoint: at, Reason: why, Err: err}
	if u, perr := url.Parse(at); perr == nil {
		if proxy := c.via(u); proxy != "" && kind != NotAllowed {
			e.Reason += ", through the proxy " + proxy
		}
	}
	return e
}

// reason puts an error of the network into a clause.
func reason(err error) (Kind, string) {
	var (
		proxy     *proxyAnswer
		op        *net.OpError
		dns       *net.DNSError
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
		alert     tls.AlertError
	)
	switch {
	case errors.Is(err, errNotPublic):
		return NotAllowed, errNotPublic.Error() + "; only a platform administrator reaches it, or makes an upstream of it with `skerry upstream create`"
	case errors.As(err, &proxy):
		return ProxyFailed, proxy.Error()
	case errors.As(err, &op) && (op.Op == "proxyconnect" || strings.HasPrefix(op.Op, "socks")):
		_, why := reason(op.Err)
		return ProxyFailed, "the proxy does not let through: " + why
	case errors.As(err, &authority):
		return Untrusted, "its certificate is signed by an authority that is not known here; give the authority's certificate with `skerry upstream set --ca`"
	case errors.As(err, &name):
		return Untrusted, "its certificate is for another name than " + name.Host
	case errors.As(err, &invalid):
		if invalid.Reason == x509.Expired {
			return Untrusted, "its certificate has expired, or the clock of this node is wrong"
		}
		return Untrusted, "its certificate is not valid for this"
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return Untrusted, "it speaks no TLS; if that is meant, write the endpoint as http://"
	case errors.As(err, &alert):
		return Untrusted, "it refused the TLS handshake: " + alert.Error()
	case errors.As(err, &dns):
		if dns.IsTimeout || dns.IsTemporary {
			return Unreachable, "the name server does not answer for " + dns.Name
		}
		return Unreachable, "no address is known for " + dns.Name
	}
	return Unreachable, connection(err)
}

// connection puts an error of a connection into words.
func connection(err error) string {
	var op *net.OpError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.EADDRNOTAVAIL):
		return "there is no route to it"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "connection reset"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return "it does not answer in time"
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return "it ended too early"
	case errors.As(err, &op):
		return op.Err.Error()
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err.Error()
	}
	return err.Error()
}

func isTimeout(err error) bool {
	t, ok := errors.AsType[net.Error](err)
	return ok && t.Timeout()
}

// denied is a 401 that the credentials, or their absence, explain.
func (c *Client) denied(e *endpoint, repository string) *Error {
	out := &Error{Kind: Denied, Host: c.cfg.Host, Endpoint: e.text, Reason: "does not accept the user name and password"}
	if e.auth.username == "" {
		out.Kind, out.Reason = SignIn, "wants a user name and password, or has no such image"
	}
	if repository != "" && out.Kind == Denied {
		out.Reason = "does not let " + e.auth.username + " read " + repository
	}
	return out
}

// refused puts an answer that is none into words.
func (c *Client) refused(e *endpoint, resp *http.Response, repository string) *Error {
	out := &Error{Host: c.cfg.Host, Endpoint: e.text}
	switch s := resp.StatusCode; {
	case s == http.StatusUnauthorized, s == http.StatusForbidden:
		if s == http.StatusUnauthorized {
			repository = ""
		}
		return c.denied(e, repository)
	case s == http.StatusNotFound && repository == "":
		out.Kind, out.Reason = Nonsense, "404 at /v2/: it is no registry"
	case s == http.StatusNotFound:
		out.Kind, out.Reason = NotFound, "has no such image"
	case s == http.StatusTooManyRequests:
		out.Kind, out.Reason = Throttled, "lets nobody from this address fetch more for now"
		if after := resp.Header.Get("Retry-After"); after != "" {
			out.Reason += "; it asks to wait " + clip(after) + " s"
		}
		if c.cfg.Host == DockerHub && e.auth.username == "" {
			out.Reason += "; an account raises the limit (skerry upstream create docker.io --user NAME --password-file FILE)"
		}
	default:
		out.Kind, out.Reason = Broken, fmt.Sprintf("%d %s", s, http.StatusText(s))
	}
	return out
}
