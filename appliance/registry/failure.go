package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/skerryhq/skerry/appliance/access"
	"github.com/skerryhq/skerry/raft/model"
)

// The codes of the specification.
const (
	codeBlobUnknown         = "BLOB_UNKNOWN"
	codeUploadInvalid       = "BLOB_UPLOAD_INVALID"
	codeUploadUnknown       = "BLOB_UPLOAD_UNKNOWN"
	codeDigestInvalid       = "DIGEST_INVALID"
	codeManifestBlobUnknown = "MANIFEST_BLOB_UNKNOWN"
	codeManifestInvalid     = "MANIFEST_INVALID"
	codeManifestUnknown     = "MANIFEST_UNKNOWN"
	codeNameInvalid         = "NAME_INVALID"
	codeNameUnknown         = "NAME_UNKNOWN"
	codeSizeInvalid         = "SIZE_INVALID"
	codeTagInvalid          = "TAG_INVALID"
	codeUnauthorized        = "UNAUTHORIZED"
	codeDenied              = "DENIED"
	codeUnsupported         = "UNSUPPORTED"
	codeTooManyRequests     = "TOOMANYREQUESTS"
	codeUnavailable         = "UNAVAILABLE"
	codeUnknown             = "UNKNOWN"
)

// failure is a refusal in the words of the specification.
type failure struct {
	status  int
	code    string
	message string
	detail  map[string]string
	err     error // the cause, for the log
}

func (f *failure) Error() string { return f.message }
func (f *failure) Unwrap() error { return f.err }

func fail(status int, code, format string, args ...any) *failure {
	return &failure{status: status, code: code, message: fmt.Sprintf(format, args...)}
}

// about names the object in the detail of the answer.
func (f *failure) about(key, value string) *failure {
	f.detail = map[string]string{key: value}
	return f
}

// outcomes says how the state's refusals are told to clients.
var outcomes = map[string]struct {
	status int
	code   string
}{
	"blob_unknown":     {http.StatusBadRequest, codeManifestBlobUnknown}, // of a manifest; a mount looks by itself
	"size_differs":     {http.StatusBadRequest, codeManifestInvalid},
	"manifest_invalid": {http.StatusBadRequest, codeManifestInvalid},
	"manifest_unknown": {http.StatusNotFound, codeManifestUnknown},
	"manifest_in_use":  {http.StatusMethodNotAllowed, codeUnsupported},
	"blob_in_use":      {http.StatusMethodNotAllowed, codeUnsupported},
	"tag_invalid":      {http.StatusBadRequest, codeTagInvalid},
	"too_many_tags":    {http.StatusBadRequest, codeTagInvalid},
	"digest_invalid":   {http.StatusBadRequest, codeDigestInvalid},
	"name_invalid":     {http.StatusBadRequest, codeNameInvalid},
}

var kinds = map[model.Kind]struct {
	status int
	code   string
}{
	model.KindInvalid:         {http.StatusBadRequest, codeManifestInvalid},
	model.KindUnauthenticated: {http.StatusUnauthorized, codeUnauthorized},
	model.KindDenied:          {http.StatusForbidden, codeDenied},
	model.KindNotFound:        {http.StatusNotFound, codeNameUnknown},
	model.KindConflict:        {http.StatusConflict, codeUnsupported},
	model.KindStale:           {http.StatusConflict, codeUnsupported},
	model.KindTooLarge:        {http.StatusRequestEntityTooLarge, codeSizeInvalid},
	model.KindExhausted:       {http.StatusInsufficientStorage, codeDenied},
	model.KindThrottled:       {http.StatusTooManyRequests, codeTooManyRequests},
	model.KindUnavailable:     {http.StatusServiceUnavailable, codeUnavailable},
}

// failureOf gives any error the form of an answer.
func failureOf(err error) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	if e, ok := errors.AsType[*model.Error](err); ok && e.Kind != model.KindInternal {
		o, known := outcomes[e.Code]
		if !known {
			o = kinds[e.Kind]
		}
		f := fail(o.status, o.code, "%s", e.Detail)
		f.err = err
		return f
	}
	var f *failure
	switch {
	case errors.Is(err, ErrDiskFull):
		f = fail(http.StatusInsufficientStorage, codeDenied, "the disk of this registry is full; nothing was kept of this. Free some space, or ask an administrator to")
	case errors.Is(err, ErrDigest):
		f = fail(http.StatusBadRequest, codeDigestInvalid, "%v", err)
	case errors.Is(err, ErrTooLarge):
		f = fail(http.StatusRequestEntityTooLarge, codeSizeInvalid, "%v", err)
	case errors.Is(err, ErrNoBlob):
		f = fail(http.StatusNotFound, codeBlobUnknown, "%v", err)
	case errors.Is(err, errTooMany):
		f = fail(http.StatusTooManyRequests, codeTooManyRequests, "%d uploads of yours are open on this node; finish or cancel some", uploadsPerCaller)
	case errors.Is(err, errBusy):
		f = fail(http.StatusConflict, codeUploadInvalid, "another request is sending to this upload; wait until it is over")
	case errors.Is(err, errors.ErrUnsupported):
		f = fail(http.StatusMethodNotAllowed, codeUnsupported, "%v", err)
	default:
		f = fail(http.StatusInternalServerError, codeUnknown, "the registry could not do this; its log says why")
	}
	f.err = err
	return f
}

// refuse answers with an error. req is the request's scope where it has one.
func (r *Registry) refuse(w http.ResponseWriter, q *request, err error) {
	f := failureOf(err)
	req := q.Request
	if req.Context().Err() != nil && f.status >= 500 {
		r.log.Debug("client gone", "path", req.URL.Path, "err", err)
	} else if f.status == http.StatusInternalServerError {
		r.log.Error("request failed", "method", req.Method, "path", req.URL.Path, "err", err)
	}
	h := w.Header()
	if f.status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", challenge(q, err))
	}
	if t, ok := errors.AsType[*access.ThrottleError](err); ok {
		h.Set("Retry-After", strconv.Itoa(t.RetrySeconds()))
	} else if f.status == http.StatusServiceUnavailable || f.status == http.StatusTooManyRequests {
		h.Set("Retry-After", "2")
	}
	h.Set("Content-Type", "application/json")
	h.Del("Content-Length")
	ctl := http.NewResponseController(w)
	sending := req.ProtoMajor == 1 && req.ContentLength != 0 && ctl.EnableFullDuplex() == nil
	if sending {
		h.Set("Connection", "close")
	}
	type one struct {
		Code    string            `json:"code"`
		Message string            `json:"message"`
		Detail  map[string]string `json:"detail,omitempty"`
	}
	b, _ := json.Marshal(map[string]any{"errors": []one{{f.code, f.message, f.detail}}}) // strings only
	w.WriteHeader(f.status)
	if req.Method != http.MethodHead {
		_, _ = w.Write(append(b, '\n'))
	}
	if sending {
		// A client that still sends would lose the answer with a connection that is
		// closed under it.
		_ = ctl.Flush()
		_ = ctl.SetReadDeadline(time.Now().Add(lingerTime))
		_, _ = io.CopyN(io.Discard, req.Body, lingerBytes)
	}
}

// How long and how much a client that was refused may still send.
const (
	lingerTime  = 10 * time.Second
	lingerBytes = 1 << 30
)
