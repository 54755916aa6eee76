package overlay

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// memory is where the interfaces are listed whose route_localnet was off before.
func (o *Overlay) memory() string { return filepath.Join(o.cfg.Dir, "route_localnet.before") }

func localnet(device string) string { return "/proc/sys/net/ipv4/conf/" + device + "/route_localnet" }

// loopback lets processes that use 127.0.0.1 reach other nodes' containers.
func (p *pass) loopback() error {
	var done []string
	for _, w := range p.ways {
		if w.index == 0 || slices.Contains(done, w.device) {
			continue
		}
		done = append(done, w.device)
		now, err := os.ReadFile(localnet(w.device))
		if errors.Is(err, fs.ErrNotExist) {
			continue // it has just gone; the next look finds another way
		}
		if err != nil {
			return fmt.Errorf("read route_localnet: %w", err)
		}
		if string(bytes.TrimSpace(now)) == "1" {
			continue
		}
		if w.device != p.cfg.Device { // that one goes as a whole
			if err := p.remember(w.device); err != nil {
				return err
			}
		}
		if err := os.WriteFile(localnet(w.device), []byte("1"), 0); err != nil {
			return fmt.Errorf("set route_localnet of %s: %w", w.device, err)
		}
		p.note("set route_localnet of %s", w.device)
	}
	return nil
}

func (o *Overlay) remembered() ([]string, error) {
	b, err := os.ReadFile(o.memory())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("remember route_localnet: %w", err)
	}
	return strings.Fields(string(b)), nil
}

func (o *Overlay) remember(device string) error {
	known, err := o.remembered()
	if err != nil || slices.Contains(known, device) {
		return err
	}
	if err := os.WriteFile(o.memory(), []byte(strings.Join(append(known, device), "\n")+"\n"), 0o600); err != nil {
		return fmt.Errorf("remember route_localnet: %w", err)
	}
	return nil
}

// restoreLoopback turns off what loopback turned on.
func (o *Overlay) restoreLoopback() error {
	known, err := o.remembered()
	if err != nil || len(known) == 0 {
		return err
	}
	for _, device := range known {
		if err := os.WriteFile(localnet(device), []byte("0"), 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("restore route_localnet of %s: %w", device, err)
		}
	}
	if err := os.Remove(o.memory()); err != nil {
		return fmt.Errorf("forget route_localnet: %w", err)
	}
	return nil
}
