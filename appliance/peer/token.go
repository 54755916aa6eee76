package peer

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/skerryhq/skerry/raft/model"
)

const (
	tokenVersion = "SK1"
	secretBytes  = 20
)

var secretText = base32.StdEncoding.WithPadding(base32.NoPadding)

// Token is a join token: one line of text that lets hosts join.
//
//	SK1.<role m|w>.<expiry unix base36>.<environment>.<CA pin base64url>.<secret base32>
type Token struct {
	Role        model.NodeRole
	ExpiresAt   time.Time // whole seconds
	Environment string    // name
	Pin         [sha256.Size]byte
	Secret      []byte
}

// NewToken makes a token with a new secret. The state keeps Hash only.
func NewToken(role model.NodeRole, environment string, expires time.Time, pin [sha256.Size]byte) Token {
	secret := make([]byte, secretBytes)
	_, _ = rand.Read(secret) // never fails: the runtime ends the process instead
	return Token{Role: role, ExpiresAt: expires.UTC().Truncate(time.Second), Environment: environment, Pin: pin, Secret: secret}
}

// Hash is what the state keeps as JoinToken.Hash: sha256 of the secret.
func (t Token) Hash() []byte { return secretHash(t.Secret) }

func secretHash(secret []byte) []byte {
	sum := sha256.Sum256(secret)
	return sum[:]
}

// String is the line of text. It holds the secret.
func (t Token) String() string {
	role := "m"
	if t.Role == model.NodeWorker {
		role = "w"
	}
	return strings.Join([]string{
		tokenVersion, role, strconv.FormatInt(t.ExpiresAt.Unix(), 36), t.Environment,
		base64.RawURLEncoding.EncodeToString(t.Pin[:]), strings.ToLower(secretText.EncodeToString(t.Secret)),
	}, ".")
}

// ParseToken reads a token's text. Whether it has expired is for the caller.
// Errors (model.KindInvalid): "join_token_malformed", which says which part is
// wrong; "version_too_old" for a token of a later form.
func ParseToken(text string) (Token, error) {
	parts := strings.Split(strings.TrimSpace(text), ".")
	if len(parts[0]) > 2 && len(parts[0]) < 6 && strings.HasPrefix(parts[0], "SK") && parts[0] != tokenVersion {
		return Token{}, model.Errorf(model.KindInvalid, "version_too_old", "this join token is of a newer form (%s) than this version knows (%s): install the version that the cluster runs", parts[0], tokenVersion).At("token")
	}
	if parts[0] != tokenVersion {
		return Token{}, malformed("it does not begin with %s.", tokenVersion)
	}
	if len(parts) < 6 {
		return Token{}, malformed("it has %d of 6 parts; its end is missing", len(parts))
	}
	// An environment's name may hold dots of its own.
	last := len(parts) - 1
	var t Token
	switch parts[1] {
	case "m":
		t.Role = model.NodeMember
	case "w":
		t.Role = model.NodeWorker
	default:
		return Token{}, malformed("its role (part 2) is %.10q and not m or w", parts[1])
	}
	seconds, err := strconv.ParseInt(parts[2], 36, 64)
	if err != nil || seconds <= 0 {
		return Token{}, malformed("its expiry (part 3) is no time: %.20q", parts[2])
	}
	t.ExpiresAt = time.Unix(seconds, 0).UTC()
	if t.Environment = strings.Join(parts[3:last-1], "."); t.Environment == "" {
		return Token{}, malformed("its environment (part 4) is empty")
	}
	pin, err := base64.RawURLEncoding.DecodeString(parts[last-1])
	if err != nil || len(pin) != sha256.Size {
		return Token{}, malformed("its fingerprint (the part before the last) is not the %d characters that it should be", base64.RawURLEncoding.EncodedLen(sha256.Size))
	}
	copy(t.Pin[:], pin)
	if t.Secret, err = secretText.DecodeString(strings.ToUpper(parts[last])); err != nil || len(t.Secret) != secretBytes {
		return Token{}, malformed("its secret (the last part) is not the %d characters that it should be", secretText.EncodedLen(secretBytes))
	}
	return t, nil
}

func malformed(format string, args ...any) error {
	e := model.Errorf(model.KindInvalid, "join_token_malformed", format, args...)
	e.Detail = "this is no join token: " + e.Detail + "; paste the whole line that `skerry token create` printed"
	return e.At("token")
}
