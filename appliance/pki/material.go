package pki

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Material is what a host that joins is given, beside its own key.
type Material struct {
	Trust       []byte // authorities to trust, as of TrustText
	Certificate []byte // the node's own with its chain, PEM
	// Members only:
	SealKey      []byte // 32 bytes
	AuthorityKey []byte // of the issuing authority, as the state keeps it: sealed with SealKey
}

// Install replaces what is in dir by m, all of it or nothing; the node's own key
// stays. Repair finishes an Install that a crash cut short.
func Install(dir string, m Material) error {
	key, err := OpenKey(dir)
	if err != nil {
		return err
	}
	t, err := newTrust(m.Trust)
	if err != nil {
		return err
	}
	files := map[string][]byte{"node.key": key.pem, "node.crt": m.Certificate, trustFile: t.pem}
	if len(m.SealKey) > 0 {
		files["seal.key"], files["ca.key"] = m.SealKey, m.AuthorityKey
		files["ca.crt"] = encode("CERTIFICATE", t.certs[0].Raw)
	}
	fresh := dir + ".next"
	if err := os.RemoveAll(fresh); err != nil {
		return fmt.Errorf("clear %s: %w", fresh, err)
	}
	for name, content := range files {
		if err := WriteFile(filepath.Join(fresh, name), content); err != nil {
			return err
		}
	}
	// From here on the new set is whole: the rename says so, Repair carries on.
	if err := os.Rename(fresh, dir+".whole"); err != nil {
		return fmt.Errorf("install the node's keys: %w", err)
	}
	return Repair(dir)
}

// Repair finishes an Install that was cut short. Call it before anything is read
// from dir. Without anything to do it is free.
func Repair(dir string) error {
	whole := dir + ".whole"
	if _, err := os.Stat(whole); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("look for %s: %w", whole, err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("clear %s: %w", dir, err)
	}
	if err := os.Rename(whole, dir); err != nil {
		return fmt.Errorf("install the node's keys: %w", err)
	}
	if d, err := os.Open(filepath.Dir(dir)); err == nil {
		_ = d.Sync() // the rename itself; some file systems refuse, and then it is only as safe as they are
		_ = d.Close()
	}
	return nil
}
