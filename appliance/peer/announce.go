package peer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/skerryhq/skerry/raft/model"
)

const (
	addressEvery  = 2 * time.Second  // how often the own address is looked at
	exchangeEvery = 30 * time.Second // how often the whole book is fetched from some member
	tellTimeout   = 5 * time.Second
	tellAgain     = 8 * time.Second // at most, between attempts to tell a node
	tellAtOnce    = 16              // nodes
	askAtOnce     = 5               // nodes
	maxBook       = 16 << 20        // bytes
	maxAnnounce   = 64 << 10        // bytes
)

// acknowledged is the answer to an announcement: the newest one of that node
// that is known there.
type acknowledged struct {
	Seq uint64 `json:"seq"`
}

// telling is how far one other node has been told of this node's address.
type telling struct {
	seq   uint64 // that it acknowledged
	busy  bool
	wait  time.Duration
	again time.Time
}

// announcer tells the other nodes where this one is.
type announcer struct {
	s     *Server
	work  sync.WaitGroup
	slots chan struct{}
	own   Announcement // Seq 0: none yet; of step's goroutine

	mu    sync.Mutex
	told  map[string]*telling // by node; guarded by mu
	floor uint64              // the highest sequence number of ours that others know; guarded by mu
}

// announceLoop tells all other nodes where this node is, at the start and
// whenever that changes, each until it has acknowledged.
func (s *Server) announceLoop(ctx context.Context) {
	a := &announcer{s: s, told: map[string]*telling{}, slots: make(chan struct{}, tellAtOnce)}
	defer a.work.Wait()
	a.work.Go(func() { s.relayLoop(ctx) })
	exchange := time.Now().Add(time.Duration(rand.Int64N(int64(exchangeEvery))))
	for {
		a.step(ctx)
		if time.Now().After(exchange) {
			exchange = time.Now().Add(exchangeEvery)
			a.work.Go(func() { s.exchange(ctx) })
		}
		if !pause(ctx, addressEvery) {
			return
		}
	}
}

// step looks at the address and tells whoever has not acknowledged it. It waits
// for nobody.
func (a *announcer) step(ctx context.Context) {
	s := a.s
	s.peers.uprooted()
	s.expel()
	if id, _ := s.cfg.Directory.Cluster(); id == "" {
		return
	}
	if a.own.Seq == 0 {
		a.own, _ = s.book.entry(s.cfg.NodeID)
	}
	a.mu.Lock()
	floor := a.floor
	a.mu.Unlock()
	address := s.cfg.Advertise()
	switch {
	case address == "":
		return
	case a.own.Address != address:
		s.log.Info("this node's address is told to the others", "address", address, "before", a.own.Address)
	case floor > a.own.Seq: // the file was lost: others know later announcements of this node
	case !bytes.Equal(a.own.Chain, chainOf(s.cfg.Certs.Node())):
	default:
		a.tell(ctx)
		return
	}
	own, err := s.book.announce(address, floor, time.Now())
	if err != nil {
		s.log.Warn("the address book was not written", "err", err)
	}
	a.own = own
	a.mu.Lock()
	for _, t := range a.told {
		t.wait, t.again = 0, time.Time{}
	}
	a.mu.Unlock()
	a.tell(ctx)
}

// tell begins to tell the nodes that have not acknowledged and are due.
func (a *announcer) tell(ctx context.Context) {
	seq := a.own.Seq
	body, err := json.Marshal(a.own)
	if err != nil {
		return
	}
	all := a.s.peers.known()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, n := range all {
		t := a.told[n.ID]
		if t == nil {
			t = &telling{}
			a.told[n.ID] = t
		}
		if t.busy || t.seq >= seq || time.Now().Before(t.again) {
			continue
		}
		t.busy = true
		a.work.Go(func() {
			a.slots <- struct{}{}
			known, err := a.s.peers.announceTo(ctx, n.ID, body)
			<-a.slots
			a.mu.Lock()
			defer a.mu.Unlock()
			t.busy = false
			if err != nil {
				t.wait = min(max(2*t.wait, addressEvery), tellAgain)
				t.again = time.Now().Add(t.wait)
				a.s.log.Debug("a node was not told this node's address, trying again", "node", n.ID, "err", err)
				return
			}
			t.seq = known
			if n.Role == model.NodeMember { // a worker could make the number run over
				a.floor = max(a.floor, known)
			}
		})
	}
}

