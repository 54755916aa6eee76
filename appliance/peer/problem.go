package peer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/node"
)

// Problem is a *model.Error on its way between nodes, as a problem document.
type Problem struct {
	Title  string     `json:"title,omitempty"`
	Status int        `json:"status,omitempty"`
	Kind   model.Kind `json:"kind"`
	Code   string     `json:"code,omitempty"`
	Field  string     `json:"field,omitempty"`
	Detail string     `json:"detail"`
}

const maxProblem = 64 << 10

var statusOf = map[model.Kind]int{
	model.KindInternal:        http.StatusInternalServerError,
	model.KindInvalid:         http.StatusBadRequest,
	model.KindUnauthenticated: http.StatusUnauthorized,
	model.KindDenied:          http.StatusForbidden,
	model.KindNotFound:        http.StatusNotFound,
	model.KindConflict:        http.StatusConflict,
	model.KindStale:           http.StatusPreconditionFailed,
	model.KindTooLarge:        http.StatusRequestEntityTooLarge,
	model.KindMediaType:       http.StatusUnsupportedMediaType,
	model.KindExhausted:       http.StatusUnprocessableEntity,
	model.KindThrottled:       http.StatusTooManyRequests,
	model.KindUnavailable:     http.StatusServiceUnavailable,
}

// ProblemOf describes err for another node. Nodes trust each other with the text
// of faults; nobody else sees it.
func ProblemOf(err error) Problem {
	e, ok := errors.AsType[*model.Error](err)
	if !ok {
		return Problem{Kind: model.KindInternal, Code: "internal", Detail: err.Error()}
	}
	p := Problem{Kind: e.Kind, Code: e.Code, Field: e.Field, Detail: e.Detail}
	return p
}

// Err is the error that the problem describes.
func (p Problem) Err() *model.Error {
	e := &model.Error{Kind: p.Kind, Code: p.Code, Field: p.Field, Detail: p.Detail}
	if p.Code == "outcome_unknown" {
		e.Err = node.ErrOutcomeUnknown
	}
	return e
}

// WriteError answers a request of another node with err, which ReadError gives
// there again: kind, code, field and sentence survive.
func WriteError(w http.ResponseWriter, err error) {
	p := ProblemOf(err)
	if p.Status = statusOf[p.Kind]; p.Status == 0 {
		p.Status = http.StatusInternalServerError
	}
	p.Title = http.StatusText(p.Status)
	body, merr := json.Marshal(p)
	if merr != nil {
		body = []byte(`{"kind":0,"code":"internal","detail":"the error cannot be told"}`)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // whoever asked is gone
}

// ReadError gives the error of a reply: nil below status 400, else a
// *model.Error. It reads the body of a refusal and closes it.
func ReadError(resp *http.Response) error {
	if resp.StatusCode < http.StatusBadRequest {
		return nil
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	if err != nil {
		return fmt.Errorf("read the refusal: %w", err)
	}
	var p Problem
	if json.Unmarshal(body, &p) != nil || p.Detail == "" {
		return model.Errorf(model.KindInternal, "peer_failed", "the other node answered with status %d", resp.StatusCode)
	}
	return p.Err()
}
