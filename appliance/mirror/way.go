package mirror

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/appliance/mirror/remote"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// way is how somebody reaches one registry.
type way struct {
	client *remote.Client
	// upstreamID is whose repositories may hold what comes this way; empty: none's.
	upstreamID string
	// right names who may share what comes this way: everybody with the same one
	// would be given the same.
	right string
	// named says that an administrator, or the product, named the host: what came
	// with that right before need not come again.
	named bool
	once  bool // the client is for one use
}

// credentials are those that somebody brings along.
type credentials struct{ username, password string }

// forTenant finds the way of a tenant's pull. Errors are *model.Error.
func (m *Mirror) forTenant(v *state.View, c access.Caller, host string, own credentials) (*way, error) {
	u, ok := v.UpstreamByName(host)
	if !ok {
		return m.unnamed(c, host, own)
	}
	if u.Spec.Disabled {
		return nil, model.Errorf(model.KindDenied, "upstream_disabled", "nothing is fetched from %s: an administrator has switched that upstream off", host)
	}
	if own == (credentials{}) && u.Serves(c.TenantID()) {
		return m.served(u)
	}
	cfg := settings(u)
	cfg.Username, cfg.Password = own.username, own.password
	w := &way{right: u.ID + " anonymous", named: own == (credentials{}), once: own != (credentials{})}
	if w.once {
		w.right = own.right(host)
	}
	var err error
	w.client, err = m.client(u, w, cfg)
	return w, err
}

// served finds the way with an upstream's own credentials.
func (m *Mirror) served(u *model.Upstream) (*way, error) {
	cfg := settings(u)
	cfg.Username = u.Spec.Username
	if len(u.Password) > 0 {
		b, err := m.cfg.Box.Open(sealPurpose, u.Password)
		if err != nil {
			return nil, model.Errorf(model.KindUnavailable, "upstream_sealed", "this node cannot open the password of the upstream %s; set it again with `skerry upstream set`", u.Name)
		}
		cfg.Password = string(b)
	}
	w := &way{upstreamID: u.ID, right: u.ID + " as " + u.Spec.Username, named: true}
	var err error
	w.client, err = m.client(u, w, cfg)
	return w, err
}

// settings are an upstream's but for its credentials.
func settings(u *model.Upstream) remote.Config {
	endpoints := u.Spec.Endpoints
	if len(endpoints) == 0 && loopback(u.Name) { // as without a row: a registry that somebody tries out
		endpoints = []string{"https://" + u.Name, "http://" + u.Name}
	}
	return remote.Config{Host: u.Name, Endpoints: endpoints, CA: u.Spec.CA, Proxy: u.Spec.Proxy, EnvProxy: true}
}

// dockerHub is the way to the upstream that needs no row.
func (m *Mirror) dockerHub() (*way, error) {
	w := &way{upstreamID: model.DefaultUpstream, right: model.DefaultUpstream, named: true}
	var err error
	w.client, err = m.client(&model.Upstream{Meta: model.Meta{ID: model.DefaultUpstream, Name: model.DefaultUpstream}}, w,
		remote.Config{Host: model.DefaultUpstream, EnvProxy: true, PublicOnly: true})
	return w, err
}

// unnamed finds the way to a host that is no upstream.
func (m *Mirror) unnamed(c access.Caller, host string, own credentials) (*way, error) {
	if host == model.DefaultUpstream && own == (credentials{}) {
		return m.dockerHub()
	}
	admin := access.Decide(&c.Principal, access.PermPlatform, "") == access.Allow
	cfg := remote.Config{Host: host, Username: own.username, Password: own.password, PublicOnly: !admin, EnvProxy: admin || host == model.DefaultUpstream}
	if admin && loopback(host) { // a registry that somebody tries out, as other tools reach it
		cfg.Endpoints = []string{"https://" + host, "http://" + host}
	}
	w := &way{right: own.right(host), once: true}
	if admin {
		w.right += " admin"
	}
	client, err := m.dial(cfg)
	if err != nil {
		return nil, model.Errorf(model.KindInvalid, "registry_host_invalid", "%v", err)
	}
	w.client = client
	return w, nil
}

// right is that of credentials at a host.
func (o credentials) right(host string) string {
	if o == (credentials{}) {
		return "anonymous at " + host
	}
	h := sha256.Sum256([]byte(o.username + "\x00" + o.password))
	return "own at " + host + " " + hex.EncodeToString(h[:])
}

// client finds or makes the client of an upstream's way; those for one use are
// not kept.
func (m *Mirror) client(u *model.Upstream, w *way, cfg remote.Config) (*remote.Client, error) {
	if w.once {
		return m.newClient(u, cfg)
	}
	prefix := u.ID + "\x00" + w.right + "\x00"
	key := prefix + fmt.Sprint(u.Version)
	m.mu.Lock()
	defer m.mu.Unlock()
	if c, ok := m.clients[key]; ok {
		return c, nil
	}
	c, err := m.newClient(u, cfg)
	if err != nil {
		return nil, err
	}
	for k, old := range m.clients { // of an earlier version of the row
		if strings.HasPrefix(k, prefix) {
			old.Close()
			delete(m.clients, k)
		}
	}
	m.clients[key] = c
	return c, nil
}

func (m *Mirror) newClient(u *model.Upstream, cfg remote.Config) (*remote.Client, error) {
	c, err := m.dial(cfg)
	if err != nil {
		return nil, model.Errorf(model.KindUnavailable, "upstream_invalid", "the upstream %s cannot be used: %v", u.Name, err)
	}
	return c, nil
}

func (m *Mirror) dial(cfg remote.Config) (*remote.Client, error) {
	cfg.UserAgent = m.cfg.UserAgent
	return remote.New(cfg)
}

// done gives a way for one use back.
func (w *way) done() {
	if w.once {
		w.client.Close()
	}
}

func loopback(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	if name == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(name, "[]"))
	return err == nil && ip.IsLoopback()
}
