package api

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// maxJSON is the largest JSON body in bytes; a compose text with its files fits.
const maxJSON = 1 << 20

// decode reads a JSON body into v, strictly: the content type, the size, every
// field's name and type. Errors: "content_type_wrong" (KindMediaType),
// "body_too_large" (KindTooLarge), "json_invalid", "field_unknown",
// "field_invalid", "body_missing".
func decode(c *gin.Context, v any) error {
	if err := contentType(c.Request, "application/json"); err != nil {
		return err
	}
	body, err := readBody(c)
	if err != nil {
		return err
	}
	return parse(body, v)
}

// decodeOptional is decode where an empty body means v as it is.
func decodeOptional(c *gin.Context, v any) error {
	if c.Request.ContentLength == 0 {
		return nil
	}
	return decode(c, v)
}

func contentType(r *http.Request, want ...string) error {
	given := r.Header.Get("Content-Type")
	if given == want[0] {
		return nil
	}
	have, _, err := mime.ParseMediaType(given)
	if err == nil {
		for _, w := range want {
			if have == w {
				return nil
			}
		}
	}
	if have == "" {
		have = "nothing"
	}
	return model.Errorf(model.KindMediaType, "content_type_wrong", "the body's content type is %s; send %s", have, strings.Join(want, " or ")).At("Content-Type")
}

func tooLarge(c *gin.Context) error {
	c.Header("Connection", "close") // the rest of the body is not worth reading
	return model.Errorf(model.KindTooLarge, "body_too_large", "the body is larger than %d KiB; send less", maxJSON>>10)
}

func readBody(c *gin.Context) ([]byte, error) {
	n := c.Request.ContentLength
	if n > maxJSON {
		return nil, tooLarge(c)
	}
	var body []byte
	var err error
	if n >= 0 {
		body = make([]byte, n)
		_, err = io.ReadFull(c.Request.Body, body)
	} else {
		body, err = io.ReadAll(io.LimitReader(c.Request.Body, maxJSON+1))
	}
	switch {
	case err != nil:
		return nil, &model.Error{Kind: model.KindInvalid, Code: "body_cut", Detail: "the body ended before its end; send it again", Err: err}
	case len(body) > maxJSON:
		return nil, tooLarge(c)
	case len(body) == 0:
		return nil, invalid("body_missing", "the request has no body; send a JSON object")
	}
	return body, nil
}

// expect reads If-Match: the version that a write is based on.
func expect(ifMatch string) (uint64, error) {
	h := strings.TrimSpace(ifMatch)
	if h == "" || h == "*" {
		return command.AnyVersion, nil
	}
	v, err := strconv.ParseUint(strings.Trim(strings.TrimPrefix(h, "W/"), `"`), 10, 64)
	if err != nil || v == 0 {
		return 0, invalid("if_match_invalid", "If-Match is %q; send the object's version in quotes", h).At("If-Match")
	}
	return v, nil
}

// checkVersion is If-Match for changes whose command has no version of its own.
func checkVersion(expected, have uint64) error {
	if expected != command.AnyVersion && expected != have {
		return model.Errorf(model.KindStale, "stale_version", "it has changed since version %d (now %d); read it again and repeat the change", expected, have)
	}
	return nil
}

// ok answers with v as JSON.
func (s *Server) ok(c *gin.Context, status int, v any) {
	s.stamp(c)
	body, err := json.Marshal(v)
	if err != nil {
		s.fail(c, err)
		return
	}
	c.Data(status, "application/json", body)
}

// object is ok with the object's version as the ETag.
func (s *Server) object(c *gin.Context, status int, version uint64, v any) {
	c.Header("ETag", `"`+strconv.FormatUint(version, 10)+`"`)
	s.ok(c, status, v)
}

// done answers without a body.
func (s *Server) done(c *gin.Context, status int) {
	s.stamp(c)
	c.Status(status)
	c.Writer.WriteHeaderNow()
}

var noStore = []string{"no-store"} // shared by all replies: nobody changes a header in place

func (s *Server) stamp(c *gin.Context) {
	h := c.Writer.Header()
	h[headerIndex] = []string{strconv.FormatUint(s.cluster.AppliedIndex(), 10)}
	if id := s.clusterID(); id != "" {
		h[headerCluster] = []string{id}
	}
	h["Cache-Control"] = noStore
}

// reply is ok or fail.
func (s *Server) reply(c *gin.Context, status int, v any, err error) {
	if err != nil {
		s.fail(c, err)
		return
	}
	s.ok(c, status, v)
}

// replyDone is done or fail.
func (s *Server) replyDone(c *gin.Context, status int, err error) {
	if err != nil {
		s.fail(c, err)
		return
	}
	s.done(c, status)
}

// page turns the parameters of a listing into the state's.
func page(limit int, cursor string) (state.Page, error) {
	if limit < 0 || limit > state.MaxLimit {
		return state.Page{}, invalid("limit_invalid", "the limit is %d; use 1 to %d", limit, state.MaxLimit).At("limit")
	}
	return state.Page{Limit: limit, Cursor: cursor}, nil
}

// values copies a listing's objects; an empty listing is [], not null.
func values[T any](items []*T) []T {
	out := make([]T, len(items))
	for i, o := range items {
		out[i] = *o
	}
	return out
}

// paged cuts a page out of a slice; the cursor is the number of the next item.
func paged[T any](all []T, limit int, cursor string) ([]T, string, error) {
	p, err := page(limit, cursor)
	if err != nil {
		return nil, "", err
	}
	begin := 0
	if p.Cursor != "" {
		if begin, err = strconv.Atoi(p.Cursor); err != nil || begin < 0 {
			return nil, "", invalid("cursor_invalid", "this cursor did not come from a listing; begin again without one").At("cursor")
		}
	}
	begin = min(begin, len(all))
	n := p.Limit
	if n == 0 {
		n = state.DefaultLimit
	}
	end := min(begin+n, len(all))
	next := ""
	if end < len(all) {
		next = strconv.Itoa(end)
	}
	return append([]T{}, all[begin:end]...), next, nil
}

// moment reads a time of a query: RFC 3339, Unix seconds, or a duration back
// from now. Empty is the zero time.
func moment(field, s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, nil
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil && f >= 0 && f < 1e11 {
		return time.UnixMicro(int64(f * 1e6)), nil
	}
	return time.Time{}, invalid("time_invalid", "%q is no time; use 2006-01-02T15:04:05Z, Unix seconds or a duration such as 10m", s).At(field)
}

// badParameter turns what the generated code says about a parameter into a
// sentence.
func badParameter(err error) error {
	if e, ok := errors.AsType[*model.Error](err); ok {
		return e
	}
	return &model.Error{Kind: model.KindInvalid, Code: "parameter_invalid", Detail: lowerFirst(err.Error())}
}

func lowerFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}
