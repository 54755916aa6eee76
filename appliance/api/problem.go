package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/raft/model"
)

// statusOf is the one table from kinds of errors to HTTP.
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

// unavailableRetrySeconds is what clients are told to wait when there is no
// leader or no engine: an election takes less.
const unavailableRetrySeconds = 2

// problemFor makes the document that a client sees. What is not a *model.Error
// is a fault of ours: the client gets only the request id.
func problemFor(err error, requestID string) Problem {
	p := Problem{Type: "about:blank", RequestID: requestID, Code: "internal"}
	e, ok := errors.AsType[*model.Error](err)
	switch {
	case ok && e.Kind != model.KindInternal:
		p.Status, p.Code, p.Detail, p.Field = statusOf[e.Kind], e.Code, e.Detail, e.Field
	case errors.Is(err, context.DeadlineExceeded):
		p.Status, p.Code = http.StatusServiceUnavailable, "timeout"
		p.Detail = "this took longer than the time it has; look whether it was done before you try again"
	case errors.Is(err, context.Canceled):
		p.Status, p.Code, p.Detail = http.StatusServiceUnavailable, "canceled", "the request ended before it was done"
	default:
		p.Status = http.StatusInternalServerError
		p.Detail = "something went wrong inside Skerry; the daemon's log has it under request " + requestID
	}
	if p.Status == 0 {
		p.Status = http.StatusInternalServerError
	}
	if t, ok := errors.AsType[*access.ThrottleError](err); ok {
		p.RetryAfterSeconds = t.RetrySeconds()
	} else if p.Status == http.StatusServiceUnavailable {
		p.RetryAfterSeconds = unavailableRetrySeconds
	}
	if c, ok := errors.AsType[*ComposeError](err); ok {
		p.Problems = c.Problems
	}
	p.Title = http.StatusText(p.Status)
	return p
}

// fail answers with the problem that err is, and remembers err for the access
// log. A reply that has begun is left as it is.
func (s *Server) fail(c *gin.Context, err error) {
	_ = c.Error(err)
	p := problemFor(err, requestID(c))
	if p.Status == http.StatusInternalServerError {
		s.log.ErrorContext(c.Request.Context(), "request failed", slog.String("request_id", p.RequestID),
			slog.String("operation", operationID(c)), slog.Any("err", err))
	}
	c.Abort()
	if c.Writer.Written() {
		return
	}
	if p.RetryAfterSeconds > 0 {
		c.Header("Retry-After", strconv.Itoa(p.RetryAfterSeconds))
	}
	if p.Status == http.StatusUnauthorized {
		c.Header("WWW-Authenticate", `Bearer realm="skerry"`)
	}
	body, err := json.Marshal(p)
	if err != nil {
		body = []byte(`{"type":"about:blank","title":"Internal Server Error","status":500,"code":"internal","detail":"","requestId":""}`)
	}
	c.Data(p.Status, "application/problem+json", body)
}

// problem is the model.Error that a refused compose text is.
func (e *ComposeError) problem() *model.Error {
	if len(e.Problems) == 0 {
		return model.Errorf(model.KindInvalid, "compose_invalid", "this is no compose file")
	}
	first := e.Problems[0]
	place := ""
	if first.Line > 0 {
		place = fmt.Sprintf("line %d, column %d: ", first.Line, first.Column)
	}
	more := ""
	if n := len(e.Problems) - 1; n > 0 {
		more = fmt.Sprintf(" (and %d more)", n)
	}
	return model.Errorf(model.KindInvalid, "compose_invalid", "%s%s%s", place, first.Message, more).At(first.Path)
}

// invalid is a wrong request.
func invalid(code, format string, args ...any) *model.Error {
	return model.Errorf(model.KindInvalid, code, format, args...)
}

// notFound is the answer for what does not exist or belongs to a tenant that
// the caller has no role in.
func notFound(word, ref string) *model.Error {
	return model.Errorf(model.KindNotFound, "not_found", "there is no %s %q here", word, ref)
}
