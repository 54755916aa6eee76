package engine

import (
	"encoding/json"
	"os"
	"path/filepath"
	"time"
)

// BundlesDir and ExitsDir are what exits.Keep needs before each start.
func (c Config) BundlesDir() string { return filepath.Dir(c.BundleDir("x")) }

// ExitsDir is where kept exit statuses lie.
func (c Config) ExitsDir() string { return c.dir("exits") }

// KeptExit returns how the container's main process ended, when it did so while
// no engine ran and not before since. ok is false when that is not known.
func (c Config) KeptExit(id string, since time.Time) (code int, at time.Time, ok bool) {
	b, err := os.ReadFile(filepath.Join(c.ExitsDir(), filepath.Base(id)))
	if err != nil {
		return 0, time.Time{}, false
	}
	var e struct {
		Timestamp time.Time
		Pid       int
		Status    int
	}
	if json.Unmarshal(b, &e) != nil || e.Pid <= 0 || e.Timestamp.Before(since) {
		return 0, time.Time{}, false
	}
	return e.Status, e.Timestamp, true
}

// ForgetExit drops what KeptExit knows of a container.
func (c Config) ForgetExit(id string) {
	_ = os.Remove(filepath.Join(c.ExitsDir(), filepath.Base(id))) // seldom there, harmless when it stays
}
