package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// exitFile is what a shim writes into its bundle when the container's main
// process ends.
const exitFile = "exit.json"

func (c Config) exitsDir() string { return c.dir("exits") }

// keepExits copies the exit statuses of containers that ended while no engine
// ran. An engine that starts deletes the tasks of such containers with all that
// is known of them, before anybody can ask.
func (c Config) keepExits() error {
	found, err := filepath.Glob(c.BundleDir("*") + "/" + exitFile)
	if err != nil || len(found) == 0 {
		return err
	}
	if err := os.MkdirAll(c.exitsDir(), 0o700); err != nil {
		return fmt.Errorf("keep exit statuses: %w", err)
	}
	for _, f := range found {
		b, err := os.ReadFile(f)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(c.exitsDir(), filepath.Base(filepath.Dir(f))), b, 0o600)
		}
		if err != nil {
			return fmt.Errorf("keep exit statuses: %w", err)
		}
	}
	return nil
}

// KeptExit returns how the container's main process ended, when it did so while
// no engine ran and not before since. ok is false when that is not known.
func (c Config) KeptExit(id string, since time.Time) (code int, at time.Time, ok bool) {
	b, err := os.ReadFile(filepath.Join(c.exitsDir(), filepath.Base(id)))
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
	_ = os.Remove(filepath.Join(c.exitsDir(), filepath.Base(id))) // seldom there, harmless when it stays
}