// announceTo sends one announcement to one node.
func (p *Peers) announceTo(ctx context.Context, nodeID string, body []byte) (seq uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://peer/peer/v1/announce", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	var ack acknowledged
	if err := p.do(nodeID, req, &ack, 4<<10); err != nil {
		return 0, err
	}
	return ack.Seq, nil
}

// do sends a request to a node and reads its JSON answer.
func (p *Peers) do(nodeID string, req *http.Request, into any, most int64) error {
	resp, err := p.Client(nodeID).Do(req)
	if err != nil {
		return err
	}
	if err := ReadError(resp); err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, most)).Decode(into); err != nil {
		return fmt.Errorf("read the answer of node %s: %w", nodeID, err)
	}
	return nil
}

// takeAnnouncement serves POST /peer/v1/announce.
func (s *Server) takeAnnouncement(w http.ResponseWriter, r *http.Request) {
	var a Announcement
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxAnnounce)).Decode(&a); err != nil {
		WriteError(w, model.Errorf(model.KindInvalid, "announcement_invalid", "this is no announcement: %v", err))
		return
	}
	if _, _, err := s.cfg.Directory.Node(a.NodeID); err != nil {
		WriteError(w, err)
		return
	}
	if e := s.moves.blocked(a.NodeID, time.Now()); e != nil && a.Seq > s.book.seq(a.NodeID) {
		WriteError(w, model.Errorf(model.KindThrottled, "announced_too_often", "node %s announced its address too often; wait a few seconds", clip(a.NodeID)))
		return
	}
	news, err := s.book.merge([]Announcement{a}, time.Now())
	if len(news) > 0 {
		s.moves.wrong(a.NodeID, time.Now())
	}
	if err != nil {
		caller, _ := CallerOf(r.Context())
		s.log.Warn("an announcement was not taken", "remote", caller.Remote, "node", caller.NodeID, "err", err)
		WriteError(w, err)
		return
	}
	s.learned(news)
	writeJSON(w, acknowledged{Seq: s.book.seq(a.NodeID)})
}

// learned acts on announcements that are new here.
func (s *Server) learned(news []Announcement) {
	for _, a := range news {
		s.log.Debug("a node told its address", "node", a.NodeID, "address", a.Address)
		s.peers.moved(a.NodeID, a.Address)
		select {
		case s.relay <- a:
		default: // so much news at once: the exchange of books carries it
		}
	}
}

// relayLoop passes news on to the other members, once. News of news ends there,
// because nobody takes an announcement twice.
func (s *Server) relayLoop(ctx context.Context) {
	for {
		var a Announcement
		select {
		case a = <-s.relay:
		case <-ctx.Done():
			return
		}
		body, err := json.Marshal(a)
		if err != nil || s.cfg.Certs.Role() != model.NodeMember {
			continue
		}
		var work sync.WaitGroup
		slots := make(chan struct{}, tellAtOnce)
		for _, n := range s.peers.Members() {
			if n.ID == a.NodeID {
				continue
			}
			slots <- struct{}{}
			work.Go(func() {
				defer func() { <-slots }()
				if _, err := s.peers.announceTo(withoutInquiry(ctx), n.ID, body); err != nil {
					s.log.Debug("an announcement was not passed on", "node", n.ID, "about", a.NodeID, "err", err)
				}
			})
		}
		work.Wait()
	}
}

// giveAddresses serves GET /peer/v1/addresses: what is known of nodes, to a
// worker only of members and of its own environment. A page that the asker has
// already is not sent again.
func (s *Server) giveAddresses(w http.ResponseWriter, r *http.Request) {
	caller, _ := CallerOf(r.Context())
	body, err := json.Marshal(s.pageFor(caller.NodeID, caller.Role))
	if err != nil {
		WriteError(w, err)
		return
	}
	sum := sha256.Sum256(body)
	tag := `"` + hex.EncodeToString(sum[:16]) + `"`
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("ETag", tag)
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body) // whoever asked is gone
}

