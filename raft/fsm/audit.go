package fsm

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/skerryhq/skerry/raft/command"
	"github.com/skerryhq/skerry/raft/model"
	"github.com/skerryhq/skerry/raft/state"
)

// AuditConfig bounds the record of what was done. Whole files go, the oldest
// first.
type AuditConfig struct {
	MaxBytes       int64         // of what people and programs did; 0 means 1 GiB
	MaxSystemBytes int64         // of what our own loops did; 0 means 128 MiB
	MaxAge         time.Duration // 0 means 400 days
	FileBytes      int64         // size at which the next file begins; 0 means 8 MiB
}

// AuditRecord is one command that was applied or refused, or one entry of an
// AuditOnly.
type AuditRecord struct {
	Index   uint64        `json:"index"` // raft index; with Position the record's identity
	Pos     int           `json:"position"`
	Origin  model.Origin  `json:"origin"`
	Action  string        `json:"action"` // name of the command, or AuditEntry.Action
	Objects []command.Ref `json:"objects,omitempty"`
	Code    string        `json:"code,omitempty"` // why it was refused; empty means done
	Detail  string        `json:"detail,omitempty"`
}

// System says whether one of our own loops did it.
func (r *AuditRecord) System() bool { return strings.HasPrefix(r.Origin.Actor, "system:") }

func (r *AuditRecord) at() position { return position{r.Index, r.Pos} }

// position orders records.
type position struct {
	index uint64
	pos   int
}

func (p position) compare(q position) int {
	return cmp.Or(cmp.Compare(p.index, q.index), cmp.Compare(p.pos, q.pos))
}

// Audit is the record of every applied command in append-only files, apart from
// raft's log, so that compaction does not erase it. What people did and what
// our loops did are kept in series of their own, so that the many small acts of
// the machinery never push out the others.
//
// Appending an entry again (replay after a start) is free. One goroutine
// appends; any number reads.
type Audit struct {
	people, system *series
}

// OpenAudit opens the record in a directory, which is made if it is missing. A
// torn last line, as a crash leaves it, is cut off: replay writes it again.
func OpenAudit(dir string, cfg AuditConfig) (*Audit, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the audit directory: %w", err)
	}
	age := cmp.Or(cfg.MaxAge, 400*24*time.Hour)
	file := cmp.Or(cfg.FileBytes, 8<<20)
	people, err := openSeries(dir, "people", cmp.Or(cfg.MaxBytes, 1<<30), file, age)
	if err != nil {
		return nil, err
	}
	system, err := openSeries(dir, "system", cmp.Or(cfg.MaxSystemBytes, 128<<20), file, age)
	if err != nil {
		return nil, errors.Join(err, people.close())
	}
	return &Audit{people: people, system: system}, nil
}

// append records applied entries.
func (a *Audit) append(entries []state.Entry, outcomes [][]command.Outcome) error {
	for i, e := range entries {
		pos := 0
		for j, c := range e.Commands {
			for _, r := range records(e.Index, pos, c, outcomes[i][j]) {
				pos++
				s := a.people
				if r.System() {
					s = a.system
				}
				if err := s.add(&r); err != nil {
					return err
				}
			}
		}
	}
	return errors.Join(a.people.flush(), a.system.flush())
}

// records are what one command leaves in the audit.
func records(index uint64, pos int, c command.Command, o command.Outcome) []AuditRecord {
	if only, ok := c.(*command.AuditOnly); ok {
		out := make([]AuditRecord, len(only.Entries))
		for i, e := range only.Entries {
			out[i] = AuditRecord{Index: index, Pos: pos + i, Origin: e.Origin, Action: e.Action, Objects: e.Objects, Code: e.Code, Detail: e.Detail}
		}
		return out
	}
	r := AuditRecord{Index: index, Pos: pos, Origin: *c.From(), Action: c.Type().Name(), Objects: c.Refs()}
	if o.Err != nil {
		r.Code, r.Detail = o.Err.Code, o.Err.Detail
	}
	return []AuditRecord{r}
}

// Sync puts everything that was appended onto the disk.
func (a *Audit) Sync() error { return errors.Join(a.people.sync(), a.system.sync()) }

// Close syncs and closes the files.
func (a *Audit) Close() error { return errors.Join(a.people.close(), a.system.close()) }

// AuditQuery asks for records, the newest first. Empty fields ask nothing.
type AuditQuery struct {
	Actor    string
	UserID   string
	TenantID string
	Action   string // whole, or a prefix that ends with a dot: "app."
	ObjectID string
	Refused  bool      // only what was refused
	System   bool      // also what our own loops did
	Since    time.Time // inclusive
	Until    time.Time // exclusive
	Limit    int       // 0 means 100; at most 1000
	Cursor   string    // AuditPage.Next of the page before
}

// AuditPage is a part of the record.
type AuditPage struct {
	Records []AuditRecord
	Next    string // cursor of the next page; empty means that this is the last
}

func (q *AuditQuery) wants(r *AuditRecord) bool {
	switch {
	case q.Actor != "" && r.Origin.Actor != q.Actor,
		q.UserID != "" && r.Origin.UserID != q.UserID,
		q.TenantID != "" && r.Origin.TenantID != q.TenantID,
		q.Action != "" && r.Action != q.Action && !(strings.HasSuffix(q.Action, ".") && strings.HasPrefix(r.Action, q.Action)),
		q.Refused && r.Code == "",
		!q.Since.IsZero() && r.Origin.Time.Before(q.Since),
		!q.Until.IsZero() && !r.Origin.Time.Before(q.Until):
		return false
	}
	if q.ObjectID == "" {
		return true
	}
	for _, o := range r.Objects {
		if o.ID == q.ObjectID {
			return true
		}
	}
	return false
}

// Read gives a page of records. Errors: "cursor_invalid".
func (a *Audit) Read(q AuditQuery) (AuditPage, error) {
	before := position{index: 1<<64 - 1}
	if q.Cursor != "" {
		if n, err := fmt.Sscanf(q.Cursor, "%d-%d", &before.index, &before.pos); n != 2 || err != nil {
			return AuditPage{}, model.Errorf(model.KindInvalid, "cursor_invalid", "this cursor did not come from the audit; begin again without one").At("cursor")
		}
	}
	limit := q.Limit
	if limit <= 0 {
		limit = 100
	}
	limit = min(limit, 1000)
	from := []*backward{{s: a.people, before: before}}
	if q.System {
		from = append(from, &backward{s: a.system, before: before})
	}
	var page AuditPage
	for {
		var newest *backward
		for _, b := range from {
			if err := b.load(&q); err != nil {
				return AuditPage{}, err
			}
			if b.head != nil && (newest == nil || b.head.at().compare(newest.head.at()) > 0) {
				newest = b
			}
		}
		if newest == nil {
			return page, nil
		}
		if len(page.Records) == limit {
			last := page.Records[limit-1]
			page.Next = fmt.Sprintf("%d-%d", last.Index, last.Pos)
			return page, nil
		}
		page.Records = append(page.Records, *newest.head)
		newest.head = nil
	}
}

func encodeRecord(r *AuditRecord) ([]byte, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode audit record: %w", err)
	}
	return append(b, '\n'), nil
}
