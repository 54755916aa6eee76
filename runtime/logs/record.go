package logs

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Stream says where a record came from.
type Stream uint8

// The two output streams of a container. A container with a terminal has only Stdout.
const (
	Stdout Stream = 1
	Stderr Stream = 2
)

// String returns the name that stands in the file.
func (s Stream) String() string {
	switch s {
	case Stdout:
		return "stdout"
	case Stderr:
		return "stderr"
	default:
		return "stream(" + strconv.Itoa(int(s)) + ")"
	}
}

// MaxLine is the longest line in bytes, without its newline, that is kept as one record. A longer one becomes
// several partial records.
const MaxLine = 16 << 10

// stampLayout has a fixed width, so stamps compare as bytes and rewriting a record never changes its length.
const (
	stampLayout = "2006-01-02T15:04:05.000000000Z"
	stampLen    = len(stampLayout)
)

// Tags of a record in the file.
const (
	tagFull    = 'F' // the line ended with a newline, which is not kept
	tagPartial = 'P' // more of the line follows, or it ended without newline
	tagLost    = 'L' // output was dropped here; the text begins with the number of bytes
)

// Record is one piece of output.
type Record struct {
	Time    time.Time // UTC, when the log daemon took it; the host's clock, so it may jump back
	Stream  Stream
	Partial bool   // Line does not end a line: the next record of the stream continues it
	Lost    int64  // > 0: this many bytes of output were dropped here and Line is a sentence that says so
	Line    []byte // without the newline; valid until the next record is asked for
}

var errNoRecord = errors.New("not a log record")

// Stamper hands out strictly increasing stamps for the records of one container. It follows the clock back when
// that jumps by more than a millisecond. It is not safe for concurrent use.
type Stamper struct {
	last int64 // Unix nanoseconds
	text [stampLen]byte
}

// Set moves the stamper to now, which is Unix nanoseconds; the next stamp is that or just after the last one.
func (s *Stamper) Set(now int64) {
	if back := s.last - now; back >= 0 && back < int64(time.Millisecond) {
		now = s.last
	} else {
		now--
	}
	s.last = now
	time.Unix(0, now).UTC().AppendFormat(s.text[:0], stampLayout)
}

// Last is the last stamp handed out, in Unix nanoseconds.
func (s *Stamper) Last() int64 { return s.last }

// next returns the next stamp as text; it is valid until the following call.
func (s *Stamper) next() []byte {
	s.last++
	for i := stampLen - 2; i >= stampLen-10; i-- {
		if s.text[i] != '9' {
			s.text[i]++
			return s.text[:]
		}
		s.text[i] = '0'
	}
	time.Unix(0, s.last).UTC().AppendFormat(s.text[:0], stampLayout)
	return s.text[:]
}

// AppendLine appends the record of a whole line, given without its newline.
func AppendLine(dst []byte, s *Stamper, stream Stream, line []byte) []byte {
	return appendRecord(dst, s, stream, tagFull, line)
}

// AppendPartial appends a piece of a line. It must not contain a newline.
func AppendPartial(dst []byte, s *Stamper, stream Stream, piece []byte) []byte {
	return appendRecord(dst, s, stream, tagPartial, piece)
}

// AppendLost appends the marker for n bytes of output that were dropped for the given reason.
func AppendLost(dst []byte, s *Stamper, stream Stream, n int64, reason string) []byte {
	return appendRecord(dst, s, stream, tagLost, []byte(fmt.Sprintf("%d bytes of output were lost: %s", n, reason)))
}

func appendRecord(dst []byte, s *Stamper, stream Stream, tag byte, text []byte) []byte {
	dst = append(dst, s.next()...)
	if stream == Stderr {
		dst = append(dst, " stderr "...)
	} else {
		dst = append(dst, " stdout "...)
	}
	dst = append(dst, tag, ' ')
	dst = append(dst, text...)
	return append(dst, '\n')
}

// headLen is the length of everything before a record's text.
const headLen = stampLen + len(" stdout F ")

// recordHead is a record whose time is still text; filtering needs no more.
type recordHead struct {
	stamp  []byte
	stream Stream
	tag    byte
	text   []byte
}

// parseHead splits one line of a log file, given without its newline.
func parseHead(line []byte) (recordHead, error) {
	if len(line) < headLen || line[stampLen] != ' ' || line[stampLen-1] != 'Z' || line[stampLen-11] != '.' || line[headLen-3] != ' ' || line[headLen-1] != ' ' {
		return recordHead{}, errNoRecord
	}
	h := recordHead{stamp: line[:stampLen], tag: line[headLen-2], text: line[headLen:]}
	switch string(line[stampLen+1 : headLen-3]) {
	case "stdout":
		h.stream = Stdout
	case "stderr":
		h.stream = Stderr
	default:
		return recordHead{}, errNoRecord
	}
	if h.tag != tagFull && h.tag != tagPartial && h.tag != tagLost {
		return recordHead{}, errNoRecord
	}
	return h, nil
}

// record parses the time and, of a marker, the number of bytes.
func (h recordHead) record() (Record, error) {
	t, err := time.Parse(stampLayout, string(h.stamp))
	if err != nil {
		return Record{}, errNoRecord
	}
	r := Record{Time: t, Stream: h.stream, Partial: h.tag == tagPartial, Line: h.text}
	if h.tag == tagLost {
		number, _, _ := bytes.Cut(h.text, []byte(" "))
		if r.Lost, err = strconv.ParseInt(string(number), 10, 64); err != nil || r.Lost <= 0 {
			return Record{}, errNoRecord
		}
	}
	return r, nil
}

// ParseRecord parses one line of a log file, given without its newline. Record.Line points into it.
func ParseRecord(line []byte) (Record, error) {
	h, err := parseHead(line)
	if err != nil {
		return Record{}, err
	}
	return h.record()
}
