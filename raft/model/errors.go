package model

import (
	"errors"
	"fmt"
)

// Kind is the class of an error. Kinds are append-only: they cross the wire.
type Kind uint8

// The kinds and the HTTP status that the API gives them.
const (
	KindInternal        Kind = iota // 500: a fault of ours; the user sees only the request id
	KindInvalid                     // 400: the request is wrong; the message says what and where
	KindUnauthenticated             // 401
	KindDenied                      // 403
	KindNotFound                    // 404: also for another tenant's objects
	KindConflict                    // 409: exists, in use, port taken
	KindStale                       // 412: If-Match does not fit
	KindTooLarge                    // 413
	KindMediaType                   // 415
	KindExhausted                   // 422: quota, pool, disk
	KindThrottled                   // 429
	KindUnavailable                 // 503: no leader, engine away
)

// Error is an error that a person will read. Its message is one sentence that
// says what was wrong, where, and what to do.
type Error struct {
	Kind   Kind
	Code   string // stable word for programs, e.g. "port_taken"
	Field  string // where in the request, e.g. "spec.ports[0].hostPort"; may be empty
	Detail string // the sentence
	Err    error  // cause, for the log; may be nil
}

// Error gives the sentence, behind the field it is about.
func (e *Error) Error() string {
	s := e.Detail
	if e.Field != "" {
		s = e.Field + ": " + s
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error of a kind with a code and a sentence.
func Errorf(k Kind, code, format string, args ...any) *Error {
	return &Error{Kind: k, Code: code, Detail: fmt.Sprintf(format, args...)}
}

// At gives a copy of e that names the field it is about.
func (e *Error) At(field string) *Error {
	c := *e
	c.Field = field
	return &c
}

// KindOf finds the kind of err; KindInternal if it bears none.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return KindInternal
}

// CodeOf finds the code of err; empty if it bears none.
func CodeOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ""
}
