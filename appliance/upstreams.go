package appliance

import (
	"log/slog"
	"path/filepath"

	"github.com/skerryhq/skerry/appliance/config"
	"github.com/skerryhq/skerry/appliance/mirror"
)

// newMirror connects what brings images in from other registries.
func newMirror(cfg config.Config, p *parts, log *slog.Logger) *mirror.Mirror {
	return mirror.New(mirror.Config{
		Cluster: p.node, Blobs: p.blobs, Box: p.box, Cache: cfg.MirrorCache,
		State: filepath.Join(cfg.DataDir, "registry", "mirror.json"), UserAgent: "skerry/" + version, Log: log,
	})
}
