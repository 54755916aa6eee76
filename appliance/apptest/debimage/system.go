package debimage

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// System makes a whole Debian system (the smallest one that apt calls whole, and
// the named packages, all of them configured) and returns it as a tar in the
// cache. Unlike an image it has dpkg, apt and maintainer scripts that have run:
// packages can be installed in it. It is made by mmdebstrap, of the host's own
// release. Root only. Errors: ErrNoPackages.
func System(ctx context.Context, packages ...string) (string, error) {
	if _, err := exec.LookPath("mmdebstrap"); err != nil {
		return "", fmt.Errorf("%w: mmdebstrap was not found", ErrNoPackages)
	}
	release, err := codename()
	if err != nil {
		return "", err
	}
	packages = slices.Sorted(slices.Values(packages))
	set, err := resolve(ctx, packages, false)
	if err != nil {
		return "", err
	}
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "systems")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(dir, release+"-"+key("system "+release, set)+".tar")
	err = locked(dir, func() error {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
		return writeFile(path, func(w io.Writer) error {
			cmd := exec.CommandContext(ctx, "mmdebstrap", "--variant=minbase", "--format=tar", "--include="+strings.Join(packages, ","), release, "-")
			cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
			var said bytes.Buffer
			cmd.Stdout, cmd.Stderr = w, &said
			if err := cmd.Run(); err != nil {
				return fmt.Errorf("mmdebstrap: %w: %s", err, bytes.TrimSpace(said.Bytes()))
			}
			return nil
		})
	})
	if err != nil {
		return "", fmt.Errorf("make a Debian system: %w", err)
	}
	return path, nil
}

// codename is the host's release, such as bookworm.
func codename() (string, error) {
	f, err := os.Open("/etc/os-release")
	if err != nil {
		return "", fmt.Errorf("find this host's release: %w", err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if name, ok := strings.CutPrefix(s.Text(), "VERSION_CODENAME="); ok {
			return strings.Trim(name, `"`), nil
		}
	}
	return "", errors.New("find this host's release: /etc/os-release has no VERSION_CODENAME")
}
