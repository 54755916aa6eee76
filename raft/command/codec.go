package command

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
)

// A command on disk is an envelope: version byte, type (2 bytes, big endian),
// body (JSON). A log entry is
//
//	entry version byte | crc32c of the rest (4 bytes) |
//	length and text of the writer's version | one or more of: length, envelope
//
// with lengths as uvarint. The checksum finds what the disk changed; the
// writer's version lets an older binary say which version it lacks.
const (
	envelopeV1 = 1
	entryV1    = 1

	entryHead = 5
)

// MaxEntry is the largest log entry in bytes; a command that does not fit alone
// cannot be proposed. Batches are kept well below it.
const MaxEntry = 1 << 20

// ErrCorrupt means that bytes are not a log entry or were changed since they
// were written.
var ErrCorrupt = errors.New("log entry is damaged")

// UnknownError says that an entry holds a command that this binary cannot
// apply.
type UnknownError struct {
	Type      Type   // the command's number; 0 if the envelope itself is unknown
	Level     uint64 // the feature level that it raises the cluster to, if that is what is not known
	WrittenBy string // version of the binary that wrote it; empty if not known
}

// Error names the version that is needed.
func (e *UnknownError) Error() string {
	what := fmt.Sprintf("command %d", uint16(e.Type))
	switch {
	case e.Level > 0:
		what = fmt.Sprintf("a raise to feature level %d", e.Level)
	case e.Type == 0:
		what = "a form of log entry"
	}
	if e.WrittenBy == "" {
		return "the log holds " + what + " that this version does not know: install a newer version"
	}
	return fmt.Sprintf("the log holds %s that this version does not know: install version %s or newer", what, e.WrittenBy)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Encode gives the envelope of one command.
func Encode(c Command) ([]byte, error) {
	if !c.Type().Known() {
		return nil, &UnknownError{Type: c.Type()}
	}
	body, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", c.Type().Name(), err)
	}
	out := make([]byte, 0, 3+len(body))
	out = append(out, envelopeV1)
	out = binary.BigEndian.AppendUint16(out, uint16(c.Type()))
	return append(out, body...), nil
}

// Decode reads one envelope. Errors: ErrCorrupt, *UnknownError.
func Decode(b []byte) (Command, error) {
	if len(b) < 3 {
		return nil, fmt.Errorf("envelope of %d bytes: %w", len(b), ErrCorrupt)
	}
	if b[0] != envelopeV1 {
		return nil, &UnknownError{}
	}
	t := Type(binary.BigEndian.Uint16(b[1:3]))
	k, ok := kinds[t]
	if !ok {
		return nil, &UnknownError{Type: t}
	}
	c := k.make()
	if err := json.Unmarshal(b[3:], c); err != nil {
		return nil, fmt.Errorf("decode %s: %w: %w", k.name, ErrCorrupt, err)
	}
	return c, nil
}

// EncodeEntry puts envelopes into one log entry. writer is the version of this
// binary.
func EncodeEntry(writer string, envelopes [][]byte) []byte {
	n := entryHead + binary.MaxVarintLen32 + len(writer)
	for _, e := range envelopes {
		n += binary.MaxVarintLen32 + len(e)
	}
	out := make([]byte, entryHead, n)
	out[0] = entryV1
	out = binary.AppendUvarint(out, uint64(len(writer)))
	out = append(out, writer...)
	for _, e := range envelopes {
		out = binary.AppendUvarint(out, uint64(len(e)))
		out = append(out, e...)
	}
	binary.BigEndian.PutUint32(out[1:entryHead], crc32.Checksum(out[entryHead:], castagnoli))
	return out
}

// DecodeEntry reads every command of an entry, or none. Errors: ErrCorrupt;
// *UnknownError, also for a raise to a feature level that is not known.
func DecodeEntry(b []byte) ([]Command, error) {
	var out []Command
	err := scan(b, func(env []byte) error {
		c, err := Decode(env)
		if err != nil {
			return err
		}
		if r, ok := c.(*RaiseLevel); ok && r.Level > Level {
			return &UnknownError{Type: TypeRaiseLevel, Level: r.Level}
		}
		out = append(out, c)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// CheckEntry says whether an entry is whole and holds only commands that this
// binary knows, without decoding their bodies. Errors as DecodeEntry.
func CheckEntry(b []byte) error {
	return scan(b, func(env []byte) error {
		if len(env) < 3 {
			return fmt.Errorf("envelope of %d bytes: %w", len(env), ErrCorrupt)
		}
		t := Type(binary.BigEndian.Uint16(env[1:3]))
		if env[0] != envelopeV1 {
			return &UnknownError{}
		}
		if !t.Known() {
			return &UnknownError{Type: t}
		}
		if t != TypeRaiseLevel {
			return nil
		}
		c, err := Decode(env)
		if err != nil {
			return err
		}
		if r := c.(*RaiseLevel); r.Level > Level {
			return &UnknownError{Type: t, Level: r.Level}
		}
		return nil
	})
}

// scan walks the envelopes of an entry.
func scan(b []byte, each func(env []byte) error) error {
	if len(b) < entryHead {
		return fmt.Errorf("entry of %d bytes: %w", len(b), ErrCorrupt)
	}
	if b[0] != entryV1 {
		return &UnknownError{}
	}
	rest := b[entryHead:]
	if crc32.Checksum(rest, castagnoli) != binary.BigEndian.Uint32(b[1:entryHead]) {
		return fmt.Errorf("checksum differs: %w", ErrCorrupt)
	}
	writer, rest, err := chunk(rest)
	if err != nil {
		return fmt.Errorf("writer: %w", err)
	}
	for n := 0; len(rest) > 0; n++ {
		var env []byte
		if env, rest, err = chunk(rest); err != nil {
			return fmt.Errorf("command %d: %w", n, err)
		}
		if err := each(env); err != nil {
			if u, ok := errors.AsType[*UnknownError](err); ok {
				u.WrittenBy = string(writer)
			}
			return err
		}
	}
	return nil
}

// chunk cuts one length-prefixed piece off b.
func chunk(b []byte) (piece, rest []byte, err error) {
	n, w := binary.Uvarint(b)
	if w <= 0 || n > uint64(len(b)-w) {
		return nil, nil, fmt.Errorf("length of a piece: %w", ErrCorrupt)
	}
	return b[w : w+int(n)], b[w+int(n):], nil
}
