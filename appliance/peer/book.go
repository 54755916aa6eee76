package peer

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/skerryhq/skerry/appliance/pki"
	"github.com/skerryhq/skerry/raft/model"
)

const bookFile = "peers.json"

// maxSeq bounds the numbers of announcements, so that there is always a next one:
// they begin at the milliseconds of the clock.
const maxSeq = 1 << 62

// Announcement is a node's word about where it is, signed with its key. It
// carries the node's certificate, so that everybody can check it who trusts the
// cluster's authority, without a quorum and without the state.
type Announcement struct {
	NodeID    string    `json:"nodeId"`
	Address   string    `json:"address"` // host:port
	Seq       uint64    `json:"seq"`     // rises with each announcement of the node
	Time      time.Time `json:"time"`    // for people
	Chain     []byte    `json:"chain"`   // the node's certificate, PEM
	Signature []byte    `json:"signature"`
}

// digest is what is signed. Lengths stand before the texts, so that nothing can
// be moved from one to the other.
func (a *Announcement) digest() []byte {
	h := sha256.New()
	for _, part := range []string{"skerry address", a.NodeID, a.Address} {
		_, _ = h.Write(binary.AppendUvarint(nil, uint64(len(part)))) // a hash takes everything
		_, _ = h.Write([]byte(part))
	}
	_, _ = h.Write(binary.AppendUvarint(nil, a.Seq))
	_, _ = h.Write(binary.AppendVarint(nil, a.Time.UnixNano()))
	return h.Sum(nil)
}

// BookPage is the part of an address book that crosses the wire and lies on the
// disk.
type BookPage struct {
	Announcements []Announcement `json:"announcements,omitempty"`
	Nodes         []Node         `json:"nodes,omitempty"` // what the state said when this node joined
}

// book keeps where nodes are.
type book struct {
	path  string // empty keeps nothing
	self  string
	certs *pki.Certificates
	log   *slog.Logger

	writing sync.Mutex
	closed  bool // guarded by writing

	mu      sync.Mutex
	entries map[string]Announcement   // by node; guarded by mu
	roles   map[string]model.NodeRole // as the certificates say; guarded by mu
	hints   map[string]Node           // guarded by mu
}

// openBook reads the book. A damaged one is put aside: it is only where to look.
func openBook(dir, self string, certs *pki.Certificates, log *slog.Logger) (*book, error) {
	b := &book{self: self, certs: certs, log: log, entries: map[string]Announcement{}, roles: map[string]model.NodeRole{}, hints: map[string]Node{}}
	if dir == "" {
		return b, nil
	}
	b.path = filepath.Join(dir, bookFile)
	text, err := os.ReadFile(b.path)
	if errors.Is(err, fs.ErrNotExist) {
		return b, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the address book: %w", err)
	}
	var page BookPage
	if err := json.Unmarshal(text, &page); err != nil {
		log.Warn("the address book is damaged and begun anew", "file", b.path, "err", err)
		return b, nil
	}
	for _, n := range page.Nodes {
		b.hints[n.ID] = n
	}
	for _, a := range page.Announcements { // its own file needs no proof; certificates in it may have ended
		b.entries[a.NodeID] = a
		if leaf, err := leafOf(a.Chain); err == nil && len(leaf.Subject.OrganizationalUnit) == 1 {
			b.roles[a.NodeID] = model.NodeRole(leaf.Subject.OrganizationalUnit[0])
		}
	}
	return b, nil
}

// WriteBook writes the address book that a joining node was given into its data
// directory.
func WriteBook(dir string, page BookPage) error {
	body, err := json.Marshal(page)
	if err != nil {
		return fmt.Errorf("write the address book: %w", err)
	}
	return pki.WriteFile(filepath.Join(dir, bookFile), body)
}

func leafOf(chain []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(chain)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("there is no certificate")
	}
	return x509.ParseCertificate(block.Bytes)
}

func chainOf(c *tls.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})
}

// announce makes the node's next announcement and keeps it. floor is a sequence
// number that it must be above.
func (b *book) announce(address string, floor uint64, now time.Time) (Announcement, error) {
	b.mu.Lock()
	last := b.entries[b.self].Seq
	b.mu.Unlock()
	// Milliseconds rise even when the file was lost.
	a := Announcement{NodeID: b.self, Address: address, Seq: max(last, min(floor, maxSeq-1), uint64(now.UnixMilli())) + 1, Time: now.UTC(), Chain: chainOf(b.certs.Node())}
	var err error
	if a.Signature, err = b.certs.Key().Sign(a.digest()); err != nil {
		return a, fmt.Errorf("sign the announcement: %w", err)
	}
	b.mu.Lock()
	b.entries[b.self], b.roles[b.self] = a, b.certs.Role()
	b.mu.Unlock()
	return a, b.save()
}