// pageFor is the part of the book that a node may have.
func (s *Server) pageFor(nodeID string, role model.NodeRole) BookPage {
	page := BookPage{Announcements: s.book.page().Announcements, Nodes: s.cfg.Directory.Nodes()}
	if role == model.NodeMember {
		return page
	}
	self, _, _ := s.cfg.Directory.Node(nodeID)
	may := map[string]bool{}
	page.Nodes = slices.DeleteFunc(page.Nodes, func(n Node) bool {
		may[n.ID] = n.Role == model.NodeMember || n.Environment == self.Environment
		return !may[n.ID]
	})
	page.Announcements = slices.DeleteFunc(page.Announcements, func(a Announcement) bool { return !may[a.NodeID] })
	return page
}

func writeJSON(w http.ResponseWriter, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		WriteError(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body) // whoever asked is gone
}

// exchange fetches the book of some member, and drops nodes that were removed.
func (s *Server) exchange(ctx context.Context) {
	if err := s.book.forget(func(id string) bool { _, _, err := s.cfg.Directory.Node(id); return err != nil }); err != nil {
		s.log.Warn("the address book was not written", "err", err)
	}
	if all := s.peers.Members(); len(all) > 0 {
		s.peers.fetchBook(ctx, all[rand.IntN(len(all))].ID)
	}
}

// fetchBook takes over what a node knows of addresses.
func (p *Peers) fetchBook(ctx context.Context, from string) {
	ctx, cancel := context.WithTimeout(withoutInquiry(ctx), tellTimeout)
	defer cancel()
	page, err := p.askBook(ctx, from)
	if err != nil {
		p.s.log.Debug("the address book of a node was not fetched", "node", from, "err", err)
		return
	}
	news, err := p.s.book.merge(page.Announcements, time.Now())
	if err != nil {
		p.s.log.Debug("some of the addresses that a node gave were not taken", "node", from, "err", err)
	}
	if p.s.cfg.Certs.Role() == model.NodeWorker && len(page.Nodes) > 0 { // a member has its state
		if err := p.s.book.adopt(page.Nodes); err != nil {
			p.s.log.Warn("the address book was not written", "err", err)
		}
	}
	p.s.learned(news)
}

// askBook fetches the book of a node; an empty page when it is the one of the
// last time.
func (p *Peers) askBook(ctx context.Context, from string) (BookPage, error) {
	var page BookPage
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://peer/peer/v1/addresses", nil)
	if err != nil {
		return page, err
	}
	p.mu.Lock()
	tag := p.tags[from]
	p.mu.Unlock()
	if tag != "" {
		req.Header.Set("If-None-Match", tag)
	}
	resp, err := p.Client(from).Do(req)
	if err != nil {
		return page, err
	}
	if err := ReadError(resp); err != nil {
		return page, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotModified {
		return page, nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxBook)).Decode(&page); err != nil {
		return page, fmt.Errorf("read the address book of node %s: %w", from, err)
	}
	p.mu.Lock()
	p.tags[from] = resp.Header.Get("ETag")
	p.mu.Unlock()
	return page, nil
}

type inquiryKey struct{}

// withoutInquiry marks dialing that is part of asking around already.
func withoutInquiry(ctx context.Context) context.Context {
	return context.WithValue(ctx, inquiryKey{}, true)
}

// inquire asks some other members where a node is, in the background, at most
// once a second for each.
func (p *Peers) inquire(ctx context.Context, nodeID string) {
	if ctx.Value(inquiryKey{}) != nil {
		return
	}
	p.mu.Lock()
	recent := time.Since(p.asked[nodeID]) < time.Second
	if !recent {
		p.asked[nodeID] = time.Now()
	}
	p.mu.Unlock()
	if recent {
		return
	}
	all := p.Members()
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	asked := 0
	for _, n := range all {
		if n.ID == nodeID {
			continue
		}
		if asked++; asked > askAtOnce {
			return
		}
		p.s.background(func() { p.fetchBook(context.WithoutCancel(ctx), n.ID) })
	}
}
