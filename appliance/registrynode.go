package appliance

import (
	"context"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/appliance/config"
	"github.com/skerryhq/skerry/appliance/noderuntime"
	"github.com/skerryhq/skerry/appliance/pki"
	"github.com/skerryhq/skerry/appliance/registry"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// registryNode is this node's part of the registry, as the API asks for it.
type registryNode struct {
	cfg      config.Config
	p        *parts
	registry *registry.Registry
	reach    *noderuntime.Runtime
}

var _ api.RegistryNode = registryNode{}

// Address says where clients reach the registry, the best first.
func (n registryNode) Address() api.RegistryAddress {
	out := api.RegistryAddress{Hosts: registryHosts(n.cfg), CAPEM: string(n.p.certs.Signer().CertPEM), CAFingerprint: n.p.certs.Signer().Fingerprint()}
	out.TrustHost = out.Hosts[0]
	if own := slices.IndexFunc(out.Hosts, func(h string) bool { return !n.uploadedCovers(h) }); own >= 0 {
		out.TrustHost = out.Hosts[own]
	}
	return out
}

// uploadedCovers says whether a client that comes by a host is shown the uploaded
// certificate, which is not the authority's.
func (n registryNode) uploadedCovers(hostport string) bool {
	cl, ok := n.p.node.View().Cluster()
	if !ok || cl.Certificate == nil {
		return false
	}
	info, err := pki.InfoOf(cl.Certificate)
	host, _, herr := net.SplitHostPort(hostport)
	return err == nil && herr == nil && slices.ContainsFunc(info.Names, func(name string) bool { return names(name, host) })
}

// names says whether a certificate's name, perhaps a pattern, covers a host.
func names(name, host string) bool {
	if suffix, ok := strings.CutPrefix(name, "*."); ok {
		_, rest, _ := strings.Cut(host, ".")
		return strings.EqualFold(rest, suffix)
	}
	return strings.EqualFold(name, host)
}

// registryHosts are the names and addresses that a client may use: those that a
// person gave first, because they stay, then the one that others reach the node
// at, its name and this host's own.
func registryHosts(cfg config.Config) []string {
	listen := netip.MustParseAddrPort(cfg.Listen)
	names := slices.Clone(cfg.SANs)
	names = append(names, advertised(cfg), cfg.Name)
	if listen.Addr().IsUnspecified() || listen.Addr().IsLoopback() {
		names = append(names, "localhost", "127.0.0.1")
	}
	var out []string
	for _, name := range names {
		if strings.HasPrefix(name, "*.") { // a pattern is no host
			continue
		}
		if h := net.JoinHostPort(name, strconv.Itoa(int(listen.Port()))); !slices.Contains(out, h) {
			out = append(out, h)
		}
	}
	return out
}

// ownHost says whether a host in an image's name is this cluster's registry: any
// name or address of a node with its port.
func ownHost(cfg config.Config, store *state.Store) func(host string) bool {
	port := strconv.Itoa(int(netip.MustParseAddrPort(cfg.Listen).Port()))
	return func(hostport string) bool {
		host, at, err := net.SplitHostPort(hostport)
		if err != nil {
			return false
		}
		host = strings.ToLower(host)
		for node := range store.View().Nodes() {
			if node.Status.Address == hostport || node.Name == host && strings.HasSuffix(node.Status.Address, ":"+at) {
				return true
			}
		}
		if at != port {
			return false
		}
		return slices.ContainsFunc(hostNames(cfg), func(name string) bool { return names(name, host) })
	}
}

// Usage says how much the registry holds, on all members.
func (n registryNode) Usage(ctx context.Context) (api.RegistryUsage, error) {
	u, err := n.registry.UsageAll(ctx)
	return api.RegistryUsage{Blobs: u.Blobs, Bytes: u.Bytes, ReclaimableBytes: u.Reclaimable, Uploads: u.Uploads}, err
}

// Collect gives up what nothing needs, on all members.
func (n registryNode) Collect(ctx context.Context) (api.CollectResult, error) {
	blobs, bytes, err := n.registry.CollectAll(ctx)
	return api.CollectResult{Blobs: blobs, Bytes: bytes}, err
}

// ManifestConfig reads configuration and layers of what a repository holds.
func (n registryNode) ManifestConfig(ctx context.Context, d model.Descriptor) (*api.ImageConfig, []api.ImageLayer, error) {
	defer n.registry.Gather(ctx, d, false)()
	return n.reach.ManifestConfig(ctx, d)
}

// ExportManifest writes what a repository holds as a tar; with a name it is known
// by that of the best host.
func (n registryNode) ExportManifest(ctx context.Context, d model.Descriptor, name string, w io.Writer) error {
	defer n.registry.Gather(ctx, d, true)()
	if name != "" {
		name = registryHosts(n.cfg)[0] + "/" + name
	}
	return n.reach.ExportManifest(ctx, d, name, w)
}
