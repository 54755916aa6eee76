package access

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"

	"github.com/skerryhq/skerry/raft/model"
)

// The cost of one password: about 20 ms and 19 MiB on the machines this is made
// for. Raising it needs no migration: every hash names its own.
const (
	hashMemoryKiB = 19 * 1024
	hashPasses    = 2
	hashThreads   = 1
	hashSaltBytes = 16
	hashKeyBytes  = 32

	maxHashMemoryKiB = 256 * 1024 // a hash from elsewhere must not eat the host
	maxHashPasses    = 16
)

// The bounds of a password, in bytes.
const (
	MinPassword = 10
	MaxPassword = 1000
)

// hashSlots bounds how many passwords are hashed at a time, and so the memory
// that a flood of sign-ins can take.
var hashSlots = make(chan struct{}, 2)

// CheckPassword says what is wrong with a new password for a user.
func CheckPassword(user, password string) error {
	switch {
	case len(password) < MinPassword:
		return model.Errorf(model.KindInvalid, "password_weak", "the password is too short; use at least %d characters", MinPassword).At("password")
	case len(password) > MaxPassword:
		return model.Errorf(model.KindInvalid, "password_long", "the password is longer than %d bytes; use a shorter one", MaxPassword).At("password")
	case strings.EqualFold(password, user), strings.Count(password, password[:1]) == len(password):
		return model.Errorf(model.KindInvalid, "password_weak", "this password is easily guessed; use another").At("password")
	}
	return nil
}

// HashPassword gives the PHC string of a password. It waits for its turn.
func HashPassword(ctx context.Context, password string) (string, error) {
	salt := make([]byte, hashSaltBytes)
	_, _ = rand.Read(salt) // never fails
	h := phc{memory: hashMemoryKiB, passes: hashPasses, threads: hashThreads, salt: salt}
	key, err := h.derive(ctx, password, hashKeyBytes)
	if err != nil {
		return "", err
	}
	h.key = key
	return h.String(), nil
}

// VerifyPassword says whether password fits the PHC string. An empty or broken
// string fits nothing, but takes as long, so that nobody learns which names
// exist.
func VerifyPassword(ctx context.Context, hash, password string) (bool, error) {
	h, err := parsePHC(hash)
	if err != nil {
		h = phc{memory: hashMemoryKiB, passes: hashPasses, threads: hashThreads, salt: make([]byte, hashSaltBytes), key: make([]byte, hashKeyBytes)}
	}
	key, derr := h.derive(ctx, password, len(h.key))
	if derr != nil {
		return false, derr
	}
	return subtle.ConstantTimeCompare(key, h.key) == 1 && err == nil, nil
}

// phc is one argon2id hash with its cost.
type phc struct {
	memory, passes uint32
	threads        uint8
	salt, key      []byte
}

func (h phc) derive(ctx context.Context, password string, size int) ([]byte, error) {
	select {
	case hashSlots <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { <-hashSlots }()
	return argon2.IDKey([]byte(password), h.salt, h.passes, h.memory, h.threads, uint32(size)), nil
}

// String is the PHC form.
func (h phc) String() string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.passes, h.threads,
		b64.EncodeToString(h.salt), b64.EncodeToString(h.key))
}

func parsePHC(s string) (phc, error) {
	var h phc
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return h, fmt.Errorf("no argon2id hash of version %d", argon2.Version)
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.memory, &h.passes, &h.threads); err != nil {
		return h, fmt.Errorf("parameters of a password hash: %w", err)
	}
	if h.memory > maxHashMemoryKiB || h.passes == 0 || h.passes > maxHashPasses || h.threads == 0 {
		return h, fmt.Errorf("parameters of a password hash are out of bounds: %s", parts[3])
	}
	var err error
	if h.salt, err = base64.RawStdEncoding.DecodeString(parts[4]); err != nil {
		return h, fmt.Errorf("salt of a password hash: %w", err)
	}
	if h.key, err = base64.RawStdEncoding.DecodeString(parts[5]); err != nil {
		return h, fmt.Errorf("key of a password hash: %w", err)
	}
	if len(h.key) < 16 || len(h.key) > 64 {
		return h, fmt.Errorf("key of a password hash has %d bytes", len(h.key))
	}
	return h, nil
}
