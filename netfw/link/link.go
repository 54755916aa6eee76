// Package link connects containers to this host: a network namespace, a veth pair and a route each, no bridge.
//
// It owns the namespaces under Config.Dir, every interface whose name begins with rules' veth prefix, the routes to
// them, and the two addresses of the host's side (gateway and resolver) on lo. It writes no firewall rules and
// decides no addresses. The agent calls EnsureHost once, Ensure before a container's task and Remove after it, and
// List at start-up to sweep what no state names.
//
// A container has its address as a /32 and one default route through Config.Gateway, whose neighbour entry is
// permanent: nothing is ever broadcast, and two containers meet only on the host, where the rules are.
//
// Safe for concurrent use with different ids. Two calls for the same id run one after the other. The methods must be
// called in the network namespace that New ran in (for the daemon: the only one there is).
package link

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Interface is the name that every container sees.
const Interface = "eth0"

// DefaultMTU is used where a Spec names none.
const DefaultMTU = 1500

// hostMAC is the same on every host end: each is the only neighbour on its wire.
var hostMAC = net.HardwareAddr{0x02, 0x53, 0x4b, 0, 0, 1}

var goodID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$`)

// Config is what all containers of a node share.
type Config struct {
	Dir        string     // where namespaces are kept, <run-dir>/netns; made if missing
	Gateway    netip.Addr // zero: 169.254.1.1
	Resolver   netip.Addr // zero: 169.254.42.53
	VethPrefix string     // empty: "skv"
}

// Spec is one container's connection.
type Spec struct {
	ID      string     // the container's; names the namespace's file and, hashed, the host interface
	Address netip.Addr // IPv4, the container's own
	MTU     int        // bytes; zero: DefaultMTU
}

// Attachment is what Ensure made.
type Attachment struct {
	NetNS string // path of the namespace's file, for the OCI spec
	Veth  string // the host's interface, for the rules
}

// Links makes and removes connections.
type Links struct {
	cfg  Config
	host *netlink.Handle
	raw  map[int]*nl.SocketHandle // for what netlink.Handle does not offer
	ns   netns.NsHandle
	lo   int

	doomed doomed

	mu   sync.Mutex
	busy map[string]chan struct{} // ids being worked on; guarded by mu
}

// New opens the kernel's interface in the calling thread's network namespace. It changes nothing but Config.Dir.
func New(cfg Config) (*Links, error) {
	if cfg.Dir == "" || !filepath.IsAbs(cfg.Dir) {
		return nil, fmt.Errorf("directory of network namespaces %q: give an absolute path", cfg.Dir)
	}
	if !cfg.Gateway.IsValid() {
		cfg.Gateway = netip.MustParseAddr("169.254.1.1")
	}
	if !cfg.Resolver.IsValid() {
		cfg.Resolver = netip.MustParseAddr("169.254.42.53")
	}
	if cfg.VethPrefix == "" {
		cfg.VethPrefix = "skv"
	}
	if !cfg.Gateway.Is4() || !cfg.Resolver.Is4() {
		return nil, fmt.Errorf("gateway %s and resolver %s: give IPv4 addresses", cfg.Gateway, cfg.Resolver)
	}
	if len(cfg.VethPrefix) > 5 {
		return nil, fmt.Errorf("veth prefix %q: at most 5 characters, the rest tells containers apart", cfg.VethPrefix)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make directory of network namespaces: %w", err)
	}
	ns, err := netns.GetFromPath("/proc/thread-self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("open this network namespace: %w", err)
	}
	host, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		ns.Close()
		return nil, fmt.Errorf("open route netlink socket: %w", err)
	}
	socket, err := nl.GetNetlinkSocketAt(ns, netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		host.Close()
		ns.Close()
		return nil, fmt.Errorf("open route netlink socket: %w", err)
	}
	lo, err := host.LinkByName("lo")
	if err != nil {
		socket.Close()
		host.Close()
		ns.Close()
		return nil, fmt.Errorf("find loopback interface: %w", err)
	}
	raw := map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: socket}}
	return &Links{cfg: cfg, host: host, raw: raw, ns: ns, lo: lo.Attrs().Index, busy: map[string]chan struct{}{}}, nil
}

// Close gives the handles back. Connections stay.
func (l *Links) Close() {
	for _, s := range l.raw {
		s.Close()
	}
	l.host.Close()
	l.ns.Close()
}

// Path is where the namespace of a container is, or would be.
func (l *Links) Path(id string) string { return filepath.Join(l.cfg.Dir, id) }

// Veth is the name of a container's interface on the host. Ids are longer than the 15 characters a name may have, so
// it is a hash: two ids share one with a chance of one in 2^60.
func (l *Links) Veth(id string) string {
	sum := sha256.Sum256([]byte(id))
	name := strings.ToLower(base32.StdEncoding.EncodeToString(sum[:10]))
	return l.cfg.VethPrefix + name[:15-len(l.cfg.VethPrefix)]
}

// Ensure makes the connection exist as s describes, and repairs one that is half there. Calling it again is cheap.
// An address that another container's interface already routes is an error.
func (l *Links) Ensure(ctx context.Context, s Spec) (Attachment, error) {
	if !goodID.MatchString(s.ID) {
		return Attachment{}, fmt.Errorf("container id %q: use letters, digits, '.', '_' or '-'", s.ID)
	}
	if !s.Address.Is4() || s.Address.IsUnspecified() {
		return Attachment{}, fmt.Errorf("address of container %s: %s is not IPv4", s.ID, s.Address)
	}
	if s.MTU == 0 {
		s.MTU = DefaultMTU
	}
	if s.MTU < 576 || s.MTU > 65535 {
		return Attachment{}, fmt.Errorf("MTU of container %s: %d is not between 576 and 65535", s.ID, s.MTU)
	}
	release, err := l.acquire(ctx, s.ID)
	if err != nil {
		return Attachment{}, err
	}
	defer release()

	out := Attachment{NetNS: l.Path(s.ID), Veth: l.Veth(s.ID)}
	wire := carrier(-1)
	err = l.inside(out.NetNS, func(fresh bool) error {
		if err := l.containerSide(s, out.Veth, fresh); err != nil {
			return err
		}
		wire, err = openCarrier()
		return err
	})
	if err != nil {
		return out, fmt.Errorf("connect container %s: %w", s.ID, err)
	}
	defer func() { _ = wire.Close() }()
	if err := l.hostSide(s, out.Veth); err != nil {
		return out, fmt.Errorf("connect container %s to the host: %w", s.ID, err)
	}
	if err := wire.settle(); err != nil {
		return out, fmt.Errorf("connect container %s: %w", s.ID, err)
	}
	return out, nil
}

// Remove takes the connection away: interface, route and namespace. Removing what is not there is no error.
func (l *Links) Remove(ctx context.Context, id string) error {
	if !goodID.MatchString(id) {
		return fmt.Errorf("container id %q: use letters, digits, '.', '_' or '-'", id)
	}
	release, err := l.acquire(ctx, id)
	if err != nil {
		return err
	}
	defer release()
	if err := l.removeVeth(l.Veth(id)); err != nil {
		return err
	}
	return removeNamespace(l.Path(id))
}

func removeNamespace(path string) error {
	// A file can carry several mounts when a process died between two steps of making it.
	for {
		err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
			break
		}
		if err != nil {
			return fmt.Errorf("unmount network namespace %s: %w", path, err)
		}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove network namespace %s: %w", path, err)
	}
	return nil
}

// acquire waits for its turn on id.
func (l *Links) acquire(ctx context.Context, id string) (release func(), err error) {
	for {
		l.mu.Lock()
		wait, taken := l.busy[id]
		if !taken {
			done := make(chan struct{})
			l.busy[id] = done
			l.mu.Unlock()
			return func() {
				l.mu.Lock()
				delete(l.busy, id)
				l.mu.Unlock()
				close(done)
			}, nil
		}
		l.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for other work on the network of %s: %w", id, ctx.Err())
		}
	}
}
