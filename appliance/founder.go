package appliance

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/appliance/ipalloc"
	"github.com/skerryhq/skerry/appliance/operation"
	"github.com/skerryhq/skerry/packaging/welcome"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// founder makes a cluster of this node, once.
type founder struct {
	a      *Appliance
	p      *parts
	images operation.Images
	status func() model.NodeStatus
	seeded func() (io.Reader, error) // opens the image that comes with the product

	mu    sync.Mutex // one Init at a time
	token string     // setup token of the cluster that this process made; guarded by mu
}

func newFounder(a *Appliance, p *parts, images operation.Images) *founder {
	return &founder{
		a: a, p: p, images: images,
		status: func() model.NodeStatus { return a.nodeStatus(p) },
		seeded: welcome.Open,
	}
}

// wait returns nil as soon as the state has a cluster, whoever made it and
// whether or not its Init was answered; or ctx's error.
func (f *founder) wait(ctx context.Context) error {
	there := errors.New("there is a cluster")
	err := state.Watch(ctx, f.p.node.Store(), func(v *state.View) (bool, error) {
		_, ok := v.Cluster()
		return ok, nil
	}, func(_ context.Context, ok bool) error {
		if ok {
			return there
		}
		return nil
	})
	if errors.Is(err, there) {
		return nil
	}
	return err
}

// initPatience bounds what Init does after its point of no return.
const initPatience = 2 * time.Minute

var _ api.Founder = (*founder)(nil)

// Init makes this node the first of a new cluster: settings, certificate
// authority, default tenant and environment, the welcome image, and either the
// administrator or a one-time token that makes one. From the moment on at which
// the node counts as a member of something it is carried through, whether or not
// ctx ends. An Init that was cut short, or whose answer was lost, can be
// repeated until there is an administrator.
func (f *founder) Init(ctx context.Context, in api.InitInput) (*api.InitResult, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	cluster, err := settings(in)
	if err != nil {
		return nil, err
	}
	if in.AdminPassword != "" {
		if err := access.CheckPassword("admin", in.AdminPassword); err != nil {
			return nil, err
		}
	}
	if present, there := f.p.node.View().Cluster(); there {
		return f.repeat(ctx, in, cluster, present)
	}
	if err := clearOfHost(cluster.Pool, "pool"); err != nil {
		return nil, err
	}
	if err := clearOfHost(cluster.VIPPool, "vipPool"); err != nil {
		return nil, err
	}
	if !f.p.node.Bootstrapped() {
		if err := f.p.node.Bootstrap(ctx); err != nil {
			return nil, err
		}
	} else if err := f.p.node.WaitReady(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), initPatience)
	defer cancel()
	if present, there := f.p.node.View().Cluster(); there { // it had not been read from the disk yet
		return f.repeat(ctx, in, cluster, present)
	}
	origin := founding()
	cluster.ID, cluster.FeatureLevel, cluster.Generation = command.NewID(), command.Level, 1
	cluster.CACert = f.p.authority.CertPEM
	if cluster.CAKey, err = f.p.box.Seal("ca-key", f.p.authority.KeyPEM); err != nil {
		return nil, err
	}
	token := setupToken()
	cluster.SetupHash = access.SecretHash(token)
	f.token = token // before it is known whether it counts: a repetition compares

	init := &command.InitCluster{Head: command.By(origin), Cluster: *cluster}
	init.Tenant.ID, init.Tenant.Name = command.NewID(), model.DefaultTenant
	init.Environment.ID, init.Environment.Name = command.NewID(), model.DefaultEnvironment
	block, _ := ipalloc.NextBlock(cluster.Pool, func(netip.Prefix) bool { return false })
	init.Node = model.Node{EnvironmentID: init.Environment.ID, Blocks: []netip.Prefix{block}, Status: f.status(), Role: model.NodeMember, PublicKey: f.p.certs.Key().Public()}
	init.Node.ID, init.Node.Name = f.p.identity.ID, f.a.cfg.Name
	if init.Images, err = f.seed(ctx); err != nil {
		return nil, err
	}
	if _, err := f.p.node.Propose(ctx, init); err != nil {
		return nil, err
	}
	if err := f.a.rememberCluster(f.p); err != nil {
		return nil, err
	}
	return f.finish(ctx, in, cluster)
}

func founding() model.Origin {
	return model.Origin{Actor: "local", Operation: "initCluster", Time: time.Now().UTC()}
}

// repeat answers an Init when there is a cluster already: it finishes what an
// earlier one with the same settings began and did not, or could not say.
func (f *founder) repeat(ctx context.Context, in api.InitInput, asked, present *model.Cluster) (*api.InitResult, error) {
	const code, forget = "already_initialized", "`skerry reset --data` makes it forget everything"
	same := asked.Pool == present.Pool && asked.VIPPool == present.VIPPool && asked.PortMin == present.PortMin && asked.PortMax == present.PortMax
	switch {
	case len(present.SetupHash) == 0 || !same:
		return nil, model.Errorf(model.KindConflict, code, "this node belongs to a cluster already; "+forget)
	case in.AdminPassword == "" && !bytes.Equal(present.SetupHash, access.SecretHash(f.token)):
		return nil, model.Errorf(model.KindConflict, code, "this node belongs to a cluster already, and its setup token cannot be shown again: make the administrator with `skerry init --admin-password-file FILE`; "+forget)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), initPatience)
	defer cancel()
	return f.finish(ctx, in, present)
}

