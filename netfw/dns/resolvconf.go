package dns

import (
	"errors"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// maxUpstreams is how many nameserver lines the C library takes.
const maxUpstreams = 3

// hostResolvers knows which resolvers the host uses, and which of them answer at the moment.
type hostResolvers struct {
	path string
	self netip.Addr

	mu      sync.Mutex
	looked  time.Time         // when path was last looked at; guarded by mu
	stamp   fileStamp         // of what was read; guarded by mu
	servers []*upstreamServer // guarded by mu
}

type upstreamServer struct {
	address netip.AddrPort
	misses  int       // without an answer in between
	rests   time.Time // it is not asked before
}

type fileStamp struct {
	modified time.Time
	size     int64
	inode    uint64
}

func newHostResolvers(path string, self netip.Addr) *hostResolvers {
	return &hostResolvers{path: path, self: self}
}

// pick returns the first resolver that is worth asking.
func (h *hostResolvers) pick(now time.Time) (netip.AddrPort, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refresh(now)
	for _, s := range h.servers {
		if now.Before(s.rests) {
			continue
		}
		if s.misses > 0 {
			s.rests = now.Add(upstreamRest) // one question finds out whether it is back; the others do not wait for it
		}
		return s.address, true
	}
	return netip.AddrPort{}, false
}

// report remembers how a question to a resolver went.
func (h *hostResolvers) report(address netip.AddrPort, err error, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.servers {
		if s.address != address {
			continue
		}
		if err == nil {
			s.misses, s.rests = 0, time.Time{}
			return
		}
		s.misses++
		// No route, or nobody there: it cannot get better by asking again at once. A lost datagram is forgiven.
		if s.misses > 1 || errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ECONNREFUSED) {
			s.rests = now.Add(upstreamRest)
		} else {
			s.rests = time.Time{}
		}
	}
}

// refresh reads the file again when it changed. The caller holds mu.
func (h *hostResolvers) refresh(now time.Time) {
	if now.Sub(h.looked) < time.Second {
		return
	}
	h.looked = now
	info, err := os.Stat(h.path)
	if err != nil {
		h.servers, h.stamp = nil, fileStamp{}
		return
	}
	stamp := fileStamp{modified: info.ModTime(), size: info.Size()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		stamp.inode = sys.Ino
	}
	if stamp == h.stamp {
		return
	}
	text, err := os.ReadFile(h.path)
	if err != nil {
		return // it is being replaced: look again in a second
	}
	h.stamp, h.servers = stamp, nil
	for _, a := range parseResolvConf(string(text), h.self) {
		h.servers = append(h.servers, &upstreamServer{address: a})
	}
}

// parseResolvConf lists the resolvers, without ourselves: asking us again would go in circles.
func parseResolvConf(text string, self netip.Addr) []netip.AddrPort {
	var out []netip.AddrPort
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "nameserver" {
			continue
		}
		a, err := netip.ParseAddr(words[1])
		if err != nil || a.Unmap() == self || a.IsUnspecified() {
			continue
		}
		if out = append(out, netip.AddrPortFrom(a, 53)); len(out) == maxUpstreams {
			break
		}
	}
	return out
}
