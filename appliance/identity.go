package appliance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/skerryhq/skerry/appliance/config"
	"github.com/skerryhq/skerry/appliance/pki"
	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
)

// identity is what makes a node the same node after a restart.
type identity struct {
	ID string `json:"id"`
	// Role is empty until the node has joined a cluster or made one.
	Role      model.NodeRole `json:"role,omitempty"`
	ClusterID string         `json:"clusterId,omitempty"`
	// Generation is the highest one that the node has seen.
	Generation uint64 `json:"generation,omitempty"`
}

// cgroup is the group below which this node's containers live.
func (i identity) cgroup() string { return "/skerry/" + i.ID }

// readIdentity reads the node's identity. Errors: fs.ErrNotExist before the
// first start.
func readIdentity(dataDir string) (identity, error) {
	path := filepath.Join(dataDir, "node.json")
	b, err := os.ReadFile(path)
	if err != nil {
		return identity{}, fmt.Errorf("read the node's identity: %w", err)
	}
	var id identity
	if err := json.Unmarshal(b, &id); err != nil || id.ID == "" {
		return id, fmt.Errorf("%s is damaged: put back a copy of it, or give the node a new data directory", path)
	}
	return id, nil
}

// loadIdentity reads the node's identity, and makes one at the first start.
func loadIdentity(dataDir string) (identity, error) {
	id, err := readIdentity(dataDir)
	if !errors.Is(err, fs.ErrNotExist) {
		return id, err
	}
	id = identity{ID: command.NewID()}
	return id, id.save(dataDir)
}

// save writes the identity so that it is there whole, before or after.
func (i identity) save(dataDir string) error {
	b, err := json.Marshal(i)
	if err != nil {
		return fmt.Errorf("write the node's identity: %w", err)
	}
	if err := pki.WriteFile(filepath.Join(dataDir, "node.json"), b); err != nil {
		return fmt.Errorf("write the node's identity: %w", err)
	}
	return nil
}

// record is the node's identity as it lies on the disk by now: what the node was
// read with at its start changes when it makes a cluster, and when a recovery
// begins a new generation. It is safe for concurrent use.
type record struct {
	dataDir string

	mu sync.Mutex
	id identity // guarded by mu
}

func newRecord(dataDir string, id identity) *record { return &record{dataDir: dataDir, id: id} }

// now is the identity.
func (r *record) now() identity {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.id
}

// change writes the identity down after f has changed it; what f leaves as it
// was is not written.
func (r *record) change(f func(*identity)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := r.id
	if f(&next); next == r.id {
		return nil
	}
	if err := next.save(r.dataDir); err != nil {
		return err
	}
	r.id = next
	return nil
}

// raise notes a generation that the node has seen; a lower one changes nothing.
func (r *record) raise(generation uint64) error {
	return r.change(func(i *identity) { i.Generation = max(i.Generation, generation) })
}

// claim makes the node's folders and makes sure that no other daemon has them,
// nor the network namespace: two nodes would fight over chains, interfaces and
// the resolver's address. The locks go with the process, however it ends.
func claim(ctx context.Context, cfg config.Config) (release func(), err error) {
	for dir, mode := range map[string]os.FileMode{cfg.DataDir: 0o711, cfg.RunDir: 0o711} {
		if err := os.MkdirAll(dir, mode); err != nil {
			return nil, fmt.Errorf("make %s: %w", dir, err)
		}
	}
	// An abstract socket belongs to the network namespace and needs no file.
	door, err := (&net.ListenConfig{}).Listen(ctx, "unix", "@skerry-node")
	if err != nil {
		return nil, fmt.Errorf("another Skerry node runs in this network namespace: end it first (skerry reset), or give this one a namespace of its own: %w", err)
	}
	var files []*os.File
	release = func() {
		_ = door.Close()
		for _, f := range files {
			_ = f.Close()
		}
	}
	for _, dir := range []string{cfg.DataDir, cfg.RunDir} {
		f, err := os.OpenFile(filepath.Join(dir, "daemon.lock"), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			release()
			return nil, fmt.Errorf("lock %s: %w", dir, err)
		}
		files = append(files, f)
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			pid, _ := os.ReadFile(f.Name())
			release()
			return nil, fmt.Errorf("%s is in use by another skerry daemon (pid %s): end it first, or choose other folders with --data-dir and --run-dir", dir, pid)
		}
		if err := f.Truncate(0); err == nil {
			_, _ = f.WriteString(strconv.Itoa(os.Getpid())) // for people only; the lock is what counts
		}
	}
	return release, nil
}

// listenPrivately opens a unix socket that only its owner may use, from its
// first moment on.
func listenPrivately(ctx context.Context, path string) (net.Listener, error) {
	old := syscall.Umask(0o177)
	defer syscall.Umask(old)
	return (&net.ListenConfig{}).Listen(ctx, "unix", path)
}

// hostNames lists the names and addresses that the node's certificate covers.
func hostNames(cfg config.Config) []string {
	names := []string{"localhost", cfg.Name, "127.0.0.1", "::1"}
	if host, err := os.Hostname(); err == nil && host != "" {
		names = append(names, host)
	}
	if cfg.Advertise != "" {
		names = append(names, cfg.Advertise)
	}
	for _, a := range localAddresses() {
		names = append(names, a.String())
	}
	return append(names, cfg.SANs...)
}

// localAddresses lists the host's own addresses that others can reach. Those on
// loopback interfaces are not among them: the overlay keeps some there.
func localAddresses() []netip.Addr {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil
	}
	var all []net.Addr
	for _, i := range interfaces {
		if i.Flags&net.FlagLoopback != 0 {
			continue
		}
		if on, err := i.Addrs(); err == nil { // it may have gone meanwhile
			all = append(all, on...)
		}
	}
	var out []netip.Addr
	for _, a := range all {
		p, err := netip.ParsePrefix(a.String())
		if err != nil {
			continue
		}
		if ip := p.Addr().Unmap(); ip.IsGlobalUnicast() && !ip.IsLoopback() {
			out = append(out, ip)
		}
	}
	return out
}

// advertised is the address that others reach this node at: the one given, the
// one listened on, or the one that the default route uses.
func advertised(cfg config.Config) string {
	if cfg.Advertise != "" {
		return cfg.Advertise
	}
	if a := netip.MustParseAddrPort(cfg.Listen).Addr(); !a.IsUnspecified() {
		return a.String()
	}
	// Connecting a datagram socket asks the kernel for a route and sends nothing.
	if c, err := net.Dial("udp", "192.0.2.1:9"); err == nil { //nolint:noctx // it waits for nothing
		defer c.Close()
		if a, ok := c.LocalAddr().(*net.UDPAddr); ok && !a.IP.IsUnspecified() {
			return a.IP.String()
		}
	}
	for _, a := range localAddresses() {
		if a.Is4() {
			return a.String()
		}
	}
	return "127.0.0.1"
}
