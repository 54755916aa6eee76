package fsm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxPending bounds what a series holds in memory while its disk refuses
// writes. Nothing is lost by it: no snapshot is written meanwhile, so the log
// still has what a restart needs to write it again.
const maxPending = 16 << 20

// series is one row of files, NAME-INDEX.jsonl, each named after the index of
// its first record.
type series struct {
	dir, name string
	maxBytes  int64
	fileBytes int64
	maxAge    time.Duration

	mu      sync.Mutex
	files   []segment // guarded by mu; oldest first; the last one grows
	file    *os.File  // guarded by mu; of the last segment; nil if there is none
	last    position  // guarded by mu; newest record that was added
	pending []byte    // guarded by mu; added, not yet in the file
	newest  time.Time // guarded by mu; of the newest record
}

// segment is one file.
type segment struct {
	path string
	size int64     // of whole lines
	last time.Time // of its newest record
}

func openSeries(dir, name string, maxBytes, fileBytes int64, maxAge time.Duration) (*series, error) {
	s := &series{dir: dir, name: name, maxBytes: maxBytes, fileBytes: fileBytes, maxAge: maxAge}
	paths, err := filepath.Glob(filepath.Join(dir, name+"-*.jsonl"))
	if err != nil {
		return nil, fmt.Errorf("list the audit: %w", err)
	}
	slices.Sort(paths) // the numbers in the names have a fixed width
	for _, p := range paths {
		seg, last, err := openSegment(p)
		if err != nil {
			return nil, err
		}
		s.files = append(s.files, seg)
		if last != nil {
			s.last, s.newest = last.at(), last.Origin.Time
		}
	}
	if len(s.files) == 0 {
		return s, nil
	}
	tail := s.files[len(s.files)-1]
	f, err := os.OpenFile(tail.path, os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the audit: %w", err)
	}
	if err := f.Truncate(tail.size); err != nil {
		return nil, errors.Join(fmt.Errorf("cut a torn line off %s: %w", tail.path, err), f.Close())
	}
	s.file = f
	return s, nil
}

// openSegment measures a file and finds its last whole record.
func openSegment(path string) (segment, *AuditRecord, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return segment{}, nil, fmt.Errorf("read the audit: %w", err)
	}
	b = b[:bytes.LastIndexByte(b, '\n')+1]
	for len(b) > 0 {
		start := bytes.LastIndexByte(b[:len(b)-1], '\n') + 1
		var r AuditRecord
		if json.Unmarshal(b[start:], &r) == nil {
			return segment{path: path, size: int64(len(b)), last: r.Origin.Time}, &r, nil
		}
		b = b[:start] // a crash of the host may leave a line of zeros
	}
	return segment{path: path}, nil, nil
}

// add takes a record unless it is there already.
func (s *series) add(r *AuditRecord) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.at().compare(s.last) <= 0 {
		return nil
	}
	b, err := encodeRecord(r)
	if err != nil {
		return err
	}
	if s.file == nil || s.files[len(s.files)-1].size+int64(len(s.pending)) >= s.fileBytes {
		if err := s.rotate(r); err != nil && len(s.pending) > maxPending {
			return err
		}
	}
	s.pending = append(s.pending, b...)
	s.last, s.newest = r.at(), r.Origin.Time
	return nil
}

// flush writes what is pending. A disk that refuses is tried again next time,
// until too much is waiting.
func (s *series) flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.write(); err != nil && len(s.pending) > maxPending {
		return err
	}
	return nil
}

// write puts pending records into the file; s.mu is held.
func (s *series) write() error {
	if len(s.pending) == 0 {
		return nil
	}
	if s.file == nil {
		return fmt.Errorf("the audit %s has no file", s.name)
	}
	tail := &s.files[len(s.files)-1]
	if _, err := s.file.WriteAt(s.pending, tail.size); err != nil {
		return fmt.Errorf("write %s: %w", tail.path, err)
	}
	tail.size += int64(len(s.pending))
	tail.last = s.newest
	s.pending = s.pending[:0]
	return nil
}

// rotate begins a new file with r as its first record and drops what is too
// much or too old; s.mu is held.
func (s *series) rotate(r *AuditRecord) error {
	if s.file != nil {
		if err := errors.Join(s.write(), s.file.Sync()); err != nil {
			return err
		}
	}
	path := filepath.Join(s.dir, fmt.Sprintf("%s-%020d-%06d.jsonl", s.name, r.Index, r.Pos))
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("begin a file of the audit: %w", err)
	}
	if s.file != nil {
		if err := s.file.Close(); err != nil {
			return errors.Join(fmt.Errorf("close the audit: %w", err), f.Close())
		}
	}
	s.file = f
	s.files = append(s.files, segment{path: path, last: r.Origin.Time})
	return errors.Join(s.drop(r.Origin.Time), syncDir(s.dir))
}

// drop deletes files beyond the bounds, never the last one; s.mu is held.
func (s *series) drop(now time.Time) error {
	var total int64
	for _, f := range s.files {
		total += f.size
	}
	for len(s.files) > 1 && (total > s.maxBytes || now.Sub(s.files[0].last) > s.maxAge) {
		if err := os.Remove(s.files[0].path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("drop an old file of the audit: %w", err)
		}
		total -= s.files[0].size
		s.files = s.files[1:]
	}
	return nil
}

func (s *series) sync() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.write(); err != nil {
		return err
	}
	if s.file == nil {
		return nil
	}
	if err := s.file.Sync(); err != nil {
		return fmt.Errorf("sync the audit: %w", err)
	}
	return nil
}

func (s *series) close() error {
	err := s.sync()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != nil {
		err = errors.Join(err, s.file.Close())
		s.file = nil
	}
	return err
}

// paths lists the files, the oldest first.
func (s *series) paths() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]string, len(s.files))
	for i, f := range s.files {
		out[i] = f.path
	}
	return out
}

// backward walks a series from its newest record to its oldest.
type backward struct {
	s      *series
	before position
	files  []string // not yet read
	rest   []byte   // of the file being read, not yet given
	opened bool
	head   *AuditRecord // next to give; nil if it must be loaded, or at the end
}

// load finds the next record that q wants, if it is not there already.
func (b *backward) load(q *AuditQuery) error {
	if b.head != nil {
		return nil
	}
	if !b.opened {
		b.opened = true
		b.files = b.s.paths()
	}
	for {
		for len(b.rest) > 0 {
			start := bytes.LastIndexByte(b.rest[:len(b.rest)-1], '\n') + 1
			line := b.rest[start:]
			b.rest = b.rest[:start]
			var r AuditRecord
			if json.Unmarshal(line, &r) != nil {
				continue // the end of a line that is being written
			}
			if r.at().compare(b.before) < 0 && q.wants(&r) {
				b.head = &r
				return nil
			}
		}
		n := len(b.files)
		if n == 0 {
			return nil
		}
		path := b.files[n-1]
		b.files = b.files[:n-1]
		if b.skip(path) {
			continue
		}
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // dropped meanwhile, and with it all before
		}
		if err != nil {
			return fmt.Errorf("read the audit: %w", err)
		}
		b.rest = data
	}
}

// skip says whether a file begins behind the bound and so holds nothing before
// it.
func (b *backward) skip(path string) bool {
	var first position
	name := strings.TrimPrefix(filepath.Base(path), b.s.name+"-")
	if n, err := fmt.Sscanf(name, "%d-%d", &first.index, &first.pos); n != 2 || err != nil {
		return false
	}
	return first.compare(b.before) >= 0
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open %s: %w", dir, err)
	}
	return errors.Join(d.Sync(), d.Close())
}
