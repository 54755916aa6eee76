package dns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	maxForward          = 256 // questions under way in all
	maxForwardPerClient = 32

	// Where the Internet is missing, questions must fail fast: a program that waits for a name looks hung.
	upstreamTimeout = 1500 * time.Millisecond
	upstreamTries   = 2
	upstreamRest    = 5 * time.Second // how long one that does not answer is left alone
)

var (
	errNobody = errors.New("no resolver can be asked")
	errBusy   = errors.New("too many questions under way")
)

// forwarder asks the host's resolvers.
type forwarder struct {
	hosts *hostResolvers
	cache *cache

	mu     sync.Mutex
	total  int                 // guarded by mu
	client map[netip.Addr]int  // guarded by mu
	shared map[cacheKey]*asked // guarded by mu
}

// asked is one question under way, for everybody who asks it.
type asked struct {
	done  chan struct{}
	reply *dns.Msg // set before done closes
	err   error
}

func newForwarder(resolvConf string, self netip.Addr) *forwarder {
	return &forwarder{hosts: newHostResolvers(resolvConf, self), cache: newCache(),
		client: map[netip.Addr]int{}, shared: map[cacheKey]*asked{}}
}

// ask returns the reply to r, from memory or from a resolver of the host. The reply is the caller's.
func (f *forwarder) ask(ctx context.Context, who netip.Addr, stream bool, r *dns.Msg) (*dns.Msg, error) {
	key := keyOf(r, stream)
	if found := f.cache.get(key, time.Now()); found != nil {
		return addressed(found, r), nil
	}
	if err := f.enter(who); err != nil {
		return nil, err
	}
	defer f.leave(who)

	f.mu.Lock()
	a, underway := f.shared[key]
	if !underway {
		a = &asked{done: make(chan struct{})}
		f.shared[key] = a
	}
	f.mu.Unlock()
	if underway {
		<-a.done // bounded: whoever asks gives up after upstreamTries
	} else {
		a.reply, a.err = f.exchange(ctx, key)
		if a.err == nil {
			f.cache.put(key, a.reply, time.Now())
		}
		f.mu.Lock()
		delete(f.shared, key)
		f.mu.Unlock()
		close(a.done)
	}
	if a.err != nil {
		return nil, a.err
	}
	return addressed(a.reply, r), nil
}

func (f *forwarder) enter(who netip.Addr) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.total >= maxForward || f.client[who] >= maxForwardPerClient {
		return errBusy
	}
	f.total++
	f.client[who]++
	return nil
}

func (f *forwarder) leave(who netip.Addr) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.total--
	if f.client[who]--; f.client[who] == 0 {
		delete(f.client, who)
	}
}

// exchange asks one resolver after another. The question is made anew: nothing of the client's message but the
// question itself and its flags leaves the host.
func (f *forwarder) exchange(ctx context.Context, key cacheKey) (*dns.Msg, error) {
	var failed error
	for range upstreamTries {
		up, ok := f.hosts.pick(time.Now())
		if !ok {
			break
		}
		q := new(dns.Msg)
		q.SetQuestion(key.name, key.qtype)
		q.CheckingDisabled = key.cd
		if key.edns {
			q.SetEdns0(maxUDP, key.do)
		}
		network := "udp"
		if key.stream {
			network = "tcp"
		}
		bounded, cancel := context.WithTimeout(ctx, upstreamTimeout)
		reply, _, err := (&dns.Client{Net: network, Timeout: upstreamTimeout, UDPSize: 4096}).ExchangeContext(bounded, q, up.String())
		cancel()
		if err == nil && (len(reply.Question) != 1 || !reply.Response || reply.Id != q.Id ||
			dns.CanonicalName(reply.Question[0].Name) != key.name || reply.Question[0].Qtype != key.qtype) {
			err = errors.New("the reply is to another question")
		}
		f.hosts.report(up, err, time.Now())
		if err == nil {
			return reply, nil
		}
		failed = fmt.Errorf("ask %s: %w", up, err)
		if ctx.Err() != nil {
			break
		}
	}
	if failed == nil {
		return nil, errNobody
	}
	return nil, fmt.Errorf("%w: %w", errNobody, failed)
}

// addressed makes a copy of a shared reply into the reply to r.
func addressed(shared, r *dns.Msg) *dns.Msg {
	out := shared.Copy()
	out.Id = r.Id
	out.Question = r.Question // in the client's own spelling
	out.RecursionDesired, out.RecursionAvailable = r.RecursionDesired, true
	out.Authoritative = false
	return out
}

type cacheKey struct {
	name         string // canonical
	qtype        uint16
	edns, do, cd bool
	stream       bool // a cut reply by UDP is no answer by TCP
}

func keyOf(r *dns.Msg, stream bool) cacheKey {
	opt := r.IsEdns0()
	return cacheKey{name: dns.CanonicalName(r.Question[0].Name), qtype: r.Question[0].Qtype,
		edns: opt != nil, do: opt != nil && opt.Do(), cd: r.CheckingDisabled, stream: stream}
}

const (
	maxCached     = 1024
	maxCachedSize = 4096 // bytes of one reply
	maxKept       = 5 * time.Minute
	maxKeptNone   = 10 * time.Second // that a name does not exist
)

// cache remembers replies, a bounded number, for as long as they say.
type cache struct {
	mu      sync.Mutex
	entries map[cacheKey]cached // guarded by mu
}

type cached struct {
	reply      *dns.Msg // never changed
	since, end time.Time
}

func newCache() *cache { return &cache{entries: map[cacheKey]cached{}} }

// get returns a copy with its times reduced by its age, or nil.
func (c *cache) get(key cacheKey, now time.Time) *dns.Msg {
	c.mu.Lock()
	found, ok := c.entries[key]
	if ok && !now.Before(found.end) {
		delete(c.entries, key)
		ok = false
	}
	c.mu.Unlock()
	if !ok {
		return nil
	}
	out := found.reply.Copy()
	age := uint32(now.Sub(found.since) / time.Second)
	for _, section := range [][]dns.RR{out.Answer, out.Ns, out.Extra} {
		for _, rr := range section {
			if h := rr.Header(); h.Rrtype != dns.TypeOPT {
				h.Ttl -= min(h.Ttl, age)
			}
		}
	}
	return out
}

func (c *cache) put(key cacheKey, reply *dns.Msg, now time.Time) {
	keep := lifetime(reply)
	if keep <= 0 || reply.Truncated || reply.Len() > maxCachedSize {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for old := range c.entries {
		if len(c.entries) < maxCached {
			break
		}
		delete(c.entries, old) // any will do: the map hands them out in random order
	}
	c.entries[key] = cached{reply: reply.Copy(), since: now, end: now.Add(keep)}
}

// lifetime is how long a reply may be kept: as long as its shortest record. Failures are not kept.
func lifetime(m *dns.Msg) time.Duration {
	limit := maxKept
	switch {
	case m.Rcode == dns.RcodeNameError || (m.Rcode == dns.RcodeSuccess && len(m.Answer) == 0):
		limit = maxKeptNone
	case m.Rcode != dns.RcodeSuccess:
		return 0
	}
	for _, section := range [][]dns.RR{m.Answer, m.Ns} {
		for _, rr := range section {
			limit = min(limit, time.Duration(rr.Header().Ttl)*time.Second)
		}
	}
	return limit
}
