package pki

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/skerryhq/skerry/raft/model"
)

const sealVersion = 1

// ErrSeal means that a sealed value does not open: another key, another
// purpose, or damaged bytes.
var ErrSeal = errors.New("the sealed value does not open with this node's seal key")

// Box seals secrets before they are proposed and opens them where they are
// used: AES-256-GCM with a random nonce; the purpose is authenticated with it,
// so that one kind of secret can never stand in for another. It is safe for
// concurrent use.
type Box struct {
	aead cipher.AEAD
	key  []byte
}

// Key is the seal key itself, for a member that joins over a verified channel,
// and for nobody else.
func (b *Box) Key() []byte { return bytes.Clone(b.key) }

// Derive makes a secret of 32 bytes for a purpose, such as "registry token",
// from the seal key: the same on every member, whatever authority issues, and no
// way back to the key.
func (b *Box) Derive(purpose string) ([]byte, error) {
	key, err := hkdf.Key(sha256.New, b.key, nil, "skerry "+purpose, 32)
	if err != nil {
		return nil, fmt.Errorf("derive a secret for %s: %w", purpose, err)
	}
	return key, nil
}

// OpenBox reads the seal key (32 bytes, mode 0600) from path, and makes one
// when there is none.
func OpenBox(path string) (*Box, error) {
	key, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		key = make([]byte, 32)
		if _, err := rand.Read(key); err != nil {
			return nil, fmt.Errorf("make a seal key: %w", err)
		}
		if err := WriteFile(path, key); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, fmt.Errorf("read the seal key: %w", err)
	}
	if len(key) != 32 {
		return nil, fmt.Errorf("%s holds %d bytes, not a seal key of 32: put the right file back; without it the cluster's secrets cannot be read", path, len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("seal key: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("seal key: %w", err)
	}
	return &Box{aead: aead, key: key}, nil
}

// Seal encrypts plain for a purpose, such as "ca-key".
func (b *Box) Seal(purpose string, plain []byte) (model.Sealed, error) {
	nonce := make([]byte, b.aead.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	out := append([]byte{sealVersion}, nonce...)
	return b.aead.Seal(out, nonce, plain, []byte(purpose)), nil
}

// Open decrypts what Seal made for the same purpose. Errors: ErrSeal.
func (b *Box) Open(purpose string, sealed model.Sealed) ([]byte, error) {
	n := b.aead.NonceSize()
	if len(sealed) < 1+n || sealed[0] != sealVersion {
		return nil, ErrSeal
	}
	plain, err := b.aead.Open(nil, sealed[1:1+n], sealed[1+n:], []byte(purpose))
	if err != nil {
		return nil, ErrSeal
	}
	return plain, nil
}

// WriteFile replaces a private file (0600) so that it is there whole, before or
// after, whenever the power goes. Its folder is made if it is missing.
func WriteFile(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make %s: %w", filepath.Dir(path), err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // 0600 by itself
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone already when the rename worked
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if d, err := os.Open(filepath.Dir(path)); err == nil {
		_ = d.Sync() // the rename itself; some file systems refuse, and then it is only as safe as they are
		_ = d.Close()
	}
	return nil
}
