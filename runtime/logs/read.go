package logs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"slices"
	"time"

	"github.com/skerryhq/skerry/runtime/logs/internal/wire"
)

// Options choose what Read gives. The zero value gives all that is kept and ends.
type Options struct {
	Follow     bool      // go on with what comes, until the log is closed or Until has passed
	Since      time.Time // records of this time or later; zero: from the beginning
	Until      time.Time // records before this time; zero: to the end
	Tail       int       // so many lines from the end; 0: all; negative: none of those that are there
	Streams    []Stream  // empty: both
	Timestamps bool      // every line begins with its time as in the file and a space
}

// followTick bounds how late a follower notices what the kernel did not tell it.
const followTick = time.Second

// filter compares without parsing times: stamps have one width and sort as bytes.
type filter struct {
	since, until string
	streams      []Stream
}

func newFilter(o Options) filter {
	f := filter{streams: o.Streams}
	if !o.Since.IsZero() {
		f.since = o.Since.UTC().Format(stampLayout)
	}
	if !o.Until.IsZero() {
		f.until = o.Until.UTC().Format(stampLayout)
	}
	return f
}

func (f filter) match(h recordHead) bool {
	if f.since != "" && string(h.stamp) < f.since || f.until != "" && string(h.stamp) >= f.until {
		return false
	}
	return len(f.streams) == 0 || slices.Contains(f.streams, h.stream)
}

// Read gives the records of a container's log, oldest first. It works without the daemon and while files rotate; a
// reader that is overtaken by rotation goes on with the oldest file that is left. Stamps follow the host's clock, so
// after the clock jumped back Since and Until judge each record by its own stamp.
//
// The sequence ends after the first error: ErrNotFound when the container has no log, or the context's cause.
func (c *Client) Read(ctx context.Context, id string, o Options) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		r := &reader{client: c, id: id, dir: c.layout.Log(id), o: o, filter: newFilter(o), yield: yield, buf: make([]byte, block)}
		if err := r.run(ctx); err != nil && !errors.Is(err, errEnough) {
			yield(Record{}, fmt.Errorf("read log of %s: %w", id, err))
		}
	}
}

// errEnough ends a reader whose consumer wants no more.
var errEnough = errors.New("consumer has enough")

type reader struct {
	client *Client
	id     string
	dir    string
	o      Options
	filter filter
	yield  func(Record, error) bool
	buf    []byte
	text   []byte  // a line with its stamp
	inside [3]bool // by stream: the last record was partial
}

func (r *reader) run(ctx context.Context) error {
	if err := wire.CheckID(r.id); err != nil {
		return err
	}
	var sub *subscription
	session := r.session()
	if r.o.Follow {
		// Before anything is looked at, so that nothing can happen in between.
		sub = r.client.watch.subscribe(r.dir, r.client.layout.Pipe(r.id))
		defer sub.cancel()
	}
	if _, err := os.Stat(r.dir); errors.Is(err, fs.ErrNotExist) && session == nil {
		return ErrNotFound
	}
	at, err := r.begin()
	if err != nil {
		return err
	}
	for {
		next, err := r.file(ctx, at, sub, session)
		if err != nil || next == nil {
			return err
		}
		at = *next
	}
}

// session identifies one opening of the log; nil means that it is not open.
func (r *reader) session() fs.FileInfo {
	info, err := os.Stat(r.client.layout.Meta(r.id))
	if err != nil {
		return nil
	}
	return info
}

func (r *reader) sameSession(a fs.FileInfo) bool {
	b := r.session()
	return a != nil && b != nil && os.SameFile(a, b) && a.ModTime().Equal(b.ModTime())
}

// begin finds where to start.
func (r *reader) begin() (place, error) {
	switch {
	case r.o.Tail < 0:
		return locate(r.dir, func(recordHead) bool { return false })
	case r.o.Tail > 0:
		lines, seen := 0, [3]bool{}
		return locate(r.dir, func(h recordHead) bool {
			if !r.filter.match(h) {
				return true
			}
			// A piece belongs to the line that ends after it, which the walk back has met already.
			if h.tag != tagPartial || !seen[h.stream] {
				if lines++; lines > r.o.Tail {
					return false
				}
			}
			seen[h.stream] = true
			return true
		})
	default:
		seqs, err := Sequence(r.dir)
		if err != nil || len(seqs) == 0 {
			return place{}, err
		}
		return place{seq: seqs[0]}, nil
	}
}

// file gives the records of one file from at on and returns the place where to go on, or nil at the end.
func (r *reader) file(ctx context.Context, at place, sub *subscription, session fs.FileInfo) (*place, error) {
	c, err := openCursor(r.dir, at, r.buf)
	for errors.Is(err, fs.ErrNotExist) {
		next, found, listErr := r.after(at.seq, true)
		if listErr != nil {
			return nil, listErr
		}
		if found {
			return &next, nil // it rotated away before it could be opened
		}
		if !r.o.Follow || !r.sameSession(session) {
			return nil, nil
		}
		if err := r.pause(ctx, sub); err != nil { // nothing could be written yet
			return nil, err
		}
		c, err = openCursor(r.dir, at, r.buf)
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.close() }()
	for {
		// The questions come before the reading: whatever was written before the answer is read after it.
		live := r.o.Follow && r.sameSession(session)
		next, more, err := r.after(at.seq, false)
		if err != nil {
			return nil, err
		}
		if err := r.drain(ctx, c); err != nil {
			return nil, err
		}
		switch {
		case more:
			return &next, nil
		case !live:
			return nil, nil
		}
		if err := r.pause(ctx, sub); err != nil {
			return nil, err
		}
	}
}

// after returns the first file whose number is greater than seq, or not smaller with orSame.
func (r *reader) after(seq uint64, orSame bool) (place, bool, error) {
	seqs, err := Sequence(r.dir)
	if err != nil {
		return place{}, false, err
	}
	i, found := slices.BinarySearch(seqs, seq)
	if found && !orSame {
		i++
	}
	if i == len(seqs) {
		return place{}, false, nil
	}
	return place{seq: seqs[i]}, true, nil
}

// drain gives all whole records that are there.
func (r *reader) drain(ctx context.Context, c *cursor) error {
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		line, ok, err := c.next()
		if err != nil || !ok {
			return err
		}
		h, err := parseHead(line)
		if err != nil || !r.filter.match(h) {
			continue // a damaged line says nothing
		}
		rec, err := h.record()
		if err != nil {
			continue
		}
		if r.o.Timestamps && !r.inside[rec.Stream] {
			r.text = append(append(append(r.text[:0], h.stamp...), ' '), rec.Line...)
			rec.Line = r.text
		}
		r.inside[rec.Stream] = rec.Partial
		if !r.yield(rec, nil) {
			return errEnough
		}
	}
}

// pause waits for a change, for the tick or for the end of the following.
func (r *reader) pause(ctx context.Context, sub *subscription) error {
	wait := followTick
	if !r.o.Until.IsZero() {
		left := time.Until(r.o.Until)
		if left <= 0 {
			return errEnough
		}
		wait = min(wait, left)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-sub.changed:
	case <-timer.C:
	}
	return nil
}
