package command

import (
	"time"

	"github.com/skerryhq/skerry/raft/model"
)

// PutUser creates or changes a user. Names are unique ("name_taken"); an empty
// PasswordHash keeps the one that is there; the last working administrator
// stays one ("last_admin"). Disabling a user ends the user's sessions.
type PutUser struct {
	Head
	User          model.User `json:"user"`
	ExpectVersion uint64     `json:"expectVersion"`
}

// Type is TypePutUser.
func (*PutUser) Type() Type { return TypePutUser }

// Refs names the user.
func (c *PutUser) Refs() []Ref { return []Ref{{Kind: "user", ID: c.User.ID, Name: c.User.Name}} }

// DeleteUser deletes a user with all sessions and tokens; the last working
// administrator is kept ("last_admin").
type DeleteUser struct {
	Head
	ID            string `json:"id"`
	ExpectVersion uint64 `json:"expectVersion"`
}

// Type is TypeDeleteUser.
func (*DeleteUser) Type() Type { return TypeDeleteUser }

// Refs names the user.
func (c *DeleteUser) Refs() []Ref { return []Ref{{Kind: "user", ID: c.ID}} }

// SetPassword sets a user's password hash and ends the user's sessions but
// KeepSession.
type SetPassword struct {
	Head
	UserID       string `json:"userId"`
	PasswordHash string `json:"passwordHash"` // argon2id in PHC form
	KeepSession  string `json:"keepSession,omitempty"`
}

// Type is TypeSetPassword.
func (*SetPassword) Type() Type { return TypeSetPassword }

// Refs names the user.
func (c *SetPassword) Refs() []Ref { return []Ref{{Kind: "user", ID: c.UserID}} }

// UseSetupToken makes the first administrator and spends the setup token, both
// or neither. A token that does not fit or was used is refused with code
// "setup_token_invalid".
type UseSetupToken struct {
	Head
	Hash []byte     `json:"hash"` // sha256 of the token that was shown
	User model.User `json:"user"`
}

// Type is TypeUseSetupToken.
func (*UseSetupToken) Type() Type { return TypeUseSetupToken }

// Refs names the user.
func (c *UseSetupToken) Refs() []Ref { return []Ref{{Kind: "user", ID: c.User.ID, Name: c.User.Name}} }

// PutAPIToken creates an API token. Names are unique for one user.
type PutAPIToken struct {
	Head
	Token model.APIToken `json:"token"`
}

// Type is TypePutAPIToken.
func (*PutAPIToken) Type() Type { return TypePutAPIToken }

// Refs names the token.
func (c *PutAPIToken) Refs() []Ref {
	return []Ref{{Kind: "token", ID: c.Token.ID, Name: c.Token.Name}}
}

// DeleteAPIToken revokes an API token.
type DeleteAPIToken struct {
	Head
	ID string `json:"id"`
}

// Type is TypeDeleteAPIToken.
func (*DeleteAPIToken) Type() Type { return TypeDeleteAPIToken }

// Refs names the token.
func (c *DeleteAPIToken) Refs() []Ref { return []Ref{{Kind: "token", ID: c.ID}} }

// PutSession stores a session, new or prolonged.
type PutSession struct {
	Head
	Session model.Session `json:"session"`
}

// Type is TypePutSession.
func (*PutSession) Type() Type { return TypePutSession }

// Refs names the user; a session's id is derived from its cookie.
func (c *PutSession) Refs() []Ref { return []Ref{{Kind: "user", ID: c.Session.UserID}} }

// DeleteSession ends one session. Ending one that is gone is no error.
type DeleteSession struct {
	Head
	ID string `json:"id"`
}

// Type is TypeDeleteSession.
func (*DeleteSession) Type() Type { return TypeDeleteSession }

// Refs names nothing.
func (*DeleteSession) Refs() []Ref { return nil }

// DeleteSessions ends every session of a user but Except, and (whoever they
// belong to) those that expired before ExpiredBefore. Both parts may be empty.
type DeleteSessions struct {
	Head
	UserID        string    `json:"userId,omitempty"`
	Except        string    `json:"except,omitempty"`
	ExpiredBefore time.Time `json:"expiredBefore,omitzero"`
}

// Type is TypeDeleteSessions.
func (*DeleteSessions) Type() Type { return TypeDeleteSessions }

// Refs names the user, if there is one.
func (c *DeleteSessions) Refs() []Ref {
	if c.UserID == "" {
		return nil
	}
	return []Ref{{Kind: "user", ID: c.UserID}}
}
