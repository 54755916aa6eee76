package noderuntime

import (
	"context"
	"errors"
	"iter"
	"strings"

	"github.com/skerryhq/skerry/appliance/api"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/runtime/logs"
)

// ReadLog gives the lines of one container of this node. With Follow it goes on
// until the log is closed, which is when the task ends. A container without a log
// has no lines.
func (r *Local) ReadLog(ctx context.Context, c *model.Container, q api.LogQuery) iter.Seq2[api.LogLine, error] {
	o := logs.Options{Follow: q.Follow, Since: q.Since, Until: q.Until, Tail: q.Tail, Streams: streams(q)}
	switch {
	case q.Tail < 0:
		o.Tail = 0
	case q.Tail == 0:
		o.Tail = -1
	}
	return func(yield func(api.LogLine, error) bool) {
		for rec, err := range r.cfg.Logs.Read(ctx, c.ID, o) {
			if errors.Is(err, logs.ErrNotFound) {
				return // it has not started yet, or its log is gone with it
			}
			if err != nil {
				if ctx.Err() != nil {
					err = context.Cause(ctx)
				}
				yield(api.LogLine{}, err)
				return
			}
			if q.Search != "" && !strings.Contains(string(rec.Line), q.Search) {
				continue
			}
			if !yield(api.LogLine{
				Time: rec.Time, Stream: api.LogStream(rec.Stream.String()), Partial: rec.Partial,
				Container: c.Name, ContainerID: c.ID, Line: strings.ToValidUTF8(string(rec.Line), "\uFFFD"),
			}, nil) {
				return
			}
		}
	}
}

func streams(q api.LogQuery) []logs.Stream {
	switch {
	case q.Stdout == q.Stderr:
		return nil
	case q.Stdout:
		return []logs.Stream{logs.Stdout}
	default:
		return []logs.Stream{logs.Stderr}
	}
}
