package appliance

import (
	"fmt"
	"log/slog"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/appliance/config"
	"github.com/skerryhq/skerry/appliance/registry"
	"github.com/skerryhq/skerry/appliance/registry/auth"
)

// registryParts is the registry with its door, and what the door shares with the
// API: the throttle of sign-ins and the audit of what leaves no command.
type registryParts struct {
	people   *access.People
	recorder *access.Recorder
	door     *auth.Door
	registry *registry.Registry
}

// newRegistry connects the registry. mirror may be nil; others bring what other
// members hold.
func newRegistry(cfg config.Config, p *parts, mirror registry.Mirror, others registry.Fetcher, log *slog.Logger) (registryParts, error) {
	out := registryParts{people: access.NewPeople(p.node), recorder: access.NewRecorder(p.node, log)}
	key, err := p.box.Derive(auth.KeyPurpose)
	if err != nil {
		return out, fmt.Errorf("derive the key of registry tokens: %w", err)
	}
	if out.door, err = auth.New(auth.Config{Cluster: p.node, People: out.people, Recorder: out.recorder, Key: key, Log: log}); err != nil {
		return out, err
	}
	out.registry, err = registry.New(registry.Config{
		Blobs: p.blobs, Cluster: p.node, Access: out.door, Mirror: mirror, Images: p.images, Log: log,
		NodeID: p.identity.ID, Peers: p.peers.Peers(), Fetch: others,
	})
	return out, err
}
