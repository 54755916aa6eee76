package edge

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/skerryhq/skerry/netfw/dns"
)

// Snapshot is all that the edge works from.
type Snapshot struct {
	Version uint64       `json:"version"` // of the state it was computed from; grows
	DNS     dns.Snapshot `json:"dns"`
}

// The snapshot has a folder of its own, because the edge watches it and the data directory is busy.
const (
	folder   = "edge"
	fileName = "snapshot"
)

// ErrDamaged says that the file is not what was written.
var ErrDamaged = errors.New("edge snapshot is damaged")

// Publish replaces the snapshot in the data directory at once: a reader finds the old one or the new one. The edge
// notices by itself; Await tells when it has. It does not wait for the disk: after a power cut the daemon publishes
// anew, and a file cut short is found by its seal. Two calls at the same time are a mistake of the caller.
func Publish(dataDir string, s Snapshot) error {
	body, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("write edge snapshot: %w", err)
	}
	dir := filepath.Join(dataDir, folder)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("write edge snapshot: %w", err)
	}
	sum := sha256.Sum256(body)
	sealed := append(append([]byte(hex.EncodeToString(sum[:])), '\n'), body...)
	temporary := filepath.Join(dir, fileName+".new")
	if err := os.WriteFile(temporary, sealed, 0o600); err != nil {
		return fmt.Errorf("write edge snapshot: %w", err)
	}
	if err := os.Rename(temporary, filepath.Join(dir, fileName)); err != nil {
		return fmt.Errorf("write edge snapshot: %w", err)
	}
	return nil
}

// load reads the snapshot; fs.ErrNotExist if none was ever published.
func load(dataDir string) (Snapshot, error) {
	var s Snapshot
	sealed, err := os.ReadFile(filepath.Join(dataDir, folder, fileName))
	if errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	if err != nil {
		return s, fmt.Errorf("read edge snapshot: %w", err)
	}
	seal, body, found := bytes.Cut(sealed, []byte{'\n'})
	sum := sha256.Sum256(body)
	if !found || string(seal) != hex.EncodeToString(sum[:]) {
		return s, ErrDamaged
	}
	if err := json.Unmarshal(body, &s); err != nil {
		return s, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return s, nil
}
