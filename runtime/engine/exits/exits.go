// Package exits keeps how containers ended while no engine ran. An engine that
// starts deletes the tasks of such containers with all that is known of them,
// before anybody can ask; so Keep runs before every start of the engine, in the
// small process that becomes it. The package imports little for that reason.
package exits

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// fileName is what a shim writes into its bundle when the container's main
// process ends.
const fileName = "exit.json"

// Keep copies the exit statuses in the bundles below bundlesDir into exitsDir,
// one file a container. Doing it again is free.
func Keep(bundlesDir, exitsDir string) error {
	found, err := filepath.Glob(filepath.Join(bundlesDir, "*", fileName))
	if err != nil || len(found) == 0 {
		return err
	}
	if err := os.MkdirAll(exitsDir, 0o700); err != nil {
		return fmt.Errorf("keep exit statuses: %w", err)
	}
	for _, f := range found {
		b, err := os.ReadFile(f)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(exitsDir, filepath.Base(filepath.Dir(f))), b, 0o600)
		}
		if err != nil {
			return fmt.Errorf("keep exit statuses: %w", err)
		}
	}
	return nil
}