// finish makes the administrator, if a password was given, and the answer.
func (f *founder) finish(ctx context.Context, in api.InitInput, cluster *model.Cluster) (*api.InitResult, error) {
	result := &api.InitResult{
		ClusterID: cluster.ID, NodeID: f.p.identity.ID, NodeName: f.a.cfg.Name,
		CaFingerprint: f.p.authority.Fingerprint(), ConsoleUrls: f.a.consoleURLs(), SetupToken: f.token,
	}
	if in.AdminPassword != "" {
		if err := f.makeAdmin(ctx, founding(), cluster.SetupHash, in.AdminPassword); err != nil {
			return nil, err
		}
		result.SetupToken = ""
	}
	return result, nil
}

func (f *founder) makeAdmin(ctx context.Context, o model.Origin, token []byte, password string) error {
	hash, err := access.HashPassword(ctx, password)
	if err != nil {
		return err
	}
	u := model.User{Spec: model.UserSpec{PlatformRole: model.RoleAdmin}, PasswordHash: hash}
	u.ID, u.Name = command.NewID(), "admin"
	_, err = f.p.node.Propose(ctx, &command.UseSetupToken{Head: command.By(o), Hash: token, User: u})
	return err
}

// seed imports the image that comes with the product.
func (f *founder) seed(ctx context.Context) ([]model.Image, error) {
	tar, err := f.seeded()
	if err != nil {
		return nil, err
	}
	stored, err := f.images.Import(ctx, tar, func(api.Progress) {})
	if err != nil {
		return nil, fmt.Errorf("import the welcome image: %w", err)
	}
	var out []model.Image
	for _, s := range stored {
		img := model.Image{Public: true, Digest: s.Digest, SizeBytes: s.SizeBytes, Platforms: s.Platforms, NodeIDs: []string{f.p.identity.ID}}
		img.ID, img.Name = command.NewID(), welcome.Name
		out = append(out, img)
	}
	return out, nil
}

// settings reads what a person chose for the whole cluster.
func settings(in api.InitInput) (*model.Cluster, error) {
	c := &model.Cluster{PortMin: 30000, PortMax: 32767}
	for _, x := range []struct {
		field, given, usual string
		to                  *netip.Prefix
	}{
		{"pool", in.Pool, "10.42.0.0/16", &c.Pool},
		{"vipPool", in.VipPool, "10.43.0.0/16", &c.VIPPool},
	} {
		if x.given == "" {
			x.given = x.usual
		}
		p, err := netip.ParsePrefix(x.given)
		if err != nil || !p.Addr().Is4() || p.Bits() > ipalloc.BlockBits || p.Bits() < 8 || p != p.Masked() {
			return nil, model.Errorf(model.KindInvalid, "pool_invalid", "%q is no pool of addresses: give an IPv4 network of /8 to /%d, such as %s", x.given, ipalloc.BlockBits, x.usual).At(x.field)
		}
		*x.to = p
	}
	if c.Pool.Overlaps(c.VIPPool) {
		return nil, model.Errorf(model.KindInvalid, "pool_invalid", "the pools %s and %s overlap: choose networks that share no address", c.Pool, c.VIPPool).At("vipPool")
	}
	if in.Ports == "" {
		return c, nil
	}
	low, high, ok := strings.Cut(in.Ports, "-")
	from, err1 := strconv.ParseUint(low, 10, 16)
	to, err2 := strconv.ParseUint(high, 10, 16)
	if !ok || err1 != nil || err2 != nil || from < 1024 || to < from {
		return nil, model.Errorf(model.KindInvalid, "ports_invalid", "%q is no range of ports: write FROM-TO with both from 1024 to 65535, such as 30000-32767", in.Ports).At("ports")
	}
	c.PortMin, c.PortMax = uint16(from), uint16(to)
	return c, nil
}

// clearOfHost refuses a pool that holds or lies in a network of this host.
func clearOfHost(pool netip.Prefix, field string) error {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return fmt.Errorf("list the host's addresses: %w", err)
	}
	for _, a := range all {
		p, err := netip.ParsePrefix(a.String())
		if err != nil || p.Addr().IsLoopback() {
			continue
		}
		if p.Masked().Overlaps(pool) {
			return model.Errorf(model.KindConflict, "pool_clash", "the pool %s overlaps the network %s of this host: choose another with --%s", pool, p.Masked(), map[string]string{"pool": "pool", "vipPool": "vip-pool"}[field]).At(field)
		}
	}
	return nil
}

// setupToken is short enough to type and has 100 random bits.
func setupToken() string {
	var b [13]byte
	_, _ = rand.Read(b[:]) // never fails: the runtime ends the process instead
	s := strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:]))[:20]
	return s[:5] + "-" + s[5:10] + "-" + s[10:15] + "-" + s[15:]
}

// consoleURLs lists where a browser reaches this node, the best first.
func (a *Appliance) consoleURLs() []string {
	listen := netip.MustParseAddrPort(a.cfg.Listen)
	port := strconv.Itoa(int(listen.Port()))
	urls := []string{"https://" + net.JoinHostPort(advertised(a.cfg), port)}
	for _, name := range a.cfg.SANs {
		urls = append(urls, "https://"+net.JoinHostPort(name, port))
	}
	if listen.Addr().IsUnspecified() || listen.Addr().IsLoopback() {
		urls = append(urls, "https://"+net.JoinHostPort("localhost", port))
	}
	return urls
}