// check proves an announcement and gives the role that its certificate says.
func (b *book) check(a Announcement, now time.Time) (model.NodeRole, error) {
	refuse := func(format string, args ...any) error {
		return model.Errorf(model.KindDenied, "announcement_invalid", "the announcement of node %s is not taken: "+format, append([]any{clip(a.NodeID)}, args...)...)
	}
	host, port, err := net.SplitHostPort(a.Address)
	if n, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil || n == 0 || host == "" || len(a.Address) > 300 {
		return "", refuse("%s is no address", clip(a.Address))
	}
	if a.Seq > maxSeq {
		return "", refuse("no announcement has a number as high as %d", a.Seq)
	}
	if len(a.Chain) > 16<<10 {
		return "", refuse("its certificate is too long")
	}
	leaf, err := leafOf(a.Chain)
	if err != nil {
		return "", refuse("its certificate cannot be read")
	}
	p, err := b.certs.Verify([]*x509.Certificate{leaf}, now)
	if err != nil {
		return "", err
	}
	key, ok := leaf.PublicKey.(*ecdsa.PublicKey)
	if p.ID != a.NodeID || !ok || !ecdsa.VerifyASN1(key, a.digest(), a.Signature) {
		return "", refuse("it is not signed with the key of that node")
	}
	return p.Role, nil
}

// merge takes announcements that are newer than what is known, and gives those.
// The first that cannot be proved is the error; the others are taken.
func (b *book) merge(all []Announcement, now time.Time) (news []Announcement, err error) {
	for _, a := range all {
		b.mu.Lock()
		old, known := b.entries[a.NodeID]
		b.mu.Unlock()
		if known && a.Seq <= old.Seq || a.NodeID == b.self {
			continue
		}
		role, cerr := b.check(a, now)
		if cerr != nil {
			err = errors.Join(err, cerr)
			continue
		}
		b.mu.Lock()
		if a.Seq > b.entries[a.NodeID].Seq {
			b.entries[a.NodeID], b.roles[a.NodeID] = a, role
			news = append(news, a)
		}
		b.mu.Unlock()
	}
	if len(news) == 0 {
		return nil, err
	}
	return news, errors.Join(err, b.save())
}

// seq is the newest announcement of a node that is known.
func (b *book) seq(nodeID string) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.entries[nodeID].Seq
}

// entry is the newest announcement of a node.
func (b *book) entry(nodeID string) (Announcement, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a, ok := b.entries[nodeID]
	return a, ok
}

// adopt replaces what the state of a member says of nodes, and drops the others.
func (b *book) adopt(all []Node) error {
	b.mu.Lock()
	old := b.hints
	b.hints = make(map[string]Node, len(all))
	for _, n := range all {
		b.hints[n.ID] = n
	}
	changed := !reflect.DeepEqual(old, b.hints)
	maps.DeleteFunc(b.entries, func(id string, _ Announcement) bool {
		_, there := b.hints[id]
		gone := !there && id != b.self
		changed = changed || gone
		return gone
	})
	b.mu.Unlock()
	if !changed {
		return nil
	}
	return b.save()
}

// addresses lists what the book knows of a node, the newest first.
func (b *book) addresses(nodeID string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []string
	if a, ok := b.entries[nodeID]; ok {
		out = append(out, a.Address)
	}
	if h, ok := b.hints[nodeID]; ok && h.Address != "" {
		out = append(out, h.Address)
	}
	return out
}

// nodes lists the nodes that the book knows.
func (b *book) nodes() []Node {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := maps.Clone(b.hints)
	for id := range b.entries {
		n := all[id]
		n.ID = id
		if r := b.roles[id]; r != "" {
			n.Role = r
		}
		all[id] = n
	}
	return slices.SortedFunc(maps.Values(all), func(a, b Node) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
}

// page is the whole book.
func (b *book) page() BookPage {
	b.mu.Lock()
	defer b.mu.Unlock()
	var p BookPage
	for _, id := range slices.Sorted(maps.Keys(b.entries)) {
		p.Announcements = append(p.Announcements, b.entries[id])
	}
	for _, id := range slices.Sorted(maps.Keys(b.hints)) {
		p.Nodes = append(p.Nodes, b.hints[id])
	}
	return p
}

// forget drops nodes that were removed.
func (b *book) forget(removed func(nodeID string) bool) error {
	b.mu.Lock()
	n := len(b.entries) + len(b.hints)
	maps.DeleteFunc(b.entries, func(id string, _ Announcement) bool { return removed(id) })
	maps.DeleteFunc(b.hints, func(id string, _ Node) bool { return removed(id) })
	changed := len(b.entries)+len(b.hints) != n
	b.mu.Unlock()
	if !changed {
		return nil
	}
	return b.save()
}

// close ends the writing.
func (b *book) close() {
	b.writing.Lock()
	defer b.writing.Unlock()
	b.closed = true
}

// save writes the book so that it is there whole or not at all.
func (b *book) save() error {
	if b.path == "" {
		return nil
	}
	b.writing.Lock() // the last one to write is the last one to have read
	defer b.writing.Unlock()
	if b.closed {
		return nil
	}
	body, err := json.Marshal(b.page())
	if err != nil {
		return fmt.Errorf("write the address book: %w", err)
	}
	return pki.WriteFile(b.path, body)
}
