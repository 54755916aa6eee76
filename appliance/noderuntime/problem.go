package noderuntime

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/skerryhq/skerry/raft/model"
)

// problem is an error between nodes: what a person will read, without its cause.
type problem struct {
	Kind   model.Kind `json:"kind"`
	Code   string     `json:"code,omitempty"`
	Detail string     `json:"detail"`
	Field  string     `json:"field,omitempty"`
}

func problemOf(err error) *problem {
	if e, ok := errors.AsType[*model.Error](err); ok {
		return &problem{Kind: e.Kind, Code: e.Code, Detail: e.Detail, Field: e.Field}
	}
	return &problem{Kind: model.KindInternal, Detail: err.Error()}
}

// err is the error again; one that no person should read stays one.
func (p *problem) err() error {
	if p.Kind == model.KindInternal && p.Code == "" {
		return fmt.Errorf("another node: %s", p.Detail)
	}
	return &model.Error{Kind: p.Kind, Code: p.Code, Detail: p.Detail, Field: p.Field}
}

// mediaProblem is the type of a body that is a problem.
const mediaProblem = "application/problem+json"

// WriteProblem answers another node with an error.
func WriteProblem(w http.ResponseWriter, err error) {
	b, merr := json.Marshal(problemOf(err))
	if merr != nil {
		b = []byte(`{"detail":"error"}`)
	}
	w.Header().Set("Content-Type", mediaProblem)
	w.WriteHeader(statusOf(model.KindOf(err)))
	_, _ = w.Write(b)
}

func statusOf(k model.Kind) int {
	switch k {
	case model.KindInvalid:
		return http.StatusBadRequest
	case model.KindUnauthenticated, model.KindDenied:
		return http.StatusForbidden
	case model.KindNotFound:
		return http.StatusNotFound
	case model.KindConflict, model.KindStale:
		return http.StatusConflict
	case model.KindExhausted:
		return http.StatusUnprocessableEntity
	case model.KindUnavailable:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

// ReadProblem gives the error that another node answered with, and closes the
// body.
func ReadProblem(resp *http.Response) error {
	defer resp.Body.Close()
	var p problem
	b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err == nil && resp.Header.Get("Content-Type") == mediaProblem {
		err = json.Unmarshal(b, &p)
	}
	if err != nil || p.Detail == "" {
		return fmt.Errorf("another node answered %s", resp.Status)
	}
	return p.err()
}
